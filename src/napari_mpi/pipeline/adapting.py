"""What the network learns from an image before it fills the planes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from napari_mpi.arrays.planes import Index
from napari_mpi.arrays.spread import spread_evenly
from napari_mpi.config import FillConfig
from napari_mpi.engine.adapt import (
    N_SNAPSHOTS,
    Adaptation,
    AdaptStep,
    State,
)
from napari_mpi.engine.crops import Crop, cut_crops, hold_out
from napari_mpi.engine.passes import n_passes_made
from napari_mpi.pipeline.plan import Plan
from napari_mpi.pipeline.resources import Resources

__all__ = ["GroupAdaptation", "share_of_adapting"]

# The network adapts to no more planes of a stack than this, spread evenly.
_MAX_PLANES = 32
# More crops than this are as good as new when they come again.
_MAX_CROPS = 512


class GroupAdaptation:
    """Adapt a network to some planes of a stack; iterate over it to advance.

    Parameters
    ----------
    first : int
        Number of the first plane, which decides on places and masks.
    indices : list of tuple of int
        The planes to learn from.
    read : callable
        Returns a plane as the network takes it, shape (C, Y, X).
    plan : Plan
        What is decided, with a `crop_size`.
    resources : Resources
        What to compute with.
    """

    def __init__(
        self,
        first: int,
        indices: list[Index],
        read: Callable[[Index], Tensor],
        plan: Plan,
        resources: Resources,
    ) -> None:
        self._first, self._indices, self._read = first, indices, read
        self._plan, self._resources = plan, resources
        self._seed = plan.plane_seed(first)
        self._adaptation: Adaptation | None = None
        self._losses: list[float] = []
        self._validations: list[float | None] = []

    def __iter__(self) -> Iterator[AdaptStep]:
        for step in self._resources.until_it_fits(self._begin):
            self._losses.append(step.loss)
            self._validations.append(step.validation)
            yield step

    def _begin(self) -> Adaptation:
        self._losses, self._validations = [], []
        self._adaptation = Adaptation(
            self._crops(),
            self._plan.weights.build(),
            self._plan.config,
            seed=self._seed,
            device=self._resources.device,
        )
        return self._adaptation

    def _crops(self) -> list[Crop]:
        """Cut crops for all iterations from planes that are spread evenly."""
        config = self._plan.config
        assert config.crop_size is not None
        rng = np.random.default_rng(self._seed)
        number = min(max(config.n_iter * config.batch_size, 1), _MAX_CROPS)
        chosen = spread_evenly(self._indices, min(_MAX_PLANES, number))
        n_crops = -(-number // len(chosen))
        crops: list[Crop] = []
        for index in chosen:
            plane = self._read(index).numpy()
            held_out = hold_out(plane.shape, rng, config.mask_shape)
            crops += cut_crops(plane, held_out, config.crop_size, n_crops, rng)
        # In another order, so that neither the planes nor their places come in turn.
        return [crops[place] for place in rng.permutation(len(crops))[:number]]

    @property
    def states(self) -> list[State]:
        """State dicts of the networks to fill with, once it is over."""
        assert self._adaptation is not None
        return self._adaptation.states

    def record(self) -> dict[str, Any]:
        """Return what the report says of it, once it is over."""
        assert self._adaptation is not None
        return {
            "first_plane": self._first,
            "losses": self._losses,
            "validations": self._validations,
            "initial_validation": self._adaptation.initial_validation,
            "networks": len(self._adaptation.states),
            "kept_at": self._adaptation.kept_at,
        }


def share_of_adapting(config: FillConfig, n_pixels: int, n_planes: int) -> float:
    """Return about what share of the time goes to adapting, 0 to 1.

    Parameters
    ----------
    config : FillConfig
        Settings, with a `crop_size`.
    n_pixels : int
        Pixels of a plane.
    n_planes : int
        Planes that are filled by the networks of one adaptation.
    """
    assert config.crop_size is not None
    crop = min(config.crop_size**2, n_pixels)
    # An iteration costs a pass, and twice as much for the way back.
    adapting = 3 * config.n_iter * config.batch_size * crop
    n_passes = n_passes_made(config, N_SNAPSHOTS if config.n_iter else 1)
    return adapting / (adapting + n_planes * n_passes * n_pixels)
