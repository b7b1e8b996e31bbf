"""How far off each denoised pixel may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["error_of_filled", "standard_error"]

_TINY = float(np.finfo(np.float32).tiny)


def standard_error(
    error: NDArray[Any], variance: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Estimate the standard error of each denoised pixel.

    Parameters
    ----------
    error : ndarray
        Variance of the predictions' error, shape (C, Y, X), in units squared.
    variance : ndarray, optional
        Variance of the noise, of the same shape, where `combine_with_input` combines
        the prediction with the pixel's own noisy value.

    Returns
    -------
    ndarray
        Shape (C, Y, X), in the units of the image.

    Notes
    -----
    On synthetic images with known truth (benchmarks/uncertainty.py) the root mean
    square of the error is about half to twice that of the standard error. Noise that
    neighbours share, where it was predicted, is not in it, and neither is what the
    Wiener filter gains.
    """
    if variance is not None:
        # The variance of a mean that is weighted by inverse variances.
        error = error * variance / np.maximum(error + variance, _TINY)
    root: NDArray[Any] = np.sqrt(error)
    return root


def error_of_filled(
    values: NDArray[Any], filled: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Estimate the standard error of pixels that were filled from their neighbours.

    Parameters
    ----------
    values : ndarray
        The image, shape (C, Y, X).
    filled : ndarray
        Which pixels were filled, of the same shape.

    Returns
    -------
    ndarray
        Of the same shape: where a pixel was filled, the standard deviation of the 3x3
        pixels around it; 0 in the others, which were left as they are.
    """
    shifted = values - np.mean(values, dtype=np.float64)
    mean, square = (
        ndimage.uniform_filter(one, (0, 3, 3)) for one in (shifted, shifted**2)
    )
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.where(filled, spread, 0.0)
