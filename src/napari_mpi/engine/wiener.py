"""Filter a noisy plane by the spectrum of its estimate, in small overlapping blocks.

A blind estimate is made of single pixels, and so is the correction by each pixel's own
value. What many pixels of a neighbourhood say together, as along an edge, is still in
the noisy image: the empirical Wiener filter of Ghael, Sayeed and Baraniuk (SPIE 1997),
which is also the second step of BM3D, gathers it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.engine.blocks import BLOCK, MAX_COEFFICIENTS, cosines, means, noise_in
from napari_mpi.engine.borders import bands, mirrored
from napari_mpi.engine.similar_blocks import REACH, filter_groups
from napari_mpi.engine.smoothing import convolved, gaussian

__all__ = ["wiener_filter"]

# Noise below a hundred-thousandth of the network's range is none.
_LEAST_VARIANCE = 1e-10
# Light is given back smoothed by a Gaussian of this standard deviation, in pixels: as
# wide as the smallest spots that a microscope shows.
_LIGHT_SIGMA = 1.5
_LIGHT_REACH = 6
_EDGE = BLOCK - 1
# Large planes are filtered in bands of so many rows, with as many around them as have
# a part in what becomes of them: by light, blocks, and groups that hold these.
_BAND = 1024
_AROUND = _LIGHT_REACH + 2 * _EDGE + 2 * REACH


def wiener_filter(
    noisy: Tensor,
    estimate: Tensor,
    blind: Tensor,
    variance: Tensor,
    guide: Tensor | None = None,
    *,
    caution: float = 1.0,
    independent: bool = False,
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
    guide : Tensor, optional
        What tells better than the estimate which blocks look alike, of the same shape.
    caution : float
        How many times as strong to take the noise: more than once where part of it was
        predicted, and the estimate is not free of it.
    independent : bool
        Whether neighbours do not share their noise. Then blocks that look alike are
        filtered together first (see `napari_mpi.engine.similar_blocks`), and light that
        the filter takes from small structures is given back.

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

    A filter that removes noise removes part of a small spot, too. How much is seen in
    what the same filter takes from the estimate, which is given back smoothed, and as
    far as it is more than smoothed noise.
    """
    variance = variance.clamp_min(_LEAST_VARIANCE)
    waves = cosines(BLOCK).to(noisy.device)
    basis = torch.kron(waves, waves)  # (64, 64)
    border = (_EDGE, _EDGE)
    residual, expected = (
        mirrored(plane, border, border)[:, None] for plane in (noisy - blind, variance)
    )
    spectrum, trust = noise_in(residual, expected, basis)
    del residual, expected
    spectrum *= caution
    guide = estimate if guide is None else guide
    unit = variance.mean(dim=(1, 2), keepdim=True).sqrt()  # in which blocks differ
    filtered = torch.empty_like(noisy)
    for band, rows, within in bands(noisy.shape[-2], _BAND, _AROUND):
        done = _filter_band(
            noisy[:, rows],
            estimate[:, rows],
            variance[:, rows],
            guide[:, rows] / unit if independent else None,
            spectrum,
            trust,
            basis,
        )
        filtered[:, band] = done[:, within]
    return filtered


def _filter_band(
    noisy: Tensor,
    estimate: Tensor,
    variance: Tensor,
    guide: Tensor | None,
    spectrum: Tensor,
    trust: Tensor,
    basis: Tensor,
) -> Tensor:
    """Filter some rows of planes, in groups too if there is a guide."""
    height, width = noisy.shape[-2:]
    border = (_EDGE + (0 if guide is None else REACH),) * 2
    images = mirrored(torch.stack([noisy, estimate]), border, border)[:, :, None]
    variance = mirrored(variance, border, border)[:, None]
    noise = spectrum, trust, basis
    if guide is None:
        filtered = _filter_blocks(images[:1], images[1:], variance, *noise)[0]
    else:
        guide = mirrored(guide, border, border)[:, None]
        groups = filter_groups(images, guide, variance, *noise)
        within = (..., slice(REACH, -REACH), slice(REACH, -REACH))
        images, groups, variance = (x[within] for x in (images, groups, variance))
        blocks = _filter_blocks(images, groups, variance, *noise)
        # Each does better where the other does worse: fibres, and faint flat regions.
        both = (groups + blocks) / 2
        filtered = both[0] + _given_back(images[1] - both[1], variance)
    return filtered[:, 0, _EDGE : _EDGE + height, _EDGE : _EDGE + width]


def _filter_blocks(
    images: Tensor,
    guide: Tensor,
    variance: Tensor,
    spectrum: Tensor,
    trust: Tensor,
    basis: Tensor,
) -> Tensor:
    """Filter each block on its own.

    Parameters
    ----------
    images : Tensor
        What is filtered, shape (I, C, 1, H, W).
    guide : Tensor
        What is known of each of them; the first tells what is signal.
    """
    height, width = variance.shape[-2:]
    total, weights = torch.zeros_like(images), torch.zeros_like(variance)
    per_row = images.shape[:2].numel() * len(basis) * (width - _EDGE)
    n_rows = max(1, MAX_COEFFICIENTS // per_row)
    for top in range(0, height - _EDGE, n_rows):
        # Blocks that begin in these rows, N in number.
        rows = slice(top, min(top + n_rows, height - _EDGE) + _EDGE)
        coefficients, expected = (
            basis @ _blocks(planes[..., rows, :]) for planes in (images, guide)
        )
        coefficients[:, :, :1].lerp_(expected[:, :, :1], 1 - trust)
        floor = means(variance[:, :, rows], stride=1) * spectrum
        power = expected[0].square()
        kept = power.div_(power + floor)
        kept[:, 0] = 1
        weight = 1 / (floor * kept.square()).sum(dim=1, keepdim=True)  # (C, 1, N)
        blocks = basis.T @ coefficients.mul_(kept).mul_(weight)
        size = variance[0, 0, rows].shape
        sums = F.fold(blocks.flatten(0, 1), size, BLOCK)
        total[..., rows, :] += sums.reshape(*images.shape[:3], *size)
        weights[:, :, rows] += F.fold(weight.expand_as(blocks[0]), size, BLOCK)
    return total / weights


def _blocks(images: Tensor) -> Tensor:
    """Return all blocks of images (I, C, 1, H, W), shape (I, C, 64, N)."""
    blocks = F.unfold(images.flatten(0, 1), BLOCK)
    return blocks.reshape(*images.shape[:2], *blocks.shape[1:])


def _given_back(lost: Tensor, variance: Tensor) -> Tensor:
    """Return how much of the light that the filter takes is certain to be there.

    Parameters
    ----------
    lost : Tensor
        What the filter takes from the estimate, shape (C, 1, H, W).
    variance : Tensor
        Variance of the noise of each pixel, of the same shape.
    """
    kernel = gaussian(_LIGHT_SIGMA, _LIGHT_REACH).to(lost.device)
    smoothed = convolved(F.pad(lost, (_LIGHT_REACH,) * 4), kernel)
    # What is left of the noise of single pixels, smoothed by the same.
    noise = variance.sqrt() * kernel.square().sum()
    certain = (smoothed / noise).pow_(4)
    return smoothed * (1 - 1 / (1 + certain))
