"""The noise of the brightness of RGB images, told by their colour differences.

Brightness and two colour differences, which are orthonormal, have noise of the same
strength where red, green and blue have their own. Most of the structure is in the
brightness, so that the noise of the differences is better known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.noise import NoiseEstimate, estimate_noise
from napari_mpi.analysis.shared_noise import NeighbourCorrelation
from napari_mpi.arrays.colour import BRIGHTNESS_FIRST, light_in_difference
from napari_mpi.arrays.spread import evenly

__all__ = ["ColourNoise"]

# Of the range of the brightness, structure of photographs that are clean leaves 0.3 %
# at most in the quieter of the differences, and noise of σ 3 / 255 leaves 0.6 %.
_PRESENT = 0.005
# The noise of the brightness over that of the differences: white noise is about equal.
# Demosaicing and gamma correction, which make neighbours share it, weaken differences.
_LEAST, _MOST, _MOST_IF_SHARED = 0.9, 1.15, 1.5
_MAX_PIXELS, _N_STRIPS, _LEAST_ROWS = 4_000_000, 4, 64


class ColourNoise:
    """What colour differences tell of the noise, measured when it is asked for.

    Parameters
    ----------
    read : callable
        Returns planes whose colours have structure in common, shape (N, Y, X, 3).
    """

    def __init__(self, read: Callable[[], NDArray[Any]]) -> None:
        self._read = read

    @cached_property
    def _measured(self) -> tuple[list[NoiseEstimate], float]:
        """The noise of each difference that is not constant; the brightness' range."""
        planes = self._read()
        # Some strips of a large plane tell enough, and are held as floats.
        height, width = planes.shape[1:3]
        n_rows = max(_LEAST_ROWS, _MAX_PIXELS // width // _N_STRIPS)
        if n_rows * _N_STRIPS < height:
            starts = evenly(height - n_rows, _N_STRIPS)
            planes = np.concatenate([planes[:, top : top + n_rows] for top in starts])
        brightness, *differences = BRIGHTNESS_FIRST.split(planes)
        found = [
            estimate_noise(plane, intensity=light_in_difference(number, planes))
            for number, plane in enumerate(differences, start=1)
            if plane.min() < plane.max()
        ]
        low, high = np.percentile(brightness, (0.1, 99.9))
        return found, float(high - low)

    @property
    def present(self) -> bool:
        """Whether there is noise beyond doubt."""
        differences, signal_range = self._measured
        least = _PRESENT * signal_range
        return [one.rms > least for one in differences] == [True, True]

    def of_difference(
        self, noise: NoiseEstimate, planes: NDArray[Any]
    ) -> NoiseEstimate:
        """Return the noise of planes of a difference, with what is known besides.

        It is weak or strong for the whole image, of which differences may be a small
        part.
        """
        signal_range = max(noise.signal_range, self._measured[1])
        return replace(noise, confirmed=self.present, signal_range=signal_range)

    def of_brightness(
        self, noise: NoiseEstimate, planes: NDArray[Any]
    ) -> NoiseEstimate:
        """Return the noise of planes of the brightness, corrected by the differences.

        Parameters
        ----------
        noise : NoiseEstimate
            What the planes tell alone.
        planes : ndarray
            Shape (N, Y, X).
        """
        if not self.present:
            return noise
        if (neighbours := self._neighbours(noise)) is not None:
            noise = estimate_noise(planes, neighbours=neighbours)
        if noise.negligible:  # it cannot be scaled
            return noise
        rms = float(np.sqrt(np.mean([one.rms**2 for one in self._measured[0]])))
        most = _MOST_IF_SHARED if noise.shared else _MOST
        right = float(np.clip(noise.rms, _LEAST * rms, most * rms))
        return replace(noise.times(right / noise.rms), confirmed=True)

    def _neighbours(self, noise: NoiseEstimate) -> NeighbourCorrelation | None:
        """Return how neighbours correlate, if the differences know better."""
        if not noise.neighbours_correlate:
            return None  # no structure hides it
        differences, _ = self._measured
        if not any(one.neighbours_correlate for one in differences):
            return NeighbourCorrelation((0.0, 0.0), by_noise=False)
        shared = [one for one in differences if one.shared]
        if noise.shared or not shared:
            return None
        return NeighbourCorrelation(
            shared[0].correlation, by_noise=True, certain=shared[0].certain
        )
