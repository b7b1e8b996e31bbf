"""Random masks, and the loss on the pixels they hide."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["masked_mse", "random_mask"]


def random_mask(
    shape: tuple[int, ...],
    mask_ratio: float | Tensor,
    generator: torch.Generator,
    mask_shape: Literal["pixels", "rows", "columns"] = "pixels",
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
    *leading, height, width = shape
    drawn = {
        "pixels": (height, width),
        "rows": (height, 1),
        "columns": (1, width),
    }[mask_shape]
    draw = torch.rand((*leading, *drawn), generator=generator, device=generator.device)
    return (draw >= mask_ratio).to(torch.float32).expand(shape)


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
