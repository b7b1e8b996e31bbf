"""Filter blocks together with those that look alike elsewhere.

What repeats in an image, as fibres and grains do, is seen several times, each time with
other noise. This is the second step of BM3D (Dabov et al., IEEE TIP 2007), with the
prediction of a network where that method has an estimate of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.engine.blocks import BLOCK, MAX_COEFFICIENTS, cosines, means

__all__ = ["REACH", "filter_groups"]

REACH = 8
"""How far away blocks are looked for, in pixels."""

_N_SIMILAR = 16
# Every block at these steps, in pixels, has a group.
_STEP = 4


def filter_groups(
    images: Tensor,
    guide: Tensor,
    variance: Tensor,
    spectrum: Tensor,
    trust: Tensor,
    basis: Tensor,
) -> Tensor:
    """Filter groups of similar blocks by what the estimate says is signal in them.

    Parameters
    ----------
    images : Tensor
        A noisy plane in the network's range and a first estimate of it, shape
        (2, C, 1, H, W), extended by `REACH` pixels and one less than a block on all
        sides.
    guide : Tensor
        What tells which blocks are alike, in units in which the noise of all channels
        is alike, extended likewise, shape (C, 1, H, W).
    variance : Tensor
        Variance of the noise of each pixel, of the same shape.
    spectrum : Tensor
        Variance of each coefficient over that of a pixel, shape (C, 64, 1).
    trust : Tensor
        Weight of the noisy blocks' means against the estimate's, shape (C, 1, 1).
    basis : Tensor
        The cosines of a block, shape (64, 64).

    Returns
    -------
    Tensor
        Both images through the same filter, extended as they came. What lies in the
        extension has no meaning.

    Notes
    -----
    A group is taken apart into cosines along
    rows, columns and members; of each coefficient the share ``s**2 / (s**2 + v)`` is
    kept, with s that of the estimate and v the variance of the noise. The mean of all
    is kept whole. The blocks that cover a pixel are averaged, each group weighted by
    the inverse of the variance left in it.
    """
    height, width = images.shape[-2:]
    last = height - 2 * REACH - BLOCK  # the last row that a group can begin in
    per_row = len(images) * len(basis) * (width - BLOCK + 1)
    n_rows = max(1, MAX_COEFFICIENTS // per_row // _STEP) * _STEP
    total, weights = torch.zeros_like(images), torch.zeros_like(variance)
    for top in range(0, last + 1, n_rows):
        bottom = min(top + n_rows, last + 1) + 2 * REACH + BLOCK - 1
        rows = slice(top, bottom)
        members = _similar(guide[:, 0, rows])  # (G, K)
        size = variance[0, 0, rows].shape
        for channel in range(len(variance)):
            blocks, weight = _filtered(
                images[:, channel, :, rows],
                variance[channel, None, :, rows],
                spectrum[channel, :, 0],
                trust[channel],
                basis,
                members,
            )
            total[:, channel, :, rows] += F.fold(blocks, size, BLOCK)
            weights[channel, :, rows] += F.fold(weight, size, BLOCK)
    return total / weights.clamp_min(torch.finfo(weights.dtype).tiny)


def _similar(planes: Tensor) -> Tensor:
    """Return which blocks are most alike, for each at regular steps.

    Parameters
    ----------
    planes : Tensor
        Shape (C, H, W), in units in which the noise is the same everywhere.

    Returns
    -------
    Tensor
        Places of the blocks of each group among all blocks, shape (G, K). The first is
        the one for which the others were looked for.
    """
    n_columns = planes.shape[-1] - BLOCK + 1
    inner = planes[:, REACH:-REACH, REACH:-REACH]
    height, width = inner.shape[-2:]
    reach = range(-REACH, REACH + 1)
    # Nothing is as similar as the block itself, whatever equals it.
    shifts = sorted(((y, x) for y in reach for x in reach), key=lambda s: s != (0, 0))
    distances = []
    for y, x in shifts:
        top, left = REACH + y, REACH + x
        other = planes[:, top : top + height, left : left + width]
        square = F.avg_pool2d((other - inner).square_(), BLOCK, _STEP)
        distances.append(square.sum(dim=0).flatten())
    distances[0].fill_(-1)
    nearest = torch.stack(distances, dim=1).topk(_N_SIMILAR, largest=False).indices
    offsets = torch.tensor([y * n_columns + x for y, x in shifts], device=planes.device)
    rows = torch.arange(REACH, REACH + height - BLOCK + 1, _STEP, device=planes.device)
    columns = torch.arange(REACH, REACH + width - BLOCK + 1, _STEP, device=rows.device)
    places = (rows[:, None] * n_columns + columns).flatten()
    return places[:, None] + offsets[nearest]


def _filtered(
    images: Tensor,
    variance: Tensor,
    spectrum: Tensor,
    trust: Tensor,
    basis: Tensor,
    members: Tensor,
) -> tuple[Tensor, Tensor]:
    """Filter the groups of one channel.

    Parameters
    ----------
    images, variance : Tensor
        Shapes (2, 1, H, W) and (1, 1, H, W).

    Returns
    -------
    blocks : Tensor
        The sum of all that became of the block at each place, shape (2, 64, N).
    weight : Tensor
        The sum of their weights, shape (64, N).
    """
    waves = cosines(_N_SIMILAR).to(images.device)
    every = (basis @ F.unfold(images, BLOCK)).transpose(1, 2).contiguous()  # (2, N, 64)
    groups = every[:, members]  # (2, G, K, 64)
    groups[0, :, :, 0].lerp_(groups[1, :, :, 0], 1 - trust.squeeze())
    floor = means(variance, stride=1).flatten()[members].mean(dim=1)[:, None] * spectrum
    floor = floor[:, None]  # (G, 1, 64)
    groups = waves @ groups
    power = groups[1].square()
    kept = power.div_(power + floor)
    kept[:, 0, 0] = 1
    weight = 1 / (floor * kept.square()).sum(dim=(1, 2), keepdim=True)  # (G, 1, 1)
    filtered = waves.T @ groups.mul_(kept).mul_(weight)
    total = torch.zeros_like(every)
    total.index_add_(1, members.flatten(), filtered.flatten(1, 2))
    weights = weight.new_zeros(every.shape[1])
    weights.index_add_(
        0, members.flatten(), weight[:, :, 0].expand(members.shape).flatten()
    )
    return basis.T @ total.transpose(1, 2), weights.expand(len(basis), -1)
