"""Planes extended beyond their borders, and parts of them by what is around."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["bands", "mirrored"]


def mirrored(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Extend planes by mirroring, however far that is.

    Parameters
    ----------
    x : Tensor
        Shape (..., H, W).
    rows, columns : tuple of int
        How many pixels to add before and after.
    """
    for dim, (before, after) in ((-2, rows), (-1, columns)):
        size = x.shape[dim]
        if before == after == 0:
            continue
        position = torch.arange(-before, size + after, device=x.device) % (2 * size)
        index = torch.where(position < size, position, 2 * size - 1 - position)
        x = x.index_select(dim, index)
    return x


def bands(height: int, size: int, around: int) -> Iterator[tuple[slice, slice, slice]]:
    """Take a plane apart into bands of rows, to work on one at a time.

    Parameters
    ----------
    height : int
        Rows of the plane.
    size : int
        Rows of a band; the last one may have fewer.
    around : int
        Rows above and below that have a part in what becomes of a band.

    Yields
    ------
    band, rows : slice
        The band, and the band with the rows around it, which may end beyond the plane.
    within : slice
        The band among these rows.
    """
    for top in range(0, height, size):
        bottom = min(top + size, height)
        first = max(0, top - around)
        within = slice(top - first, bottom - first)
        yield slice(top, bottom), slice(first, bottom + around), within
