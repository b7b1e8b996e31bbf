"""Planes smoothed by a Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["convolved", "gaussian"]


def gaussian(sigma: float, reach: int | None = None) -> Tensor:
    """Return a Gaussian of a standard deviation in pixels, its sum one.

    It reaches so many pixels to either side, or three standard deviations.
    """
    reach = round(3 * sigma) if reach is None else reach
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    return kernel / kernel.sum()


def convolved(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolve planes along rows and columns.

    Parameters
    ----------
    planes : Tensor
        Shape (C, 1, H, W), with as many pixels around as the kernel reaches.
    kernel : Tensor
        Shape (K,).

    Returns
    -------
    Tensor
        Without the pixels around, shape (C, 1, H + 1 - K, W + 1 - K).
    """
    along_y = F.conv2d(planes, kernel[None, None, :, None])
    return F.conv2d(along_y, kernel[None, None, None])
