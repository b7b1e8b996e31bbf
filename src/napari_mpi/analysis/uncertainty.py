"""How far off each denoised pixel may be, from how much its predictions scatter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.analysis.noisy_values import error_variance

__all__ = ["standard_error"]


def standard_error(
    spread: NDArray[Any], estimate: NDArray[Any], noise: NoiseEstimate | None = None
) -> NDArray[np.float64]:
    """Estimate the standard error of each denoised pixel.

    Parameters
    ----------
    spread : ndarray
        Variance of the predictions of each pixel that were averaged, shape (C, Y, X),
        in units squared.
    estimate : ndarray
        Their mean, of the same shape.
    noise : NoiseEstimate, optional
        Of the image, where `combine_with_input` combines the prediction with the
        pixel's own noisy value.

    Returns
    -------
    ndarray
        Shape (C, Y, X), in the units of the image.

    Notes
    -----
    The factor from spread to error is one for all images. On synthetic images with
    known truth (benchmarks/uncertainty.py) the root mean square of the error is about
    half to twice that of the standard error. What every prediction of a pixel has wrong
    alike, as structure that the network cannot see or noise that neighbours share,
    makes no spread and is not in it: the bias. What the Wiener filter gains is not in
    it either.
    """
    error = error_variance(spread)
    if noise is not None:
        variance = noise.variance(estimate)
        # The variance of a mean that is weighted by inverse variances.
        error = error * variance / np.maximum(error + variance, np.finfo(float).tiny)
    return np.sqrt(error)
