"""The part of a layer that is in view, to try settings on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_mpi._napari.layers import layer_array, look_of
from napari_mpi._napari.roles import ROLE
from napari_mpi.arrays.planes import MIN_SIZE

__all__ = [
    "NO_PLANE",
    "Region",
    "region_layer",
    "show_plane",
    "shown_point",
    "visible_region",
]

NO_PLANE = "No single plane is to be seen: show Y and X in 2-D first."
"""What is said where `shown_point` is None."""

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


def shown_point(viewer: ViewerModel) -> tuple[float, ...] | None:
    """Return where the viewer's sliders stand, in world coordinates.

    None unless one plane of the last two axes is on show: a 3-D view, and one of other
    axes, has none.
    """
    dims = viewer.dims
    if {*dims.displayed} != {dims.ndim - 2, dims.ndim - 1}:
        return None
    return tuple(dims.point)


def visible_region(layer: Image, point: tuple[float, ...]) -> Region:
    """Return the middle of what is visible of a layer's current slice.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    point : tuple of float
        Where the viewer's sliders stand, in world coordinates.
    """
    shape = layer_array(layer).shape
    spatial = shape[: len(shape) - layer.rgb]
    position = layer.world_to_data(point[-len(spatial) :])
    index = tuple(
        int(np.clip(np.rint(at), 0, length - 1))
        for at, length in zip(position[:-2], spatial[:-2], strict=True)
    )
    corners = np.asarray(layer.corner_pixels, float)[:, -2:]
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level, -2:]
    sides = [
        _middle(int(low), int(high) + 1, length)
        for (low, high), length in zip(corners.T, spatial[-2:], strict=True)
    ]
    return Region(index, *sides)


def show_plane(layer: Image, index: Sequence[int], viewer: ViewerModel) -> None:
    """Move the viewer's sliders to a plane of a layer."""
    corner = [*index, *[0] * (layer.ndim - len(index))]
    first = viewer.dims.ndim - layer.ndim
    for axis, at in enumerate(layer.data_to_world(corner)[: len(index)], first):
        viewer.dims.set_point(axis, at)


def _middle(start: int, stop: int, length: int) -> slice:
    """Return at most `_MAX_SIZE` pixels around the middle of a range."""
    if stop - start < 2:  # nothing was drawn yet, or the view is three-dimensional
        start, stop = 0, length
    size = min(max(min(stop - start, _MAX_SIZE), MIN_SIZE), length)
    first = int(np.clip((start + stop - size) // 2, 0, length - size))
    return slice(first, first + size)


def region_layer(layer: Image, region: Region, image: NDArray[Any], name: str) -> Image:
    """Make a layer of a denoised region that lies where the region is."""
    n_leading = len(region.index)
    offset = np.array([*region.index, region.rows.start, region.columns.start], float)
    origin = np.asarray(layer.data_to_world(offset))
    affine = np.eye(len(offset) + 1)
    affine[:-1, -1] = origin
    for axis, step in enumerate(np.eye(len(offset))):
        affine[:-1, axis] = np.asarray(layer.data_to_world(offset + step)) - origin
    return Image(
        image[(np.newaxis,) * n_leading],
        name=name,
        affine=affine,
        units=layer.units,
        axis_labels=layer.axis_labels,
        multiscale=False,
        metadata={ROLE: "region"},
        **look_of(layer),
    )
