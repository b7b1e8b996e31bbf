"""The plugin's sample: a noisy synthetic stack with its truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_mpi.training.simulated_noise import add_camera_noise
from napari_mpi.training.synthetic import fluorescence_stack

__all__ = ["synthetic_stack"]


def synthetic_stack() -> list[tuple[Any, dict[str, Any], str]]:
    """Return a noisy fluorescence time series of 3 planes of 256x256, and its truth."""
    rng = np.random.default_rng([2024, 0])
    noisy, truth = add_camera_noise(fluorescence_stack(3, (256, 256), rng), rng)
    limits = [float(limit) for limit in np.percentile(noisy, [0.1, 99.9])]
    shared: dict[str, Any] = {
        "scale": [1, 0.1, 0.1],
        "units": ["s", "µm", "µm"],
        "axis_labels": ["t", "y", "x"],
        "contrast_limits": limits,
    }
    return [
        (truth, {"name": "synthetic truth", "visible": False, **shared}, "image"),
        (noisy, {"name": "synthetic noisy", **shared}, "image"),
    ]
