"""Intensities along a line, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton
from scipy.ndimage import map_coordinates

from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.listening import Listener
from napari_mpi._napari.plots import Series
from napari_mpi._napari.result_layers import (
    ResultFold,
    ResultLayers,
    result_layers,
)

__all__ = ["ProfilePanel"]

_LAYER_NAME = "profile line"


class ProfilePanel(ResultFold):
    """A folded plot of input and denoised along a line of the shown slice.

    The line is the last one in the topmost shapes layer that has any, or else runs
    across the middle.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(
            viewer,
            "line profile",
            "Intensities of the input and of the denoised image along a line.",
            "distance",
            "intensity",
            [Series("input", 0), Series("denoised", 1)],
        )
        self.draw_button = QPushButton("Draw a line")
        self.draw_button.setToolTip(
            "Put a line into a shapes layer. Drag it or its ends, or draw another one, "
            "and the profile follows."
        )
        self.draw_button.clicked.connect(self.draw_line)
        self.addWidget(self.draw_button)
        self._on_layer = Listener(self._on_inserted)
        viewer.layers.events.inserted.connect(self._on_layer.hear)
        viewer.layers.events.removed.connect(self._on_change.hear)
        for layer in viewer.layers:
            self._watch(layer)

    def draw_line(self) -> None:
        """Select the line to be moved; one is added across the middle if need be."""
        layers = result_layers(self._viewer, self._report, self._chosen)
        if layers is None:
            return
        for layer in self._viewer.layers:
            if isinstance(layer, Shapes) and layer.name == _LAYER_NAME:
                break
        else:
            like = layers.denoised
            layer = Shapes(
                ndim=2,
                name=_LAYER_NAME,
                scale=like.scale[-2:],
                translate=like.translate[-2:],
                units=like.units[-2:],
                axis_labels=like.axis_labels[-2:],
                edge_color="#e69f00",
                edge_width=max(1, min(like.extent.data[1][-2:]) // 150),
            )
            height, width = layer_array(like).shape[-2 - like.rgb :][:2]
            middle, margin = (height - 1) / 2, (width - 1) / 10
            layer.add_lines([[middle, margin], [middle, width - 1 - margin]])
            self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "select"
        layer.selected_data = {layer.nshapes - 1}

    def draw(self) -> None:
        """Plot the line in the slice that is shown."""
        self.draw_button.setEnabled(False)
        super().draw()

    def plot_layers(self, layers: ResultLayers) -> None:
        """Plot the line through these layers."""
        self.draw_button.setEnabled(True)
        denoised, noise_map = layers.planes(self._viewer)
        line = self._drawn_line()
        if line is None:
            middle = (denoised.shape[0] - 1) // 2
            ends = np.array([[middle, 0], [middle, denoised.shape[1] - 1]], float)
            said = "Along the middle row of the shown slice."
        else:
            ends = np.array([layers.to_pixel(self._viewer, end) for end in line])
            said = "Along the line that is drawn."
        # The nearest pixel's value: a mean of several would hide the input's noise.
        n_points = int(np.ceil(np.linalg.norm(ends[1] - ends[0]))) + 1
        places = np.linspace(ends[0], ends[1], n_points).T  # (2, points)
        after, removed = (
            map_coordinates(plane, places, order=0, mode="nearest").astype(np.float64)
            for plane in (denoised, noise_map)
        )
        corners = [layers.to_world(self._viewer, end) for end in ends]
        distance = np.linspace(0, np.linalg.norm(corners[1] - corners[0]), len(after))
        unit = f"{layers.denoised.units[-1]:~P}"
        self.plot.set_x_title(f"distance in {'µm' if unit == 'um' else unit}")
        self.plot.set_points(0, distance, after + removed)
        self.plot.set_points(1, distance, after)
        self.words.setText(said)

    def _drawn_line(self) -> NDArray[np.float64] | None:
        """Return both ends of the line in world coordinates, if there is one."""
        for layer in reversed(self._viewer.layers):
            if isinstance(layer, Shapes) and "line" in layer.shape_type:
                last = len(layer.shape_type) - 1 - layer.shape_type[::-1].index("line")
                return np.array([layer.data_to_world(end) for end in layer.data[last]])
        return None

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Any) -> None:
        if isinstance(layer, Shapes):
            layer.events.data.connect(self._on_change.hear)
            self.later()
