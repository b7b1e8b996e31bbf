"""The layers that a run adds, which fill while it goes on."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from napari.viewer import Viewer

from napari_mpi._napari.kept_selection import selection_kept
from napari_mpi._napari.layers import (
    Picture,
    denoised_layer,
    geometry_of,
    picture_layer,
)
from napari_mpi._napari.region import region_layer
from napari_mpi._napari.roles import RECORD
from napari_mpi._napari.selection import LayerPart
from napari_mpi._napari.workers import FirstLook
from napari_mpi.pipeline.api import Denoised

__all__ = ["LiveResult"]


class LiveResult:
    """The layers of a run, which are the user's once it is complete.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are added.
    part : LayerPart
        What the run is about.

    Attributes
    ----------
    image : ndarray or None
        The array that the run fills, if it is to be seen.
    """

    def __init__(self, viewer: Viewer, part: LayerPart) -> None:
        self._viewer, self._part = viewer, part
        self._name, self._offset = part.layer.name, part.offset
        self._last_place = geometry_of(part.layer, self._offset)
        self.image: Any = None
        self._denoised: Image | None = None
        self._pictures: list[Image] = []
        self._first_look: Image | None = None

    def _add(self, layer: Image, what: str) -> Image:
        layer.name = f"{self._name} {what}"  # the input may have another name by now
        with selection_kept(self._viewer, self._own):
            self._viewer.add_layer(layer)
        return layer

    @property
    def _own(self) -> list[Image | None]:
        """The layers that the run is about."""
        return [self._part.layer, self._first_look, self._denoised, *self._pictures]

    @property
    def _in_reach(self) -> bool:
        """Whether the input has as many axes as the results, which follow it then."""
        return len(self._offset) == int(self._part.layer.ndim)

    @property
    def _place(self) -> dict[str, Any]:
        """How the results lie in the world."""
        if self._in_reach:
            self._last_place = geometry_of(self._part.layer, self._offset)
        return self._last_place

    def _make_denoised(self, image: Any, report: dict[str, Any]) -> Image:
        layer = denoised_layer(self._part.layer, image, report, self._place)
        return self._add(layer, "denoised")

    def show(self, look: FirstLook) -> None:
        """Show a region until the denoised layer is there."""
        if self._in_reach:
            what = "first look"
            layer = region_layer(self._part.layer, look.region, look.image, what)
            self._first_look = self._add(layer, what)

    def grow(self) -> None:
        """Let the denoised layer show what is reached."""
        if self.image is None:
            return
        if self._denoised is None:
            self._remove(self._first_look)
            self._denoised = self._make_denoised(self.image, {})
        elif self._denoised in self._viewer.layers:
            self._denoised.refresh()

    def add_picture(self, picture: Picture) -> None:
        """Add a layer; one in a turn, so that the window never waits."""
        layer = picture_layer(self._part.layer, picture, self._place)
        self._pictures.append(self._add(layer, picture.role))

    def complete(self, result: Denoised) -> bool:
        """Leave the layers to the user; False if there are none, for lack of pixels."""
        if not self._pictures:
            return False
        layers = self._viewer.layers
        self._remove(self._first_look)
        if self._denoised is None or self._denoised not in layers:
            self._denoised = self._make_denoised(result.image, result.report)
        else:  # it was there before the noise map, and goes on top of it
            layers.move(layers.index(self._denoised), len(layers))
            self._denoised.metadata[RECORD] = result.report
            self._denoised.refresh()
        for layer in (self._denoised, *self._pictures):
            # The input may have been moved meanwhile.
            for name, value in self._place.items():
                setattr(layer, name, value)
        with selection_kept(self._viewer, self._own):
            layers.selection.active = self._denoised
        self._denoised, self._pictures = None, []
        return True

    def discard(self) -> None:
        """Take away what a run has left that was cancelled or that failed."""
        for layer in (self._first_look, self._denoised, *self._pictures):
            self._remove(layer)

    def _remove(self, layer: Image | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
