"""The part of a layer that is in view, to try settings on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mpi._napari.layers import layer_array, look_of
from napari_mpi._napari.roles import ROLE
from napari_mpi._napari.shown_plane import shown_index, world_affine
from napari_mpi.arrays.planes import MIN_SIZE

__all__ = [
    "Region",
    "region_layer",
    "visible_region",
]

# Denoised within seconds on two processor cores.
_MAX_SIZE = 256  # pixels


@dataclass(frozen=True)
class Region:
    """A rectangle of one slice.

    Attributes
    ----------
    index : tuple of int
        The slice: an index of the leading axes.
    rows, columns : slice
        The rectangle, in pixels of the full resolution.
    """

    index: tuple[int, ...]
    rows: slice
    columns: slice

    def plane(self, array: Any) -> NDArray[Any]:
        """Return the whole slice of an array."""
        return np.asarray(array[self.index])

    def cut(self, array: Any) -> NDArray[Any]:
        """Return the rectangle of an array, without reading more than its slice."""
        return np.asarray(array[(*self.index, self.rows, self.columns)])


def visible_region(layer: Image, viewer: ViewerModel) -> Region | None:
    """Return the middle of what is visible of a layer's plane, if one is shown."""
    index = shown_index(layer, viewer)
    if index is None:
        return None
    shape = layer_array(layer).shape
    spatial = shape[: len(shape) - layer.rgb]
    corners = np.asarray(layer.corner_pixels, float)[:, -2:]
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level, -2:]
    sides = [
        _middle(int(low), int(high) + 1, length)
        for (low, high), length in zip(corners.T, spatial[-2:], strict=True)
    ]
    return Region(index, *sides)


def _middle(start: int, stop: int, length: int) -> slice:
    """Return at most `_MAX_SIZE` pixels around the middle of a range."""
    if stop - start < 2:  # nothing was drawn yet, or the view is three-dimensional
        start, stop = 0, length
    size = min(max(min(stop - start, _MAX_SIZE), MIN_SIZE), length)
    first = int(np.clip((start + stop - size) // 2, 0, length - size))
    return slice(first, first + size)


def region_layer(layer: Image, region: Region, image: NDArray[Any], name: str) -> Image:
    """Make a layer of a denoised region that lies where the region is."""
    offset = np.array([*region.index, region.rows.start, region.columns.start], float)
    to_world = world_affine(layer)
    return Image(
        image[(np.newaxis,) * len(region.index)],
        name=name,
        affine=Affine(linear_matrix=to_world.linear_matrix, translate=to_world(offset)),
        units=layer.units,
        axis_labels=layer.axis_labels,
        multiscale=False,
        metadata={ROLE: "region"},
        **look_of(layer),
    )
