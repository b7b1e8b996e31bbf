"""Which plane of a layer the viewer shows, and where it lies there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mpi._napari.layers import layer_array

__all__ = [
    "no_plane_of",
    "plane_affine",
    "show_plane",
    "shown_index",
    "slider_index",
    "unit_sizes",
    "world_affine",
]


def no_plane_of(layer: Image) -> str:
    """Return what is said where `shown_index` is None."""
    return (
        f"No single plane of {layer.name} is to be seen: show Y and X in 2-D first, "
        "with the sliders within the image."
    )


def world_affine(layer: Layer) -> Affine:
    """Return how a layer's pixels lie in the world, in the layer's own units."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    steps = [layer.data_to_world(step) - origin for step in np.eye(layer.ndim)]
    return Affine(linear_matrix=np.transpose(steps), translate=origin)


def plane_affine(layer: Layer) -> Affine:
    """Return how rows and columns lie in the world where one plane is shown.

    napari shows each plane as if the others did not shift it: of a stack that is
    sheared or tilted against its leading axes, only the part within the plane counts.
    """
    return world_affine(layer).set_slice([layer.ndim - 2, layer.ndim - 1])


def unit_sizes(layer: Layer, viewer: ViewerModel) -> NDArray[np.float64]:
    """Return how large each of a layer's units is in the units of the sliders.

    From version 0.9 on, napari shows layers in units that they share, where they can.
    """
    shared = getattr(viewer.dims, "units", None)
    if shared is None or len(shared) < layer.ndim:
        return np.ones(layer.ndim)
    return np.array(
        [
            (1 * own).to_base_units().magnitude / (1 * other).to_base_units().magnitude
            for own, other in zip(layer.units, shared[-layer.ndim :], strict=True)
        ]
    )


def shown_index(layer: Image, viewer: ViewerModel) -> tuple[int, ...] | None:
    """Return the leading indices of the one plane of a layer that is shown.

    None if there is none: in a 3-D view, in a view of other axes than the last two, and
    where the sliders stand outside the layer.
    """
    dims = viewer.dims
    if {*dims.displayed} != {dims.ndim - 2, dims.ndim - 1}:
        return None
    return slider_index(layer, viewer)


def slider_index(layer: Image, viewer: ViewerModel) -> tuple[int, ...] | None:
    """Return the leading indices at which the sliders stand, whatever the view.

    None if they stand outside the layer.
    """
    n_leading = layer.ndim - 2
    if not n_leading:
        return ()
    to_index = _point_to_index(layer, viewer)
    # The viewer may not know yet how many axes a new layer has.
    point = [*[0.0] * layer.ndim, *viewer.dims.point][-layer.ndim :][:n_leading]
    index = tuple(int(at) for at in np.rint(to_index(point)))
    shape = layer_array(layer).shape
    inside = all(0 <= at < n for at, n in zip(index, shape, strict=False))
    return index if inside else None


def show_plane(layer: Image, index: Sequence[int], viewer: ViewerModel) -> None:
    """Move the viewer's sliders to a plane of a layer, given its leading indices."""
    to_index = _point_to_index(layer, viewer)
    point = np.linalg.solve(to_index.linear_matrix, index - to_index.translate)
    for axis, at in enumerate(point, viewer.dims.ndim - layer.ndim):
        viewer.dims.set_point(axis, at)


def _point_to_index(layer: Image, viewer: ViewerModel) -> Affine:
    """Return how napari finds the plane of a layer from where the sliders stand.

    It takes no notice of what the place within the plane would add.
    """
    leading = list(range(layer.ndim - 2))
    own = world_affine(layer).inverse.set_slice(leading)
    return Affine(
        linear_matrix=own.linear_matrix / unit_sizes(layer, viewer)[leading],
        translate=own.translate,
        ndim=len(leading),
    )
