"""Settings of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_mpi.checks import (
    require_bool,
    require_positive,
    require_share,
    require_whole,
)

__all__ = ["PretrainConfig"]


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How weights are trained on clean images by masking.

    Attributes
    ----------
    steps : int, optional
        Optimiser steps to take.
    minutes : float, optional
        Time to train for instead, counted over all resumed runs. Exactly one of
        `steps` and `minutes` is given.
    crop_size : int
        Side of the square training crops in pixels, a multiple of 32, at least 64.
    batch_size : int
        Crops in each step, of each process if several train together.
    learning_rate : float, optional
        Where the cosine schedule begins; by default at 2e-3 from nothing, and at a
        tenth of that from weights, which larger steps would spoil at first.
    final_learning_rate : float
        Where it ends.
    mask_ratio : tuple of float
        Lowest and highest share of hidden pixels; each crop draws its own.
    synthetic_share : float
        Share of crops that are procedural fluorescence images, 0 to 1.
    noise_share : float
        Share of crops that the network sees with simulated noise, 0 to 1. The target
        stays as it was, so that the weights learn to look through noise.
    rgb : bool
        Train a network for RGB images that has a mask per channel.
    seed : int
        Seed of every random draw, 0 or above.
    checkpoint_every : int
        Steps between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    crop_size: int = 64
    batch_size: int = 16
    learning_rate: float | None = None
    final_learning_rate: float = 1e-5
    mask_ratio: tuple[float, float] = (0.3, 0.95)
    synthetic_share: float = 0.0
    noise_share: float = 0.8
    rgb: bool = False
    seed: int = 0
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        """Check every field."""
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("Give either steps or minutes, and not both.")
        if self.steps is not None:
            require_whole(self, "steps", 1)
        if self.minutes is not None:
            require_positive(self, "minutes")
        require_bool(self, "rgb")
        require_whole(self, "batch_size", 1)
        require_whole(self, "checkpoint_every", 1)
        require_whole(self, "seed", 0)
        require_whole(self, "crop_size", 64)
        if self.crop_size % 32:
            raise ValueError(
                f"crop_size is {self.crop_size}: expected a multiple of 32."
            )
        if self.learning_rate is not None:
            require_positive(self, "learning_rate")
        require_positive(self, "final_learning_rate")
        require_share(self, "synthetic_share")
        require_share(self, "noise_share")
        try:
            low, high = map(float, self.mask_ratio)
        except (TypeError, ValueError):
            low = high = math.nan
        if not 0 < low <= high < 1:
            raise ValueError(
                f"mask_ratio is {self.mask_ratio!r}: expected two shares between 0 and "
                "1, the lower one first."
            )
        object.__setattr__(self, "mask_ratio", (low, high))

    def first_learning_rate(self, *, from_weights: bool) -> float:
        """Return where the schedule begins, with or without weights to start from."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-4 if from_weights else 2e-3
