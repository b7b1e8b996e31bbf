"""Part of an array that is read only when its planes are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["part_of"]

Index = tuple[int | slice, ...]


def part_of(array: Any, index: Index) -> Any:
    """Return ``array[index]`` without reading it.

    Parameters
    ----------
    array : array_like with `shape`, `dtype` and slicing
        NumPy, dask, zarr, HDF5 or memory-mapped.
    index : tuple of int and slice
        Of the leading axes, with steps of one.

    Examples
    --------
    >>> import numpy as np
    >>> part_of(np.zeros((5, 20, 30)), (slice(1, 3),)).shape
    (2, 20, 30)
    """
    # These slice without reading; others, such as zarr, would read at once.
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        return array[index]
    return _Part(array, index)


class _Part:
    """A view of an array whose own slices are copies."""

    def __init__(self, source: Any, index: Index) -> None:
        self._source = source
        rest = (slice(None),) * (len(source.shape) - len(index))
        self._chosen: list[int | range] = [
            range(length)[one]
            for length, one in zip(source.shape, (*index, *rest), strict=True)
        ]
        self.dtype = np.dtype(source.dtype)
        self.shape = tuple(len(one) for one in self._chosen if isinstance(one, range))
        self.ndim = len(self.shape)

    def __getitem__(self, index: int | slice | Index) -> NDArray[Any]:
        inner = iter(index if isinstance(index, tuple) else (index,))
        places: list[int | slice] = []
        for one in self._chosen:
            place = one[next(inner, slice(None))] if isinstance(one, range) else one
            places.append(
                slice(place.start, place.stop) if isinstance(place, range) else place
            )
        return np.asarray(self._source[tuple(places)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[()], dtype=dtype)
