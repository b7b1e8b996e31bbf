"""The noise of an image, measured by means of the network where texture hides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mpi.analysis.noise import NoiseEstimate, estimate_noise
from napari_mpi.analysis.shared_noise import residual_correlation
from napari_mpi.arrays.intensity import Scaling, seen
from napari_mpi.arrays.spread import evenly
from napari_mpi.config import CORRELATED_RATIO, PRESETS
from napari_mpi.engine import memory
from napari_mpi.engine.masking import N_SEEDS
from napari_mpi.engine.passes import Passes
from napari_mpi.engine.predictor import Predictor
from napari_mpi.weights.loading import Weights

__all__ = ["measure_noise"]

# So much of a plane or two tells the correlation to a few hundredths.
_SIZE, _N_PLANES = 256, 2
_CONFIG = replace(
    PRESETS["fast"], mask_ratio=CORRELATED_RATIO, n_passes=6, precision="float32"
)


def measure_noise(
    planes: NDArray[Any],
    scaling: Scaling,
    weights: Weights,
    *,
    intensity: NDArray[Any] | None = None,
    device: torch.device,
    seed: int,
) -> NoiseEstimate:
    """Estimate the noise; look again where neighbouring pixels are alike.

    Parameters
    ----------
    planes : ndarray
        Shape (N, Y, X), real and finite.
    scaling : Scaling
        To the network's range.
    weights : Weights
        Of a network that was trained on images with simulated noise.
    intensity : ndarray, optional
        What the noise depends on, if not the planes' own values; of the same shape.
    device : torch.device
        Where to compute.
    seed : int
        Seed of the masks.

    Returns
    -------
    NoiseEstimate
        Of the planes. Where texture leaves no flat place, neighbouring pixels are alike
        for another reason than noise: what the network, which has not adapted, cannot
        predict of a few crops tells how alike their noise is.
    """
    noise = estimate_noise(planes, intensity=intensity)
    if noise.certain or not noise.neighbours_correlate:
        return noise
    chosen = evenly(len(planes) - 1, min(len(planes), _N_PLANES))
    crops = [_centre(planes[place]) for place in chosen]
    noisy = [torch.from_numpy(seen(scaling.apply(crop[None]))) for crop in crops]

    def predict(device: torch.device) -> list[Tensor]:
        return [_predicted(crop, weights, device, seed) for crop in noisy]

    predicted = memory.or_on_processor(predict, device)
    neighbours = residual_correlation(
        torch.cat(noisy).numpy(), torch.cat(predicted).numpy(), noise.correlation
    )
    return estimate_noise(planes, neighbours=neighbours, intensity=intensity)


def _predicted(
    crop: Tensor, weights: Weights, device: torch.device, seed: int
) -> Tensor:
    passes = Passes(
        crop,
        Predictor(weights.build(), _CONFIG, device),
        [dict(weights.state)],
        _CONFIG,
        seed=seed % N_SEEDS,
    )
    for _ in passes:
        pass
    return passes.estimate.cpu()


def _centre(plane: NDArray[Any]) -> NDArray[Any]:
    height, width = plane.shape
    top, left = max(0, (height - _SIZE) // 2), max(0, (width - _SIZE) // 2)
    return plane[top : top + _SIZE, left : left + _SIZE]
