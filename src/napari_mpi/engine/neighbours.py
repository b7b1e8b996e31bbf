"""Join a plane with the planes beside it, as far as these show the same.

Slices and frames that follow each other closely show nearly the same, each time with
other noise. Their mean has less noise than a filter of one plane can leave without
taking detail. What moved is looked for, and what changed is left out: a pixel of a
neighbour counts the less, the surer it is that it differs by more than noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.engine.blocks import MEDIAN_OF_SQUARES
from napari_mpi.engine.borders import bands, mirrored
from napari_mpi.engine.smoothing import convolved, gaussian

__all__ = ["Estimate", "join"]

# What moved is looked for so many pixels away in each direction, by squares of so many
# pixels, an odd number of regular steps. These were chosen on sequences of FMD images
# (`python -m benchmarks.stacks`).
_REACH = 6
_SQUARE, _STEP = 20, 4
# Another place has to differ by so much less than the same one, in units of the noise's
# variance, or noise would choose it.
_LESS, _LESS_VARIANCE = 0.8, 0.04
# Changes are looked for by Gaussians of these standard deviations, in pixels: spots in
# focus, and what is larger and fainter. Each counts in so many pixels around, too.
_SIGMAS = (1.5, 4.0)
_AROUND = 2
# Texture that gets out of focus is found by its power, in fine detail over a region:
# so much more than noise has halves the weight.
_FINE, _REGION = 0.7, 6.0
_MORE = 0.5
# A difference of so many standard deviations halves the weight of a neighbour.
_SURE = 3.0
_LEAST_VARIANCE = 1e-10
# Large planes are joined in bands of so many rows, a multiple of the steps, with as
# many around them as have a part in what becomes of them.
_BAND, _MARGIN = 1024, 64


@dataclass(frozen=True)
class Estimate:
    """A plane in the network's range, and what is known of it.

    Attributes
    ----------
    noisy : Tensor
        The noisy plane, shape (C, H, W), float32.
    values : Tensor
        Its estimate, of the same shape.
    blind : Tensor
        Its estimate from other pixels only, of the same shape.
    variance : Tensor
        Variance of the noise of each pixel, of the same shape.
    """

    noisy: Tensor
    values: Tensor
    blind: Tensor
    variance: Tensor

    def to(self, device: torch.device) -> Estimate:
        """Return it on a device."""
        return Estimate(*(plane.to(device) for plane in self._planes))

    def rows(self, part: slice) -> Tensor:
        """Return some rows of all of it, shape (4, C, h, W)."""
        return torch.stack([plane[:, part] for plane in self._planes])

    @property
    def _planes(self) -> tuple[Tensor, ...]:
        return self.noisy, self.values, self.blind, self.variance


def join(
    own: Estimate,
    neighbours: Sequence[Estimate],
    correlation: tuple[float, float] = (0.0, 0.0),
) -> tuple[Estimate, float]:
    """Average a plane with its neighbours where they show the same.

    Parameters
    ----------
    own : Estimate
        The plane.
    neighbours : sequence of Estimate
        Planes beside it, of the same shape.
    correlation : tuple of float
        By which the noise of pixels correlates that are neighbours along Y and along X,
        from 0 to below 1.

    Returns
    -------
    joined : Estimate
        The average, with the variance that is left.
    n_planes : float
        As how many planes with noise of their own it counts in the mean: 1 where no
        neighbour is alike, or has the same noise.

    Notes
    -----
    The difference of two planes is smoothed by Gaussians of two widths. Where it is z
    times the standard deviation that noise alone has there, the neighbour's weight is
    divided by ``1 + (z / 3)**4``; first for each neighbour, then for their average,
    which shows a change that each leaves in doubt. Texture that only one of them has is
    known by its power in a region, which divides the weight likewise. How strong the
    noise is when it is smoothed depends on how far pixels share it: as if a Gaussian
    had blurred it, or as in the residual of the blind estimate if that is more. Noise
    that the planes have in common, as interpolated ones do, does not become less.
    """
    noise = _Noise.of(own, neighbours, correlation)
    height = own.noisy.shape[-2]
    parts = []
    for _, rows, within in bands(height, _BAND, _MARGIN):
        others = [neighbour.rows(rows) for neighbour in neighbours]
        joined = _join_rows(own.rows(rows), others, noise)
        parts.append(joined[..., within, :])
    found = Estimate(*torch.cat(parts, dim=-2))
    left = found.variance.mean() / own.variance.mean().clamp_min(_LEAST_VARIANCE)
    return found, max(1.0, 1 / max(float(left), 1 / (1 + len(neighbours))))


@dataclass(frozen=True)
class _Noise:
    """What noise of planes has in common.

    Attributes
    ----------
    shared : float
        Which share of it is the same in all planes.
    grain : dict of float to Tensor
        How many times as strong it is as that of single pixels would be, when it is
        smoothed by a Gaussian of that width; more than once where neighbouring pixels
        share it. Shape (C, 1, 1, 1).
    """

    shared: float
    grain: dict[float, Tensor]

    @classmethod
    def of(
        cls,
        own: Estimate,
        neighbours: Sequence[Estimate],
        correlation: tuple[float, float],
    ) -> _Noise:
        """Measure it in the residuals of the estimates."""
        residual = own.noisy - own.values
        shares = [0.0]
        for neighbour in neighbours:
            other = neighbour.noisy - neighbour.values
            power = residual.square().mean() * other.square().mean()
            shares.append(
                float((residual * other).mean() / (power.sqrt() + _LEAST_VARIANCE))
            )
        blind, variance = (own.noisy - own.blind)[:, None], own.variance[:, None]
        grain = {}
        for sigma in (_FINE, *_SIGMAS):
            # The median hardly sees structure that was not predicted. Of noise that
            # neighbours share, a part was.
            found = _squared(blind, variance, sigma).flatten(1).median(dim=1).values
            times = (found / MEDIAN_OF_SQUARES).clamp_min(_blurred(correlation, sigma))
            grain[sigma] = times[:, None, None, None]
        return cls(min(1.0, max(shares)), grain)


def _join_rows(own: Tensor, others: Sequence[Tensor], noise: _Noise) -> Tensor:
    """Join planes (4, C, H, W)."""
    aligned = [_aligned(other, own) for other in others]
    weights = [_likeness(own, other, noise) for other in aligned]
    total = torch.stack(weights).sum(dim=0).clamp_min(_LEAST_VARIANCE)
    shares = [weight / total for weight in weights]
    alike = _likeness(own, _average(aligned, shares, noise.shared), noise)
    weights = [torch.ones_like(alike), *(weight * alike for weight in weights)]
    total = torch.stack(weights).sum(dim=0)
    shares = [weight / total for weight in weights]
    return _average([own, *aligned], shares, noise.shared)


def _average(
    planes: Sequence[Tensor], weights: Sequence[Tensor], shared: float
) -> Tensor:
    """Average planes (4, C, H, W) by weights (C, H, W) that add up to one."""
    average = torch.zeros_like(planes[0])
    deviation = torch.zeros_like(weights[0])
    for plane, weight in zip(planes, weights, strict=True):
        average[:3] += weight * plane[:3]
        average[3] += (1 - shared) * weight.square() * plane[3]
        deviation += weight * plane[3].sqrt()
    average[3] += shared * deviation.square()
    return average


def _likeness(own: Tensor, other: Tensor, noise: _Noise) -> Tensor:
    """Return how far planes (4, C, H, W) may show the same, 0 to 1, shape (C, H, W)."""
    difference = (own[0] - other[0])[:, None]  # (C, 1, H, W)
    variance = (1 - noise.shared) * (own[3] + other[3])[:, None]
    found = _squared(difference, variance, _FINE) / noise.grain[_FINE]
    more = (_smoothed(found, gaussian(_REGION).to(own.device)) - 1).clamp_min(0)
    unlike = 1 + (more / _MORE).square()
    for sigma in _SIGMAS:
        found = _squared(difference, variance, sigma) / noise.grain[sigma]
        size = 2 * _AROUND + 1
        found = F.max_pool2d(found, size, stride=1, padding=_AROUND)
        unlike *= 1 + (found / _SURE**2).square()
    return 1 / unlike[:, 0]


def _squared(difference: Tensor, variance: Tensor, sigma: float) -> Tensor:
    """Return a smoothed difference, squared, over what noise of pixels leaves there."""
    kernel = gaussian(sigma).to(difference.device)
    noise = _smoothed(variance, kernel) * kernel.square().sum() ** 2
    return _smoothed(difference, kernel).square() / noise.clamp_min(_LEAST_VARIANCE**2)


def _blurred(correlation: tuple[float, float], sigma: float) -> float:
    """Return how many times as strong blurred noise is as that of single pixels.

    Both are smoothed by a Gaussian. If one has blurred the noise, too, its correlation
    falls with the square of the distance in the exponent.
    """
    kernel = gaussian(sigma).double()
    pixels = torch.arange(len(kernel)).double()
    squares = (pixels - pixels[:, None]).square()
    times = 1.0
    for neighbour in correlation:
        shared = neighbour**squares  # 0 to the power of 0 is 1
        times *= float(kernel @ shared @ kernel / (kernel @ kernel))
    return times


def _smoothed(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolve planes (C, 1, H, W) along rows and columns, mirrored at the borders."""
    reach = len(kernel) // 2
    return convolved(mirrored(planes, (reach, reach), (reach, reach)), kernel)


def _aligned(other: Tensor, own: Tensor) -> Tensor:
    """Return a neighbour (4, C, H, W) with what moved brought to its place."""
    height, width = own.shape[-2:]
    rows, columns = -(-height // _STEP), -(-width // _STEP)
    below, right = rows * _STEP - height, columns * _STEP - width
    padded = mirrored(other, (_REACH, _REACH + below), (_REACH, _REACH + right))
    here, variance = (mirrored(x, (0, below), (0, right)) for x in (own[1], own[3]))
    unit = variance.clamp_min(_LEAST_VARIANCE)
    reach = range(-_REACH, _REACH + 1)
    # The same place comes first.
    shifts = sorted(((y, x) for y in reach for x in reach), key=lambda s: s != (0, 0))
    chosen = torch.zeros(rows, columns, dtype=torch.long, device=own.device)
    least = torch.zeros(rows, columns, device=own.device)
    for number, (y, x) in enumerate(shifts):
        top, left = _REACH + y, _REACH + x
        there = padded[1, :, top : top + rows * _STEP, left : left + columns * _STEP]
        squares = ((there - here).square_() / unit).sum(dim=0, keepdim=True)
        # A square is made of steps, which several squares have in common.
        distance = F.avg_pool2d(
            F.avg_pool2d(squares, _STEP),
            _SQUARE // _STEP,
            1,
            padding=_SQUARE // _STEP // 2,
            count_include_pad=False,
        )[0]
        if number == 0:
            least = _LESS * distance - _LESS_VARIANCE
        else:
            better = distance < least
            least = torch.where(better, distance, least)
            chosen[better] = number
    found = torch.tensor(shifts, device=own.device)[chosen] + _REACH  # (r, c, 2)
    found = found.repeat_interleave(_STEP, 0).repeat_interleave(_STEP, 1)
    from_rows, from_columns = found[:height, :width].unbind(dim=-1)
    from_rows = from_rows + torch.arange(height, device=own.device)[:, None]
    from_columns = from_columns + torch.arange(width, device=own.device)
    return padded[:, :, from_rows, from_columns]
