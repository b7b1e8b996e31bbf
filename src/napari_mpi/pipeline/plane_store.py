"""The planes of an image before and after: checked, read one by one, and kept."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.engine import memory

__all__ = ["Index", "PlaneStore", "Results", "allocate_results", "spread_evenly"]

Index = tuple[int, ...]
Results = tuple[NDArray[Any], NDArray[np.float32]]
_T = TypeVar("_T")

# The intensity scaling of a stack is read from about this many of its values.
_N_SAMPLES = 4_000_000


class PlaneStore:
    """Reads every plane once, and takes the results.

    Parameters
    ----------
    source : array_like with `shape` and `dtype`
        NumPy, dask, zarr or memory-mapped; it is not changed.
    grid : PlaneGrid
        Where its planes lie.
    results : tuple of ndarray, optional
        Where image and noise map go; by default into arrays of their own.

    Attributes
    ----------
    image : ndarray
        The result; planes that are not done are still the noisy ones.
    noise_map : ndarray
        float32, 0 in planes that are not done.
    dtype : dtype
        The pixel type, in native byte order.
    sample : ndarray
        Some values of all planes.
    filled : list of tuple of int
        Index of each plane that holds more than one value.
    constant : bool
        Whether all pixels of the image are equal.

    Raises
    ------
    ValueError
        If pixels are NaN or infinite.
    """

    def __init__(
        self, source: Any, grid: PlaneGrid, results: Results | None = None
    ) -> None:
        self._source, self._grid = source, grid
        self.image, self.noise_map = results or allocate_results(source, grid.shape)
        self.dtype = self.image.dtype
        self.filled: list[Index] = []
        self._read()

    def _read(self) -> None:
        per_plane = max(1, _N_SAMPLES // self._grid.n_planes)
        samples, n_bad, extremes = [], 0, []
        for index in self._grid.indices():
            plane = self._from_source(index)
            self.image[index] = plane
            values = self._grid.to_channels(plane).reshape(-1)
            if self.dtype.kind == "f":
                n_bad += int(np.count_nonzero(~np.isfinite(values)))
            low, high = values.min(), values.max()
            extremes += [low, high]
            if low != high:
                self.filled.append(index)
            samples.append(values[:: max(1, values.size // per_plane | 1)].copy())
            self.let_go()
        if n_bad:
            n_all = int(np.prod(self._grid.shape))
            if n_bad == n_all:
                raise ValueError(
                    "Every pixel is NaN or infinite: there is no image to denoise."
                )
            raise ValueError(
                f"{n_bad} of {n_all} pixels are NaN or infinite. Replace them first, "
                "for instance with numpy.nan_to_num, or crop them away."
            )
        self.constant = bool(min(extremes) == max(extremes))
        self.sample: NDArray[Any] = np.concatenate(samples)

    def _from_source(self, index: Index) -> NDArray[Any]:
        return np.asarray(self._source[index]).astype(self.dtype, copy=False)

    def plane(self, index: Index) -> NDArray[Any]:
        """Return a copy of a plane of the result, which is noisy until it is done."""
        plane: NDArray[Any] = np.array(self.image[index])
        return plane

    def put(self, index: Index, noisy: NDArray[Any], values: NDArray[Any]) -> None:
        """Take the result of a plane, shape (C, Y, X), in the input's units."""
        channels = to_dtype(values, self.dtype)
        self.image[index] = self._grid.from_channels(channels, noisy)
        self.noise_map[index] = noisy.astype(np.float64) - self.image[index]

    def noisy(self, indices: list[Index]) -> NDArray[Any]:
        """Return planes of the source, (N, Y, X); colours count as planes."""
        return self._stacked([self._from_source(index) for index in indices])

    def denoised(self, indices: list[Index]) -> NDArray[Any]:
        """Return planes of the result, (N, Y, X); colours count as planes."""
        return self._stacked([self.image[index] for index in indices])

    def _stacked(self, planes: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([self._grid.to_channels(plane) for plane in planes])

    def let_go(self) -> None:
        """Let what was read and written of files leave the memory."""
        for array in (self._source, self.image, self.noise_map):
            memory.let_go(array)


def allocate_results(source: Any, shape: tuple[int, ...]) -> Results:
    """Return arrays for the denoised image and the noise map of a source."""
    # Big-endian files are common in microscopy; torch wants the native order.
    dtype = np.dtype(source.dtype).newbyteorder("=")
    n_bytes = math.prod(shape) * (dtype.itemsize + 4)
    on_disk = memory.belongs_on_disk(source, n_bytes)
    return (
        memory.allocate(shape, dtype, on_disk),
        memory.allocate(shape, np.float32, on_disk),
    )


def spread_evenly(items: list[_T], number: int) -> list[_T]:
    """Return at most so many of the items, from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), number))
    return [items[place] for place in chosen.round().astype(int)]
