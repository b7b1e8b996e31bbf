"""Planes extended beyond their borders."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mirrored"]


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
