"""What a pixel's own noisy value adds to a prediction that was blind to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.analysis.noise import NoiseEstimate

__all__ = ["combine_with_input", "error_variance", "without_outliers"]

Array = NDArray[np.float64]

_SMOOTHING = 2.0  # pixels
# What all predictions of a pixel have wrong in common does not show in their spread.
# On synthetic images with known truth (benchmarks/own_pixel.py) this serves best.
_ERROR_PER_SPREAD = 2.0
# Standard deviations; Gaussian noise exceeds them in one of two thousand pixels.
_OUTLYING = 3.5
_TINY = float(np.finfo(float).tiny)


def combine_with_input(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    spread: NDArray[Any],
    noise: NoiseEstimate,
) -> Array:
    """Let each pixel's own noisy value correct a prediction that was blind to it.

    Parameters
    ----------
    noisy, estimate : ndarray
        The image and its prediction from other pixels, shape (C, Y, X), in the input's
        units.
    spread : ndarray
        Variance of the predictions that were averaged, of the same shape, in units
        squared.
    noise : NoiseEstimate
        The noise, which has to be independent from pixel to pixel.

    Returns
    -------
    ndarray
        The mean of both, each weighted by the inverse of its error variance, float64.
    """
    error = error_variance(spread)
    weight = error / np.maximum(error + noise.variance(estimate), _TINY)
    combined: Array = estimate + weight * (noisy - np.asarray(estimate, np.float64))
    return combined


def without_outliers(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    spread: NDArray[Any],
    noise: NoiseEstimate,
) -> Array:
    """Bring values that neither noise nor structure explains closer to the estimate.

    A hot pixel or a cosmic ray would count as structure otherwise.

    Parameters
    ----------
    noisy, estimate, spread, noise
        As for `combine_with_input`.

    Returns
    -------
    ndarray
        The noisy image, no farther from the estimate than 3.5 standard deviations of
        what is expected, float64. Photons come one by one, so that few of them scatter
        farther upwards: the limit there is the Cornish-Fisher quantile, whose skewness
        is that of the gain.
    """
    variance = error_variance(spread) + noise.variance(estimate)
    limit = _OUTLYING * np.sqrt(np.maximum(variance, 0))
    skewed = (_OUTLYING**2 - 1) / 6 * noise.gain
    limited: Array = np.clip(noisy, estimate - limit, estimate + limit + skewed)
    return limited


def error_variance(spread: NDArray[Any]) -> Array:
    """Return the expected squared error of predictions that scatter so much.

    Parameters
    ----------
    spread : ndarray
        Variance of the predictions that were averaged, shape (C, Y, X).
    """
    # Neighbours are about as hard to predict; together they tell more reliably.
    smooth: Array = ndimage.gaussian_filter(
        np.asarray(spread, np.float64), (0, _SMOOTHING, _SMOOTHING), mode="nearest"
    )
    return _ERROR_PER_SPREAD * smooth
