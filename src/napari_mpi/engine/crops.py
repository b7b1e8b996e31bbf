"""Crops of planes to learn from, and the pixels in them that are not learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mpi.config import MaskShape
from napari_mpi.engine.masking import HELD_OUT, N_SEEDS, random_mask

__all__ = ["Crop", "cut_crops", "hold_out"]

# Fewer pixels than this cannot tell which network is better; a small plane gives a
# larger share of its pixels, but no more than it can spare.
_LEAST, _LARGEST_SHARE = 400, 0.1


@dataclass(frozen=True)
class Crop:
    """A part of a plane.

    Attributes
    ----------
    noisy : Tensor
        Scaled noisy values, shape (C, h, w), float32.
    held_out : Tensor
        Which of them are never learnt from, in this crop and in others of the plane;
        of the same shape, bool.
    """

    noisy: Tensor
    held_out: Tensor

    @classmethod
    def to_learn_from(cls, noisy: Tensor) -> Crop:
        """Return a crop of which nothing is held out."""
        return cls(noisy, torch.zeros_like(noisy, dtype=torch.bool))


def hold_out(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    mask_shape: MaskShape = "pixels",
) -> Tensor:
    """Choose the pixels of a plane that are not to be learnt from.

    Parameters
    ----------
    shape : tuple of int
        Shape of the plane, (C, H, W).
    rng : numpy.random.Generator
        Source of the choice.
    mask_shape : {"pixels", "rows", "columns"}
        What is held out as a whole.

    Returns
    -------
    Tensor
        Of the plane's shape, bool.
    """
    _, height, width = shape
    share = min(max(HELD_OUT, _LEAST / (height * width)), _LARGEST_SHARE)
    generator = torch.Generator().manual_seed(int(rng.integers(N_SEEDS)))
    return random_mask(shape, share, generator, mask_shape) == 0


def cut_crops(
    plane: NDArray[np.float32],
    held_out: Tensor,
    size: int,
    number: int,
    rng: np.random.Generator,
) -> list[Crop]:
    """Cut crops at random places of a plane.

    Parameters
    ----------
    plane : ndarray
        Shape (C, H, W).
    held_out : Tensor
        See `hold_out`; of the same shape.
    size : int
        Side of the crops in pixels; a plane that is smaller is taken whole.
    number : int
        How many.
    rng : numpy.random.Generator
        Source of the places.

    Returns
    -------
    list of Crop
        Copies of shape (C, h, w).
    """
    height, width = (min(size, side) for side in plane.shape[-2:])
    tops = rng.integers(plane.shape[-2] - height + 1, size=number)
    lefts = rng.integers(plane.shape[-1] - width + 1, size=number)
    places = [
        (slice(None), slice(top, top + height), slice(left, left + width))
        for top, left in zip(tops, lefts, strict=True)
    ]
    return [
        Crop(torch.from_numpy(plane[place].copy()), held_out[place].clone())
        for place in places
    ]
