"""Scaling of intensities to the network's range, and exactly back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.arrays.spread import sampled

if TYPE_CHECKING:
    from napari_mpi.config import ScalingMode

__all__ = [
    "Scaling",
    "beyond_range",
    "in_floats",
    "seen",
    "to_dtype",
    "without_hot_pixels",
]


# Where the percentiles land: away from 0 and 1, which a sigmoid never reaches.
_LOW, _HIGH = 0.05, 0.95
_PERCENTILES = (0.1, 99.9)
# Noise reaches no farther, and what lies farther is not to drown everything else.
_LOWEST_SEEN, _HIGHEST_SEEN = -0.25, 1.25
# Of a pixel and its eight neighbours; fewer may be hot pixels.
_N_STRUCTURE = 3
# From the second lowest to the second highest of eight noisy values it is half as far
# as from there to where hardly any noise reaches.
_REACH = 2.0
# Percentiles of a huge stack are read from a sample of this many values.
_MAX_SAMPLE = 4_000_000


@dataclass(frozen=True)
class Scaling:
    """The affine map ``scaled = (value - offset) / gain``.

    Attributes
    ----------
    offset, gain : float
        In the input's units. `gain` is positive.
    """

    offset: float
    gain: float

    @classmethod
    def fit(cls, array: NDArray[Any], mode: ScalingMode = "range") -> Scaling:
        """Choose one scaling for a whole array.

        Parameters
        ----------
        array : ndarray
            Any shape, real and finite.
        mode : {"range", "percentile", "none"}
            "range" divides 8-bit data by 255, as the paper does; other types have no
            such natural range and fall back to "percentile", which puts the 0.1 and
            99.9 percentiles to 0.05 and 0.95. "none" takes values as they are, for
            data that already lies within 0 to 1.
        """
        if mode == "none":
            return cls(0.0, 1.0)
        if mode == "range" and array.dtype == np.uint8:
            return cls(0.0, 255.0)
        sample = sampled(array, _MAX_SAMPLE).astype(np.float64)
        low, high = np.percentile(sample, _PERCENTILES)
        if high <= low:  # nearly all pixels equal: use the extremes
            low, high = float(sample.min()), float(sample.max())
        if high <= low:
            return cls(float(low), 1.0)
        gain = (high - low) / (_HIGH - _LOW)
        return cls(float(low - _LOW * gain), float(gain))

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return a scaled float32 copy of any shape."""
        scaled: NDArray[np.float32] = (
            (array.astype(np.float64) - self.offset) / self.gain
        ).astype(np.float32)
        return scaled

    def invert(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Return values in the input's units, float64."""
        values: NDArray[np.float64] = (
            scaled.astype(np.float64) * self.gain + self.offset
        )
        return values


def beyond_range(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much structure lies beyond the network's range.

    Parameters
    ----------
    scaled : ndarray
        Shape (..., Y, X).

    Returns
    -------
    ndarray
        Positive above 1 and negative below 0. 0 between these, and in pixels that stick
        out alone.
    """
    excess: NDArray[np.float32] = scaled - np.clip(scaled, 0, 1)
    window = (1,) * (scaled.ndim - 2) + (3, 3)
    structure = np.zeros(scaled.shape, bool)
    for outside in (excess > 0, excess < 0):
        if outside.any():
            count = ndimage.convolve(
                outside.astype(np.uint8), np.ones(window, np.uint8), mode="mirror"
            )
            structure |= outside & (count >= _N_STRUCTURE)
    excess[~structure] = 0
    return excess


def in_floats(array: NDArray[Any]) -> NDArray[Any]:
    """Return values as float32 if that holds them, or as float64."""
    return np.asarray(array, np.result_type(array, np.float32))


def seen(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scaled values as far as the network is to see them."""
    limited: NDArray[np.float32] = np.clip(scaled, _LOWEST_SEEN, _HIGHEST_SEEN)
    return limited


def without_hot_pixels(plane: NDArray[Any]) -> NDArray[Any]:
    """Limit values that stick out from their surroundings alone.

    Parameters
    ----------
    plane : ndarray
        Shape (..., Y, X), real and finite.

    Returns
    -------
    ndarray
        As `in_floats` gives it, each value no farther from its eight neighbours than
        twice as much as these are from each other, the highest and the lowest of them
        aside, as that may be hot, too: hardly any noise reaches there, and of a point
        in focus the tip.
    """
    plane = in_floats(plane)
    edges = [(0, 0)] * (plane.ndim - 2) + [(1, 1)] * 2
    padded = np.pad(plane, edges, mode="reflect")
    windows = sliding_window_view(padded, (3, 3), axis=(-2, -1))
    neighbours = [
        windows[..., row, column]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
    highest = _second(neighbours, np.maximum, np.minimum)
    lowest = _second(neighbours, np.minimum, np.maximum)
    with np.errstate(over="ignore"):  # infinitely far is far enough
        reach = _REACH * (highest - lowest)
        limited: NDArray[Any] = np.clip(plane, lowest - reach, highest + reach)
    return limited


def _second(
    arrays: list[NDArray[Any]], first_of: np.ufunc, last_of: np.ufunc
) -> NDArray[Any]:
    first, second = first_of(*arrays[:2]), last_of(*arrays[:2])
    for array in arrays[2:]:
        first_of(second, last_of(first, array), out=second)
        first_of(first, array, out=first)
    found: NDArray[Any] = second
    return found


def to_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round and clip to an integer type, or clip and convert to a floating one.

    Parameters
    ----------
    values : ndarray
        Real numbers.
    dtype : dtype
        The type to return.
    """
    # Clipped in double precision: float32 cannot hold the largest int32.
    values = np.asarray(values, np.float64)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        # float64 cannot hold the largest 64-bit integers: clip below the next one up.
        high = min(float(info.max), float(np.nextafter(float(info.max) + 1, 0)))
        whole: NDArray[Any] = np.clip(np.rint(values), float(info.min), high)
        return whole.astype(dtype)
    limit = float(np.finfo(dtype).max)
    clipped: NDArray[Any] = np.clip(values, -limit, limit)
    return clipped.astype(dtype)
