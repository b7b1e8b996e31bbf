"""The planes of an image before and after: checked, read one by one, and kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.stuck_pixels import fill_stuck
from napari_mpi.arrays.intensity import to_dtype, without_hot_pixels
from napari_mpi.arrays.planes import Index, PlaneGrid
from napari_mpi.arrays.slabs import SlabReader
from napari_mpi.arrays.spread import sampled, spread_evenly
from napari_mpi.arrays.storage import allocate, belongs_on_disk, let_go

__all__ = [
    "PlaneStore",
    "Results",
    "allocate_results",
    "planes_to_look_at",
]

# The intensity scaling of a stack is read from about this many of its values.
_N_SAMPLES = 4_000_000
# Noise is measured, and results are judged, in no more planes and pixels than these.
_MAX_PLANES, _MAX_PIXELS = 5, 2**24
# What differences of pixels may be for float32 noise maps to hold them.
_LARGEST, _SMALLEST = 1e38, 1e-30
# No light is so many times as bright as that of most pixels varies.
_FARTHEST = 1e10


@dataclass(frozen=True)
class Results:
    """Arrays of the input's shape that results go to.

    Attributes
    ----------
    image : ndarray
        The denoised image, in native byte order.
    noise_map : ndarray
        float32.
    uncertainty : ndarray or None
        float32, if it is asked for.
    """

    image: NDArray[Any]
    noise_map: NDArray[np.float32]
    uncertainty: NDArray[np.float32] | None = None

    def part(self, index: Any) -> Results:
        """Return views of a part."""
        errors = None if self.uncertainty is None else self.uncertainty[index]
        return Results(self.image[index], self.noise_map[index], errors)


class PlaneStore:
    """Reads the planes, at first all of them, and takes the results.

    Parameters
    ----------
    source : array_like with `shape` and `dtype`
        NumPy, dask, zarr or memory-mapped; it is not changed.
    grid : PlaneGrid
        Where its planes lie.
    results : Results
        Where image, noise map and uncertainty go.
    intensity : array_like, optional
        What the noise depends on, if not the source's own values; of the same shape.
    fill_stuck : bool
        Whether to fill stuck pixels before anything else looks at a plane.

    Attributes
    ----------
    grid : PlaneGrid
        Where the planes lie.
    image : ndarray
        The result; planes that are not done are still the noisy ones.
    noise_map : ndarray
        float32, 0 in planes that are not done.
    uncertainty : ndarray or None
        float32, 0 in planes that are not done.
    dtype : dtype
        The result's pixel type, in native byte order.
    whole : bool
        Whether the source's pixels are whole numbers.
    sample : ndarray
        Some values of all planes, hot pixels aside.
    stuck : float
        Share of the pixels that are stuck, if these are to be filled.
    varying : list of tuple of int
        Index of each plane that holds more than one value.
    constant : bool
        Whether all pixels of each plane are equal.

    Raises
    ------
    ValueError
        If pixels are NaN or infinite, too large or too small for a noise map, or so far
        from most others that they are no intensities.
    """

    def __init__(
        self,
        source: Any,
        grid: PlaneGrid,
        results: Results,
        intensity: Any = None,
        *,
        fill_stuck: bool = False,
    ) -> None:
        self._source, self.grid, self._intensity = source, grid, intensity
        self._planes = SlabReader(source)
        self._fill_stuck, self.stuck = fill_stuck, 0.0
        self.image, self.noise_map = results.image, results.noise_map
        self.uncertainty = results.uncertainty
        self.dtype = self.image.dtype
        self.whole = np.dtype(source.dtype).kind in "ui"
        self.varying: list[Index] = []
        self._read()

    def _read(self) -> None:
        per_plane = max(1, _N_SAMPLES // self.grid.n_planes)
        samples: list[NDArray[Any]] = []
        blank: list[NDArray[Any]] = []
        n_bad, extremes = 0, []
        for index in self.grid.indices():
            plane = self._from_source(index)
            self.image[index] = plane
            channels = self.grid.to_channels(plane)
            if self.dtype.kind == "f":
                n_bad += int(np.count_nonzero(~np.isfinite(plane)))
            # Transparency does not count, and each colour by itself.
            lows, highs = channels.min(axis=(1, 2)), channels.max(axis=(1, 2))
            low, high = lows.min(), highs.max()
            extremes += [low, high]
            varies = bool((lows != highs).any())
            if varies:
                self.varying.append(index)
            if n_bad == 0 and max(-float(low), float(high)) <= _LARGEST:
                filled = self.channels(plane)
                self.stuck += float((filled != channels).mean()) / self.grid.n_planes
                some = sampled(without_hot_pixels(filled), per_plane)
                # In the type of the pixels, whose range is a scaling by itself.
                # Frames without content tell nothing of the range of the others.
                (samples if varies else blank).append(to_dtype(some, self.dtype))
            self._let_go_of_files()
        self.let_go()
        if n_bad:
            n_all = int(np.prod(self.grid.shape))
            if n_bad == n_all:
                raise ValueError(
                    "Every pixel is NaN or infinite: there is no image to denoise."
                )
            raise ValueError(
                f"{n_bad} of {n_all} pixels are NaN or infinite, which are no numbers. "
                "Crop them away, or replace them first: in Python by numpy.nan_to_num."
            )
        self.constant = not self.varying
        lowest, highest = float(min(extremes)), float(max(extremes))
        if max(-lowest, highest) > _LARGEST or 0 < highest - lowest < _SMALLEST:
            raise ValueError(
                f"Pixels reach from {lowest:.3g} to {highest:.3g}: expected no more "
                f"than {_LARGEST:g}, and differences of at least {_SMALLEST:g}. "
                "Multiply the image by a constant first."
            )
        self.sample: NDArray[Any] = np.concatenate(samples or blank)
        low, high = np.percentile(self.sample.astype(np.float64), (5, 95))
        if highest - lowest > _FARTHEST * (high - low) > 0:
            raise ValueError(
                f"Pixels reach from {lowest:.3g} to {highest:.3g}, while most lie "
                f"within {low:.3g} and {high:.3g}. If the others stand for "
                "something that is missing, replace them by what is around, or crop "
                "them away."
            )

    def move_to(self, results: Results) -> None:
        """Go on in other arrays, with planes as they are by now."""
        for index in self.grid.indices():
            results.image[index] = self.image[index]
            self.let_go()
            let_go(results.image)
        self.image, self.noise_map = results.image, results.noise_map
        self.uncertainty = results.uncertainty
        self.dtype = self.image.dtype

    def _from_source(self, index: Index) -> NDArray[Any]:
        return self._planes.read(index).astype(self.dtype, copy=False)

    def plane(self, index: Index) -> NDArray[Any]:
        """Return a copy of a plane of the result, which is noisy until it is done."""
        plane: NDArray[Any] = np.array(self.image[index])
        return plane

    def original(self, index: Index) -> NDArray[Any]:
        """Return a copy of a plane of the source."""
        plane: NDArray[Any] = np.array(self._from_source(index))
        return plane

    def channels(self, noisy: NDArray[Any]) -> NDArray[Any]:
        """Return a noisy plane as (C, Y, X), with its stuck pixels filled."""
        channels = self.grid.to_channels(noisy)
        if not self._fill_stuck:
            return channels
        return fill_stuck(channels, of_one_image=self.grid.rgb)

    def put(self, index: Index, noisy: NDArray[Any], values: NDArray[Any]) -> None:
        """Take the result of a plane, shape (C, Y, X), in the input's units."""
        channels = to_dtype(values, self.dtype)
        self._keep(index, noisy, self.grid.from_channels(channels, noisy))

    def finished(self, index: Index) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs of a plane that is done, as views."""
        arrays: dict[str, NDArray[Any]] = {"image": self.image[index]}
        if self.uncertainty is not None:
            arrays["uncertainty"] = self.uncertainty[index]
        return arrays

    def restore(self, index: Index, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take a plane that was done before, as `finished` gave it."""
        self._keep(index, self.plane(index), arrays["image"])
        if self.uncertainty is not None:
            self.uncertainty[index] = arrays["uncertainty"]

    def _keep(self, index: Index, noisy: NDArray[Any], image: NDArray[Any]) -> None:
        self.image[index] = image
        self.noise_map[index] = noisy.astype(np.float64) - image

    def put_uncertainty(self, index: Index, errors: NDArray[Any]) -> None:
        """Take the standard errors of a plane, shape (C, Y, X), if they are asked for.

        Transparency is not denoised, and has none.
        """
        if self.uncertainty is not None:
            nothing = np.zeros(self.grid.plane_shape, np.float32)
            channels = errors.astype(np.float32)
            self.uncertainty[index] = self.grid.from_channels(channels, nothing)

    def noisy(self, indices: list[Index]) -> NDArray[Any]:
        """Return planes of the source, (N, Y, X), with their stuck pixels filled.

        Colours count as planes.
        """
        planes = [self.channels(self._from_source(index)) for index in indices]
        return np.concatenate(planes)

    def waiting(self, indices: list[Index]) -> NDArray[Any]:
        """Return what `noisy` does, of planes that are not done, from the result."""
        return np.concatenate([self.channels(self.image[index]) for index in indices])

    def done(self, indices: list[Index]) -> NDArray[Any]:
        """Return planes of the result, (N, Y, X); colours count as planes."""
        planes = [self.grid.to_channels(self.image[index]) for index in indices]
        return np.concatenate(planes)

    def intensity(self, index: Index) -> NDArray[Any] | None:
        """Return what the noise of a plane depends on, if not its own values.

        The shape is (C, Y, X).
        """
        if self._intensity is None:
            return None
        return self.grid.to_channels(np.asarray(self._intensity[index]))

    def intensities(self, indices: list[Index]) -> NDArray[Any] | None:
        """Return what the noise of planes depends on, (N, Y, X), as `intensity`."""
        found = [self.intensity(index) for index in indices]
        known = [one for one in found if one is not None]
        return np.concatenate(known) if known else None

    def let_go(self) -> None:
        """Let what was read, and what was written to files, leave the memory."""
        self._planes.let_go()
        self._let_go_of_files()

    def _let_go_of_files(self) -> None:
        for array in (self._source, self.image, self.noise_map, self.uncertainty):
            let_go(array)


def allocate_results(
    source: Any,
    shape: tuple[int, ...],
    *,
    uncertainty: bool = False,
    in_float: bool = False,
) -> Results:
    """Return arrays for the results of a source, in memory or in temporary files."""
    # Big-endian files are common in microscopy; torch wants the native order.
    dtype = np.dtype(np.float32 if in_float else source.dtype).newbyteorder("=")
    n_bytes = math.prod(shape) * (dtype.itemsize + 4 + 4 * uncertainty)
    on_disk = belongs_on_disk(source, n_bytes)
    return Results(
        allocate(shape, dtype, on_disk),
        allocate(shape, np.float32, on_disk),
        allocate(shape, np.float32, on_disk) if uncertainty else None,
    )


def planes_to_look_at(indices: list[Index], grid: PlaneGrid) -> list[Index]:
    """Return the planes, of these, that tell the noise and how it was removed."""
    at_a_time = max(1, _MAX_PIXELS // math.prod(grid.plane_shape))
    return spread_evenly(indices, min(_MAX_PLANES, at_a_time))
