"""Read an array plane by plane, and each of its pieces once."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.planes import Index

__all__ = ["SlabReader"]

# Planes that are stored together are kept until the next ones are read, up to so many
# bytes.
_MAX_BYTES = 256 * 2**20


class SlabReader:
    """Reads the planes of an array that may be stored in pieces of several planes.

    To read one plane of a compressed piece takes as long as to read them all.

    Parameters
    ----------
    source : array_like with `shape` and `dtype`
        If it has `chunks` as those of dask or Zarr, these are its pieces.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._ends = _ends_of_pieces(source)
        self._slab: NDArray[Any] | None = None
        self._place: tuple[slice, ...] = ()

    def read(self, index: Index) -> NDArray[Any]:
        """Return a plane."""
        place = tuple(
            _piece_around(position, ends)
            for position, ends in zip(index, self._ends, strict=False)
        )
        shape = [one.stop - one.start for one in place]
        n_values = np.prod([*shape, *self._source.shape[len(place) :]], dtype=float)
        n_bytes = n_values * np.dtype(self._source.dtype).itemsize
        if max(shape, default=1) == 1 or n_bytes > _MAX_BYTES:
            return np.asarray(self._source[index])
        if self._slab is None or place != self._place:
            self._slab = None  # which makes room for the next
            self._slab, self._place = np.asarray(self._source[place]), place
        within = tuple(i - one.start for i, one in zip(index, place, strict=True))
        plane: NDArray[Any] = self._slab[within]
        return plane

    def let_go(self) -> None:
        """Keep no planes."""
        self._slab = None


def _ends_of_pieces(source: Any) -> list[list[int]]:
    """Return along each axis where its pieces end, if it has any."""
    chunks = getattr(source, "chunks", None)
    if chunks is None:
        return []
    ends = []
    for length, sizes in zip(source.shape, chunks, strict=True):
        if isinstance(sizes, int):  # as of Zarr, where all but the last are equal
            ends.append([*range(sizes, length, sizes), length])
        else:
            ends.append(list(accumulate(map(int, sizes))))
    return ends


def _piece_around(position: int, ends: list[int]) -> slice:
    number = int(np.searchsorted(ends, position, side="right"))
    return slice(ends[number - 1] if number else 0, ends[number])
