"""Which planes of a stack lie beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Neighbourhood", "closest_axis"]

Index = tuple[int, ...]
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
    shape: tuple[int, ...], read: Callable[[Index], NDArray[Any]]
) -> int | None:
    """Return the leading axis whose neighbouring planes are most alike.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the leading axes.
    read : callable
        Returns the plane with an index, shape (C, Y, X).

    Returns
    -------
    int or None
        None if there is only one plane.
    """
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) <= 1:
        return axes[0] if axes else None
    middle = [(length - 1) // 2 for length in shape]
    here = _smoothed(read(tuple(middle)))
    distances = {}
    for axis in axes:
        index = list(middle)
        index[axis] += 1
        there = _smoothed(read(tuple(index)))
        distances[axis] = float(np.square(there - here).mean())
    return min(distances, key=distances.__getitem__)


def _smoothed(channels: NDArray[Any]) -> NDArray[np.float64]:
    """Smooth a plane; its mean is taken away, as lamps flicker."""
    smoothed: NDArray[np.float64] = ndimage.gaussian_filter(
        channels.astype(np.float64), (0, _SIGMA, _SIGMA)
    )
    smoothed -= smoothed.mean(axis=(1, 2), keepdims=True)
    return smoothed
