"""How long a run will take, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mpi.config import FillConfig
from napari_mpi.engine import memory
from napari_mpi.engine.adapt import N_SNAPSHOTS, Adaptation
from napari_mpi.engine.crops import Crop
from napari_mpi.engine.devices import wait_for
from napari_mpi.engine.masked_plane import n_images
from napari_mpi.engine.passes import TILE_SIZE, Passes, n_passes_made
from napari_mpi.engine.predictor import Predictor
from napari_mpi.engine.repeated import can_record
from napari_mpi.engine.wiener import wiener_filter
from napari_mpi.weights.loading import Weights

__all__ = ["Forecast", "duration", "forecast"]

_PROBE_SIZE = 256  # pixels
# Iterations and passes that are tried; where work is recorded it has to be first.
_N_TRIED, _N_TRIED_RECORDED = 2, 12
# Float32 planes at work: noisy, mask, prediction, mean, scatter, count, and some more;
# and what is kept of each plane that tells of others.
_PLANE_BYTES, _KEPT_BYTES = 64, 32


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Time, at most: with early stopping a run may end before.
    memory : int
        Bytes at the peak, besides the image and its results.
    """

    seconds: float
    memory: int

    def __str__(self) -> str:
        """Return both in words."""
        megabytes = self.memory / 2**20
        large = f"{megabytes:.0f} MiB"
        if megabytes > 1000:
            large = f"{megabytes / 1024:.1f} GiB"
        long = duration(self.seconds)
        return f"about {long} and {large} of free memory"


def duration(seconds: float) -> str:
    """Return a time in words that are as exact as it deserves."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def forecast(
    plane: Tensor,
    n_planes: int,
    weights: Weights,
    config: FillConfig,
    device: torch.device,
) -> Forecast:
    """Try a piece of a plane, for about a second, and tell what a run takes.

    Parameters
    ----------
    plane : Tensor
        A scaled noisy plane, shape (C, H, W), float32.
    n_planes : int
        How many such planes there are.
    weights : Weights
        The weights to start from.
    config : FillConfig
        Settings.
    device : torch.device
        Where to compute.
    """
    number = _N_TRIED_RECORDED if can_record(device) else _N_TRIED
    piece = plane[:, :_PROBE_SIZE, :_PROBE_SIZE].contiguous()
    n_channels, n_pixels = len(plane), plane[0].numel()
    together = n_images(n_channels, weights.image_channels)
    probe = Adaptation(
        [Crop.to_learn_from(piece)] * 2,
        weights.build(),
        replace(
            config,
            n_iter=number,
            crop_size=_PROBE_SIZE,
            batch_size=1,
            # Among so few iterations the looks at held-out pixels would count too much.
            early_stopping=False,
        ),
        seed=0,
        device=device,
    )
    per_iteration = _fastest(probe, device) / piece[0].numel()
    passes = Passes(
        piece,
        Predictor(weights.build(), config, device),
        probe.states[-1:],
        replace(config, n_passes=number),
        seed=0,
    )
    per_pass = _fastest(passes, device) / piece[0].numel()
    joins = config.neighbours > 0 and n_planes > 1
    n_kept = min(n_planes, 2 * config.neighbours + 1) if joins else 0
    if config.crop_size is None:
        seconds = n_planes * config.n_iter * n_pixels * per_iteration
        network = memory.training_bytes(together * n_pixels)
    else:
        crop = min(config.crop_size**2, n_pixels)
        n_adaptations = 1 if config.adapt_to == "stack" else n_planes
        n_crops = n_adaptations * config.n_iter * config.batch_size
        seconds = n_crops * crop * per_iteration
        n_networks = N_SNAPSHOTS if config.n_iter else 1
        n_passes = n_passes_made(config, n_networks)
        filtering = _filtering(piece, config, device) / piece[0].numel()
        # Texture and lines are filtered twice. Joining takes about as long as
        # filtering, which then is done once more.
        n_filterings = 1 + config.own_pixel + (config.mask_shape != "pixels")
        n_filterings += 2 if n_kept else 0
        per_plane = n_passes * per_pass + filtering * n_filterings
        seconds += n_planes * n_pixels * per_plane
        tile = memory.fitting_tile_size(TILE_SIZE, device, together) ** 2
        network = max(
            memory.training_bytes(together * crop),
            memory.pass_bytes(together * min(tile, n_pixels)),
        )
    per_pixel = _PLANE_BYTES + n_kept * _KEPT_BYTES
    return Forecast(seconds, network + per_pixel * n_channels * n_pixels)


def _filtering(piece: Tensor, config: FillConfig, device: torch.device) -> float:
    """Return the seconds in which the noisy image corrects a prediction of a piece."""
    if not config.wiener:
        return 0.0
    planes = [piece, piece, 0.9 * piece, torch.full_like(piece, 1e-3)]
    started = time.perf_counter()
    on_device = [plane.to(device) for plane in planes]
    wiener_filter(*on_device, independent=config.own_pixel).cpu()
    return time.perf_counter() - started


def _fastest(steps: Iterable[Any], device: torch.device) -> float:
    """Return the seconds of the fastest step."""
    times = [time.perf_counter()]
    for _ in steps:
        wait_for(device)
        times.append(time.perf_counter())
    return float(np.diff(times).min())
