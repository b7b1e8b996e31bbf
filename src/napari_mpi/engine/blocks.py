"""Small blocks of planes as sums of cosines, and the noise in these."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "BLOCK",
    "MAX_COEFFICIENTS",
    "MEDIAN_OF_SQUARES",
    "cosines",
    "means",
    "noise_in",
]

BLOCK = 8
"""Rows and columns of a block, in pixels."""

MAX_COEFFICIENTS = 2**23
"""How many coefficients are held in memory at a time."""

# Variance of a block's mean, once the blocks that overlap are averaged, in units of
# what it is in one. The errors of the estimate are in all of them alike.
_NOISE_OF_MEANS = 0.4
MEDIAN_OF_SQUARES = 0.455
"""The median of the square of a standard normal number."""

_LEAST_SHARE = 0.05
# Blocks to measure the noise in.
_MAX_SAMPLES = 2**15


def cosines(size: int) -> Tensor:
    """Return the orthonormal cosines of so many samples, a row each, the mean first."""
    waves = dct(np.eye(size), axis=0, norm="ortho")
    return torch.from_numpy(waves.astype(np.float32))


def means(plane: Tensor, stride: int) -> Tensor:
    """Return the mean of each block of planes (C, 1, H, W), shape (C, 1, N)."""
    return F.avg_pool2d(plane, BLOCK, stride).flatten(2)


def noise_in(
    residual: Tensor, variance: Tensor, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure the noise in the residual of a blind estimate.

    Parameters
    ----------
    residual, variance : Tensor
        What the estimate left of the noisy plane, and the variance of the noise that is
        expected there; shape (C, 1, H, W).
    basis : Tensor
        The cosines of a block, shape (64, 64).

    Returns
    -------
    spectrum : Tensor
        Variance of each coefficient over that of a pixel, shape (C, 64, 1).
    trust : Tensor
        Weight of the noisy blocks' means against the estimate's, shape (C, 1, 1).
    """
    height, width = residual.shape[-2:]
    stride = max(BLOCK // 2, int((height * width / _MAX_SAMPLES) ** 0.5))
    squares = (basis @ F.unfold(residual, BLOCK, stride=stride)).square_()
    squares /= means(variance, stride)  # (C, 64, N)
    typical = squares.median(dim=2, keepdim=True).values / MEDIAN_OF_SQUARES
    # Of the strength, the estimate of the noise knows more: empty regions would count.
    spectrum = (typical / typical.mean(dim=1, keepdim=True)).nan_to_num(1.0)
    excess = squares[:, :1].mean(dim=2, keepdim=True) / typical[:, :1] - 1
    excess = excess.nan_to_num(0.0, posinf=0.0).clamp_min(0)
    return spectrum.clamp_min(_LEAST_SHARE), excess / (excess + _NOISE_OF_MEANS)
