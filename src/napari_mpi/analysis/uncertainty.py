"""How far off each denoised pixel may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["standard_error"]


def standard_error(
    error: NDArray[Any], variance: NDArray[Any] | None = None
) -> NDArray[np.float64]:
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
        error = error * variance / np.maximum(error + variance, np.finfo(float).tiny)
    root: NDArray[np.float64] = np.sqrt(error)
    return root
