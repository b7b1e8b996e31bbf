"""Intensities along a line, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from napari.utils.transforms import Affine
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton

from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.listening import Listener
from napari_mpi._napari.plots import Series
from napari_mpi._napari.result_layers import (
    ResultFold,
    ResultLayers,
    result_layers,
)
from napari_mpi._napari.shown_plane import plane_affine, unit_sizes

__all__ = ["ProfilePanel"]

_LAYER_NAME = "profile line"
_OUTSIDE = "The line lies outside the image."


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
            scale = like.scale[-2:]  # the handles of a line have their size by it
            layer = Shapes(
                ndim=2,
                name=_LAYER_NAME,
                scale=scale,
                affine=plane_affine(like).compose(Affine(scale=1 / scale)),
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

    def plot_plane(self, layers: ResultLayers, index: tuple[int, ...]) -> None:
        """Plot the line through a plane of these layers."""
        self.draw_button.setEnabled(True)
        denoised, noise_map = layers.planes(index)
        line = self._drawn_line(layers.denoised)
        if line is None:
            middle = (denoised.shape[0] - 1) // 2
            ends = np.array([[middle, 0], [middle, denoised.shape[1] - 1]], float)
            said = "Along the middle row of the shown slice."
        else:
            ends, said = line, "Along the line that is drawn."
        # The nearest pixel's value: a mean of several would hide the input's noise.
        n_points = int(np.ceil(np.linalg.norm(ends[1] - ends[0]))) + 1
        places = np.rint(np.linspace(ends[0], ends[1], n_points)).astype(int)
        inside = np.all((places >= 0) & (places < denoised.shape), axis=1)
        row, column = places[inside].T
        after = denoised[row, column].astype(np.float64)
        removed = noise_map[row, column].astype(np.float64)
        length = np.linalg.norm(np.diff(plane_affine(layers.denoised)(ends), axis=0))
        distance = np.linspace(0, length, n_points)[inside]
        unit = f"{layers.denoised.units[-1]:~P}"
        self.plot.set_x_title(f"distance in {'µm' if unit == 'um' else unit}")
        self.plot.set_points(0, distance, after + removed)
        self.plot.set_points(1, distance, after)
        self.words.setText(said if len(distance) else _OUTSIDE)

    def _drawn_line(self, image: Image) -> NDArray[np.float64] | None:
        """Return both ends of the line, (2, 2), in pixels, if there is one."""
        for layer in reversed(self._viewer.layers):
            if isinstance(layer, Shapes) and "line" in layer.shape_type:
                last = len(layer.shape_type) - 1 - layer.shape_type[::-1].index("line")
                world = plane_affine(layer)(layer.data[last][:, -2:])
                sizes = [unit_sizes(one, self._viewer)[-2:] for one in (layer, image)]
                return np.asarray(
                    plane_affine(image).inverse(world * sizes[0] / sizes[1])
                )
        return None

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Any) -> None:
        if isinstance(layer, Shapes):
            layer.events.data.connect(self._on_change.hear)
            self.later()
