"""Filter a noisy plane by the spectrum of its estimate, in small overlapping blocks.

A blind estimate is made of single pixels, and so is the correction by each pixel's own
value. What many pixels of a neighbourhood say together, as along an edge, is still in
the noisy image: the empirical Wiener filter of Ghael, Sayeed and Baraniuk (SPIE 1997),
which is also the second step of BM3D, gathers it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.engine.borders import mirrored

__all__ = ["wiener_filter"]

_BLOCK = 8  # pixels
# Noise below a hundred-thousandth of the network's range is none.
_LEAST_VARIANCE = 1e-10
# Variance of a block's mean, once the blocks that overlap are averaged, in units of
# what it is in one. The errors of the estimate are in all of them alike.
_NOISE_OF_MEANS = 0.4
# The median of the square of a standard normal number.
_MEDIAN_OF_SQUARES = 0.455
_LEAST_SHARE = 0.05
# Blocks to measure the noise in.
_MAX_SAMPLES = 2**15
# How many coefficients are held in memory at a time.
_MAX_COEFFICIENTS = 2**23


def wiener_filter(
    noisy: Tensor,
    estimate: Tensor,
    blind: Tensor,
    variance: Tensor,
    *,
    caution: float = 1.0,
) -> Tensor:
    """Filter each block by what the estimate says is signal in it.

    Parameters
    ----------
    noisy : Tensor
        The plane in the network's range, shape (C, H, W), float32.
    estimate : Tensor
        A first estimate of it, of the same shape.
    blind : Tensor
        A first estimate of each pixel from others, of the same shape.
    variance : Tensor
        Variance of the noise of each pixel, of the same shape.
    caution : float
        How many times as strong to take the noise: more than once where part of it was
        predicted, and the estimate is not free of it.

    Returns
    -------
    Tensor
        The filtered plane, shape (C, H, W).

    Notes
    -----
    Each block of 8x8 pixels, at every place, is taken apart into cosines. Of the noisy
    block's coefficient the share ``s**2 / (s**2 + v)`` is kept, with s the same
    coefficient of the estimate and v the variance of the noise. How v is spread over
    the coefficients is measured in the residual of the blind estimate, by medians,
    which hardly see structure that is there in few places. The block's mean lies
    between those of estimate and noisy image: the more the mean of the squared
    residuals exceeds what the median tells of noise, the closer to the latter. The
    blocks that cover a pixel are averaged, each weighted by the inverse of the variance
    that is left in it.
    """
    height, width = noisy.shape[-2:]
    edge = _BLOCK - 1
    noisy, estimate, blind, variance = (
        mirrored(plane, (edge, edge), (edge, edge))[:, None]
        for plane in (noisy, estimate, blind, variance.clamp_min(_LEAST_VARIANCE))
    )
    total = torch.zeros_like(noisy)
    weights = torch.zeros_like(noisy)
    basis = _cosines().to(noisy.device)  # (64, 64)
    spectrum, trust = _noise_in(noisy - blind, variance, basis)
    spectrum *= caution
    n_rows = max(1, _MAX_COEFFICIENTS // (len(basis) * len(noisy) * (width + edge)))
    for top in range(0, height + edge, n_rows):
        # Blocks that begin in these rows, N in number.
        rows = slice(top, min(top + n_rows, height + edge) + edge)
        coefficients = basis @ F.unfold(noisy[:, :, rows], _BLOCK)  # (C, 64, N)
        expected = basis @ F.unfold(estimate[:, :, rows], _BLOCK)
        coefficients[:, :1].lerp_(expected[:, :1], 1 - trust)
        floor = _means(variance[:, :, rows], stride=1) * spectrum
        power = expected.square_()
        kept = power.div_(power + floor)
        kept[:, 0] = 1
        weight = 1 / (floor * kept.square()).sum(dim=1, keepdim=True)  # (C, 1, N)
        blocks = basis.T @ coefficients.mul_(kept).mul_(weight)
        size = noisy[0, 0, rows].shape
        total[:, :, rows] += F.fold(blocks, size, _BLOCK)
        weights[:, :, rows] += F.fold(weight.expand_as(blocks), size, _BLOCK)
    filtered = total / weights
    return filtered[:, 0, edge : edge + height, edge : edge + width]


def _noise_in(
    residual: Tensor, variance: Tensor, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure the noise in the residual of a blind estimate.

    Returns
    -------
    spectrum : Tensor
        Variance of each coefficient over that of a pixel, shape (C, 64, 1).
    trust : Tensor
        Weight of the noisy blocks' means against the estimate's, shape (C, 1, 1).
    """
    height, width = residual.shape[-2:]
    stride = max(_BLOCK // 2, int((height * width / _MAX_SAMPLES) ** 0.5))
    squares = (basis @ F.unfold(residual, _BLOCK, stride=stride)).square_()
    squares /= _means(variance, stride)  # (C, 64, N)
    typical = squares.median(dim=2, keepdim=True).values / _MEDIAN_OF_SQUARES
    # Of the strength, the estimate of the noise knows more: empty regions would count.
    spectrum = (typical / typical.mean(dim=1, keepdim=True)).nan_to_num(1.0)
    excess = squares[:, :1].mean(dim=2, keepdim=True) / typical[:, :1] - 1
    excess = excess.nan_to_num(0.0, posinf=0.0).clamp_min(0)
    return spectrum.clamp_min(_LEAST_SHARE), excess / (excess + _NOISE_OF_MEANS)


def _means(plane: Tensor, stride: int) -> Tensor:
    """Return the mean of each block, shape (C, 1, N)."""
    return F.avg_pool2d(plane, _BLOCK, stride).flatten(2)


def _cosines() -> Tensor:
    """Return the orthonormal basis of the blocks, a row each, the mean first."""
    waves = dct(np.eye(_BLOCK), axis=0, norm="ortho")  # (frequency, pixel)
    return torch.from_numpy(np.kron(waves, waves).astype(np.float32))
