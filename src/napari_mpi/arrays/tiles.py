"""Overlapping tiles whose results blend into one plane without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.spread import evenly

__all__ = ["Span", "Tile", "blended_spans", "blended_tiles"]


@dataclass(frozen=True)
class Span:
    """The part of one axis that a tile covers.

    Attributes
    ----------
    start, stop : int
        In pixels.
    weight : ndarray
        float32, shape (stop - start,). The weights of all spans add up to one in each
        pixel of the axis.
    """

    start: int
    stop: int
    weight: NDArray[np.float32]

    @property
    def slice(self) -> slice:
        """The span as an index."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a plane."""

    rows: Span
    columns: Span

    @property
    def index(self) -> tuple[slice, slice]:
        """The tile as an index of the last two axes."""
        return self.rows.slice, self.columns.slice

    @property
    def weight(self) -> NDArray[np.float32]:
        """What each pixel of the tile counts, shape (h, w)."""
        product: NDArray[np.float32] = np.outer(self.rows.weight, self.columns.weight)
        return product


def blended_spans(
    length: int, size: int, overlap: int, multiple: int = 1
) -> list[Span]:
    """Cover an axis with as few spans of equal size as can be, that overlap.

    Parameters
    ----------
    length : int
        Length of the axis, in pixels.
    size : int
        Greatest length of a span, in pixels; a shorter axis is one span.
    overlap : int
        Least number of pixels that neighbours have in common, below `size`. Over them
        the weight passes from one to the other.
    multiple : int
        Spans are shortened to what covers the axis, in multiples of this.

    Examples
    --------
    >>> [(span.start, span.stop) for span in blended_spans(100, 64, 16)]
    [(0, 58), (42, 100)]
    """
    if not 0 <= overlap < size:
        raise ValueError(
            f"The overlap is {overlap}: expected 0 to below the size, which is {size}."
        )
    if length <= size:
        return [Span(0, length, np.ones(length, np.float32))]
    n_spans = -(-(length - overlap) // (size - overlap))
    shortest = -(-(length + (n_spans - 1) * overlap) // n_spans)
    size = min(size, -(-shortest // multiple) * multiple)
    starts = evenly(length - size, n_spans)
    ramp = np.arange(size) + 0.5
    rises = np.minimum(np.minimum(ramp, ramp[::-1]) / max(overlap, 1), 1.0)
    total = np.zeros(length)
    for start in starts:
        total[start : start + size] += rises
    return [
        Span(
            int(start),
            int(start) + size,
            (rises / total[start : start + size]).astype(np.float32),
        )
        for start in starts
    ]


def blended_tiles(
    shape: tuple[int, int], size: int, overlap: int, multiple: int = 1
) -> Iterator[Tile]:
    """Cover a plane of shape (H, W) with tiles, see `blended_spans`."""
    columns = blended_spans(shape[1], size, overlap, multiple)
    for rows in blended_spans(shape[0], size, overlap, multiple):
        for span in columns:
            yield Tile(rows, span)
