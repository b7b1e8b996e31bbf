"""What noisy values add to a prediction that was blind to them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.arrays.intensity import without_hot_pixels

__all__ = [
    "combine_with_input",
    "error_variance",
    "unexplained_variance",
    "without_lines",
    "without_outliers",
]

_SMOOTHING = 2.0  # pixels
# What all predictions of a pixel have wrong in common does not show in their spread.
# On synthetic images with known truth (benchmarks/own_pixel.py) this serves best.
_ERROR_PER_SPREAD = 2.0
# Standard deviations; Gaussian noise exceeds them in one of two thousand pixels.
_OUTLYING = 3.5
# The mean square of noise over this neighbourhood (a Gaussian, in pixels) seldom is by
# more than this share above its variance: what is more is structure, not predicted.
_NEIGHBOURHOOD = 5.0
_BY_CHANCE = 0.3
_TINY = float(np.finfo(np.float32).tiny)


def combine_with_input(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    error: NDArray[Any],
    variance: NDArray[Any],
) -> NDArray[Any]:
    """Let each pixel's own noisy value correct a prediction that was blind to it.

    Parameters
    ----------
    noisy, estimate : ndarray
        The image and its prediction from other pixels, shape (C, Y, X), of a floating
        type and in the same units.
    error : ndarray
        Variance of the prediction's error, of the same shape, in units squared.
    variance : ndarray
        Variance of the noise, of the same shape.

    Returns
    -------
    ndarray
        The mean of both, each weighted by the inverse of its error variance.
    """
    weight = error / np.maximum(error + variance, _TINY)
    combined: NDArray[Any] = estimate + weight * (noisy - estimate)
    return combined


def without_outliers(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    error: NDArray[Any],
    variance: NDArray[Any],
    gain: float,
) -> NDArray[Any]:
    """Bring values that neither noise nor structure explains closer to the estimate.

    A hot pixel or a cosmic ray would count as structure otherwise.

    Parameters
    ----------
    noisy, estimate, error, variance
        As for `combine_with_input`.
    gain : float
        What one photo-electron gives, in the same units; 0 for noise that scatters
        as far downwards as upwards.

    Returns
    -------
    ndarray
        The noisy image, no farther from the estimate than 3.5 standard deviations of
        what is expected. Photons come one by one, so that few of them scatter
        farther upwards: the limit there is the Cornish-Fisher quantile, whose skewness
        is that of the gain.
    """
    limit = _OUTLYING * np.sqrt(np.maximum(error + variance, 0))
    skewed = (_OUTLYING**2 - 1) / 6 * gain
    limited: NDArray[Any] = np.clip(noisy, estimate - limit, estimate + limit + skewed)
    return limited


def without_lines(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    lines: Literal["rows", "columns"],
) -> NDArray[Any]:
    """Subtract from each row or column what its pixels have in common.

    Parameters
    ----------
    noisy, estimate : ndarray
        The image, and its prediction from other lines, shape (C, Y, X).
    lines : {"rows", "columns"}
        What has noise of its own.

    Returns
    -------
    ndarray
        The median along a line hardly sees structure that was not predicted.
    """
    axis = {"rows": -1, "columns": -2}[lines]
    difference = noisy - estimate
    freed: NDArray[Any] = noisy - np.median(difference, axis=axis, keepdims=True)
    return freed


def error_variance(spread: NDArray[Any]) -> NDArray[Any]:
    """Return the expected squared error of predictions that scatter so much.

    Parameters
    ----------
    spread : ndarray
        Variance of the predictions that were averaged, shape (C, Y, X).
    """
    # Neighbours are about as hard to predict; together they tell more reliably.
    return _ERROR_PER_SPREAD * _smoothed(spread, _SMOOTHING)


def unexplained_variance(
    noisy: NDArray[Any], estimate: NDArray[Any], variance: NDArray[Any]
) -> NDArray[Any]:
    """Return what lies between an image and its prediction beyond noise.

    Parameters
    ----------
    noisy, estimate, variance
        As for `combine_with_input`.

    Returns
    -------
    ndarray
        Variance of the error that all predictions of a pixel make alike, which their
        scatter does not show; 0 where noise explains the difference.
    """
    difference = without_hot_pixels(noisy) - estimate
    expected = _smoothed(variance, _NEIGHBOURHOOD)
    found = _smoothed(difference**2, _NEIGHBOURHOOD)
    unexplained: NDArray[Any] = np.maximum(found - (1 + _BY_CHANCE) * expected, 0)
    return unexplained


def _smoothed(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    smooth: NDArray[Any] = ndimage.gaussian_filter(
        values, (0, sigma, sigma), mode="nearest"
    )
    return smooth
