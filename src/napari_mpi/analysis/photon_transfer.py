"""Noise in dependence on the intensity: the photon transfer curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.spread import sampled

__all__ = ["PhotonTransfer", "photon_transfer"]

_MAX_VALUES = 250_000  # known well enough, and computed within milliseconds
_N_BINS = 16  # of equal width; those with few pixels are left out
_FEWEST = 30  # pixels that tell a variance
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class PhotonTransfer:
    """How much was removed at each intensity.

    Attributes
    ----------
    intensity : ndarray
        Mean of the denoised pixels of each bin, rising.
    variance : ndarray
        Variance of the noise map among these pixels.
    """

    intensity: NDArray[np.float64]
    variance: NDArray[np.float64]


def photon_transfer(denoised: NDArray[Any], noise_map: NDArray[Any]) -> PhotonTransfer:
    """Return the variance of the noise map over the denoised intensity.

    For photon noise and read noise together it is a straight line, whose slope is the
    camera's gain (Janesick, *Photon Transfer*, SPIE 2007).

    Parameters
    ----------
    denoised, noise_map : ndarray
        Of the same shape and units.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.repeat([[10.0], [90.0]], 5000, axis=1)
    >>> noise = np.random.default_rng(0).poisson(clean) - clean
    >>> photon_transfer(clean, noise).variance.round(-1)
    array([10., 90.])
    """
    intensity = sampled(denoised, _MAX_VALUES).astype(np.float64)
    noise = sampled(noise_map, _MAX_VALUES).astype(np.float64)
    low, high = np.percentile(intensity, _PERCENTILES)
    if not high > low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, _N_BINS + 1)[1:-1]
    inside = (intensity >= low) & (intensity <= high)
    intensity, noise = intensity[inside], noise[inside]
    place = np.digitize(intensity, edges)
    counts, total, sums, squares = (
        np.bincount(place, weights, minlength=_N_BINS)
        for weights in (None, intensity, noise, noise**2)
    )
    enough = counts >= min(_FEWEST, counts.max())
    counts = counts[enough]
    variance = squares[enough] / counts - (sums[enough] / counts) ** 2
    return PhotonTransfer(total[enough] / counts, np.maximum(variance, 0))
