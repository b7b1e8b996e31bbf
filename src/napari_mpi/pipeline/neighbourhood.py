"""Which planes of a stack lie beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.arrays.planes import Index

__all__ = ["Neighbourhood", "closest_axis"]

# Planes are compared by what a Gaussian of so many pixels leaves of them: little noise.
_SIGMA = 4.0


@dataclass(frozen=True)
class Neighbourhood:
    """The planes before and after each plane, along one leading axis.

    Attributes
    ----------
    axis : int
        The leading axis.
    reach : int
        How many planes on either side.
    """

    axis: int
    reach: int

    def in_order(self, indices: Iterable[Index]) -> list[Index]:
        """Sort indices such that neighbours follow each other."""
        axis = self.axis
        return sorted(
            indices, key=lambda index: (*index[:axis], *index[axis + 1 :], index[axis])
        )

    def beside(self, index: Index) -> list[Index]:
        """Return the indices on either side; they need not exist."""
        steps = [n for n in range(-self.reach, self.reach + 1) if n != 0]
        before, here, after = (
            index[: self.axis],
            index[self.axis],
            index[self.axis + 1 :],
        )
        return [(*before, here + step, *after) for step in steps]


def closest_axis(
    indices: Sequence[Index], read: Callable[[Index], NDArray[Any]]
) -> int | None:
    """Return the leading axis whose neighbouring planes are most alike.

    Parameters
    ----------
    indices : sequence of tuple of int
        The planes that there are, in order; empty ones tell nothing.
    read : callable
        Returns the plane with an index, shape (C, Y, X).

    Returns
    -------
    int or None
        None if no two planes lie beside each other.
    """
    exist = set(indices)
    half = len(indices) // 2
    from_middle = sorted(range(len(indices)), key=lambda place: abs(place - half))
    index: Index = ()
    beside: dict[int, Index] = {}
    for one in (indices[place] for place in from_middle):
        found = {
            axis: other
            for axis in range(len(one))
            for other in Neighbourhood(axis, 1).beside(one)
            if other in exist
        }
        if len(found) > len(beside):
            index, beside = one, found
    if len(beside) <= 1:
        return next(iter(beside), None)
    here = _smoothed(read(index))
    distances = {
        axis: float(np.square(_smoothed(read(other)) - here).mean())
        for axis, other in beside.items()
    }
    return min(distances, key=distances.__getitem__)


def _smoothed(channels: NDArray[Any]) -> NDArray[np.float64]:
    """Smooth a plane; its mean is taken away, as lamps flicker."""
    smoothed: NDArray[np.float64] = ndimage.gaussian_filter(
        channels.astype(np.float64), (0, _SIGMA, _SIGMA)
    )
    smoothed -= smoothed.mean(axis=(1, 2), keepdims=True)
    return smoothed
