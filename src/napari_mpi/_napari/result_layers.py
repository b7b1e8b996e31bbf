"""Find the layers of a result, and the slice of them that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from napari.viewer import Viewer
from numpy.typing import NDArray

from napari_mpi._napari.channel_record import channel_record
from napari_mpi._napari.folds import Fold
from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.listening import Listener
from napari_mpi._napari.plots import Plot, Series, wrapped_label
from napari_mpi._napari.roles import record_of, role_of
from napari_mpi._napari.shown_plane import slider_index

__all__ = ["ResultFold", "ResultLayers", "result_layers"]

_NEEDS_LAYERS = "This needs the denoised layer and its noise map, both open."
_NO_PLANE = "The sliders stand outside of the denoised layer."


@dataclass(frozen=True)
class ResultLayers:
    """The layers of a result.

    Attributes
    ----------
    denoised, noise_map : napari.layers.Image
        Of the same shape, colour aside.
    """

    denoised: Image
    noise_map: Image

    def planes(self, index: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a plane of both, (Y, X), colours averaged."""
        plane = np.asarray(layer_array(self.denoised)[index])
        if self.denoised.rgb:
            plane = plane[..., :3].mean(axis=-1)
        if plane.dtype == np.float16:  # SciPy reads single precision at least
            plane = plane.astype(np.float32)
        return plane, np.asarray(layer_array(self.noise_map)[index])

    def record_at(
        self, report: Mapping[str, Any], index: tuple[int, ...]
    ) -> Mapping[str, Any]:
        """Return the record of a plane's channel, if there are channels."""
        axis = report.get("channel_axis")
        if axis is None or axis >= self.denoised.ndim - 2:
            return report
        return channel_record(report, index[axis])


def result_layers(
    viewer: Viewer, report: Mapping[str, Any] | None, chosen: Image | None = None
) -> ResultLayers | None:
    """Return the denoised layer and the noise map that a report belongs to.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    report : mapping or None
        `Denoised.report`, which both carry.
    chosen : napari.layers.Image, optional
        Preferred where several results carry this report.

    Returns
    -------
    ResultLayers or None
        None unless both are open.
    """
    if report is None:
        return None
    carriers = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and record_of(layer) == report
    ]
    noise_maps = [layer for layer in carriers if role_of(layer) == "noise map"]
    denoised = [layer for layer in carriers if role_of(layer) == "denoised"]
    if chosen in denoised:
        denoised = [chosen]
    for one in denoised:
        shape = layer_array(one).shape
        shape = shape[: len(shape) - one.rgb]
        for noise_map in noise_maps:
            if layer_array(noise_map).shape == shape:
                return ResultLayers(one, noise_map)
    return None


class ResultFold(Fold):
    """A folded plot of the shown slice of a result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    title, tooltip : str
        Of the fold.
    x, y, series
        Of the plot.
    """

    def __init__(
        self,
        viewer: Viewer,
        title: str,
        tooltip: str,
        x: str,
        y: str,
        series: list[Series],
    ) -> None:
        super().__init__(title, tooltip)
        self._viewer = viewer
        self._report: Mapping[str, Any] | None = None
        self._chosen: Image | None = None
        self.words = wrapped_label()
        self.plot = Plot(viewer, x, y, series)
        self.addWidget(self.words)
        self.addWidget(self.plot)
        self.collapse()
        self._on_change = Listener(self.later)
        viewer.dims.events.current_step.connect(self._on_change.hear)

    def show_report(
        self, report: Mapping[str, Any] | None, chosen: Image | None
    ) -> None:
        """Look at the layers of this report from now on."""
        self._report, self._chosen = report, chosen
        self.now()

    def draw(self) -> None:
        """Plot the slice that is shown, if the layers are there."""
        layers = result_layers(self._viewer, self._report, self._chosen)
        index = None if layers is None else slider_index(layers.denoised, self._viewer)
        self.plot.setVisible(index is not None)
        if layers is None:
            self.words.setText(_NEEDS_LAYERS)
        elif index is None:
            self.words.setText(_NO_PLANE)
        else:
            self.plot_plane(layers, index)

    def plot_plane(self, layers: ResultLayers, index: tuple[int, ...]) -> None:
        """Plot a plane of these layers, and say in words what is seen."""
        raise NotImplementedError
