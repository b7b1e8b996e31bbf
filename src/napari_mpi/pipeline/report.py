"""What a run has come to, and the report that says so."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import torch

import napari_mpi
from napari_mpi.analysis.verdict import Verdict
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.pipeline.plan import Plan
from napari_mpi.pipeline.resources import Resources

__all__ = ["Tally", "pixel_types", "write_report"]


@dataclass
class Tally:
    """What a run has come to so far.

    Attributes
    ----------
    planes_done : int
        Planes that are finished, those with nothing to do among them.
    iterations : int
        Iterations made, those that had to be made again among them.
    adaptations : list of dict
        What each adaptation of the network came to.
    joined : list of float
        As how many planes each finished one counts, where neighbours are joined.
    seconds : float
        Time that the steps took.
    """

    planes_done: int = 0
    iterations: int = 0
    adaptations: list[dict[str, Any]] = field(default_factory=list)
    joined: list[float] = field(default_factory=list)
    seconds: float = 0.0


def write_report(
    plan: Plan,
    grid: PlaneGrid,
    resources: Resources,
    tally: Tally,
    losses: dict[str, Any] | None,
    verdict: Verdict | None,
    *,
    stuck: float,
    pixel_type: np.dtype[Any],
    whole: bool,
    uncertainty: bool,
) -> dict[str, Any]:
    """Return `Denoised.report`, JSON-serialisable."""
    request, weights = plan.request, plan.weights
    return {
        "napari_mpi": napari_mpi.__version__,
        "torch": torch.__version__,
        "preset": request.preset if isinstance(request.preset, str) else "custom",
        "noise": request.noise,
        "settings": request.settings,
        "choice": None if plan.choice is None else plan.choice.reason,
        "noise_estimate": None if plan.noise is None else asdict(plan.noise),
        "verdict": None if verdict is None else asdict(verdict),
        "stuck": stuck,
        **pixel_types(pixel_type, whole=whole),
        "config": asdict(plan.config),
        "weights": weights.name,
        "weights_source": weights.source,
        "weights_sha256": weights.sha256,
        "device": str(resources.device),
        "tile_size": resources.tile_size,
        "threads": torch.get_num_threads(),
        "seed": plan.seed,
        "rgb": grid.rgb,
        "uncertainty": uncertainty,
        "scaling": asdict(plan.scaling),
        "planes_done": tally.planes_done,
        "n_planes": grid.n_planes,
        "iterations": tally.iterations,
        "adaptations": list(tally.adaptations),
        "joined": round(fmean(tally.joined), 2) if tally.joined else None,
        "filling": deepcopy(losses),
        "fallbacks": list(resources.fallbacks),
        "complete": tally.planes_done == grid.n_planes,
        "seconds": round(tally.seconds, 2),
    }


def pixel_types(result: np.dtype[Any], *, whole: bool) -> dict[str, Any]:
    """Return what a report says of the result's pixel type.

    Parameters
    ----------
    result : dtype
        The pixel type of the result.
    whole : bool
        Whether the input's pixels are whole numbers.
    """
    return {"pixel_type": result.name, "widened": whole and result.kind == "f"}
