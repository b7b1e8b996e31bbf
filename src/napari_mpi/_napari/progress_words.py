"""Where a run stands, in words."""

from __future__ import annotations

from napari_mpi.pipeline.api import Progress
from napari_mpi.pipeline.forecast import duration

__all__ = ["progress_words"]


def progress_words(progress: Progress, seconds_left: float | None) -> str:
    """Say where a run stands, and how long it still takes if that is known."""
    place = f"Plane {progress.plane + 1} of {progress.n_planes}"
    if progress.phase == "adapting":
        place = "Learning from the image"
    said = f"{place}, step {progress.step} of {progress.n_steps}"
    if seconds_left is None:
        return said
    return f"{said}, {duration(seconds_left)} left"
