"""Random masks, and the loss on the pixels they hide."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from napari_mpi.config import MaskShape

__all__ = [
    "HELD_OUT",
    "N_SEEDS",
    "have_twins",
    "mask_pairs",
    "masked_mse",
    "one_mask_for_twins",
    "random_mask",
]

N_SEEDS = 2**63
"""Torch's generators take whole numbers below this as their seeds."""

HELD_OUT = 0.02
"""Share of the pixels that are kept out of the training, to validate on."""


def random_mask(
    shape: tuple[int, ...],
    mask_ratio: float | Tensor,
    generator: torch.Generator,
    mask_shape: MaskShape = "pixels",
) -> Tensor:
    """Draw a mask that hides each pixel independently with probability `mask_ratio`.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask, (B, 1 or C, H, W).
    mask_ratio : float or Tensor
        Share p of hidden pixels, or one share per image, shape (B, 1, 1, 1).
    generator : torch.Generator
        Source of the randomness; its device is the mask's.
    mask_shape : {"pixels", "rows", "columns"}
        What is hidden as a whole.

    Returns
    -------
    Tensor
        float32, 0 where hidden and 1 where visible.
    """
    draw = _draw(shape, generator, mask_shape)
    return (draw >= mask_ratio).to(torch.float32).expand(shape)


def mask_pairs(
    shape: tuple[int, ...],
    mask_ratio: float,
    generator: torch.Generator,
    mask_shape: MaskShape = "pixels",
) -> Iterator[Tensor]:
    """Draw masks without end, two at a time that complete each other.

    Each mask is one of `random_mask`. The second of a pair hides what the first one
    shows, as far as the mask ratio allows, so that no pixel has to wait for its first
    prediction: with a ratio of one half, each pixel is hidden once in a pair.

    Parameters
    ----------
    shape, mask_ratio, generator, mask_shape
        As for `random_mask`.

    Yields
    ------
    Tensor
        float32, 0 where hidden and 1 where visible.
    """
    while True:
        draw = _draw(shape, generator, mask_shape)
        for uniform in (draw, 1 - draw):
            yield (uniform >= mask_ratio).to(torch.float32).expand(shape)


def have_twins(images: Tensor) -> Tensor:
    """Return which images (B, 1 or 3, H, W) have two equal channels, shape (B,), bool.

    A single channel counts as equal to itself.

    A hidden value must not be there to read in another channel, as in gray images that
    are stored as RGB, and in those that a look-up table made magenta or yellow.
    """
    return (images == images.roll(1, dims=1)).flatten(2).all(dim=2).any(dim=1)


def one_mask_for_twins(mask: Tensor, target: Tensor) -> Tensor:
    """Hide the same pixels in all channels of images of which two are equal.

    Parameters
    ----------
    mask : Tensor
        Shape (B, 1 or C, H, W).
    target : Tensor
        The images, shape (B, C, H, W).
    """
    if mask.shape[1] == 1:
        return mask
    return torch.where(have_twins(target)[:, None, None, None], mask[:, :1], mask)


def _draw(
    shape: tuple[int, ...], generator: torch.Generator, mask_shape: MaskShape
) -> Tensor:
    *leading, height, width = shape
    drawn = {
        "pixels": (height, width),
        "rows": (height, 1),
        "columns": (1, width),
    }[mask_shape]
    return torch.rand((*leading, *drawn), generator=generator, device=generator.device)


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ((1 - M)(y - x))^2, the loss of Algorithm 1.

    The mean runs over all pixels, hidden or not, as in the paper.

    Parameters
    ----------
    prediction, target : Tensor
        Shape (B, C, H, W).
    mask : Tensor
        Shape (B, 1 or C, H, W), 0 where hidden.
    """
    return ((1 - mask) * (prediction - target)).square().mean()
