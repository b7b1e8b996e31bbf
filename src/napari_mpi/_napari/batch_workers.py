"""A batch in a thread of its own, while the window stays usable."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from superqt.utils import thread_worker

from napari_mpi._napari.workers import ClosingWorker
from napari_mpi.batch.api import checked_settings, iter_batch
from napari_mpi.batch.errors import reason
from napari_mpi.batch.inputs import Inputs, Job, find_inputs
from napari_mpi.batch.job import Settings
from napari_mpi.batch.plan import Planned, iter_plan
from napari_mpi.batch.records import Record
from napari_mpi.batch.results import ENDINGS
from napari_mpi.engine.devices import resolve_device
from napari_mpi.pipeline.api import Progress

__all__ = [
    "BatchCourse",
    "BatchFailedError",
    "BatchTask",
    "batch_in_thread",
    "list_in_thread",
]


class _CancelledError(BaseException):
    """The user has had enough.

    It is no `Exception`, as those would count as a fault of the file at work.
    """


class BatchFailedError(Exception):
    """What keeps the batch from working at all, in words for the user."""


@dataclass(frozen=True)
class BatchTask:
    """What is to be done with which files."""

    paths: tuple[Path, ...]
    output: Path
    options: dict[str, Any]
    noise_map: bool
    format: str

    def prepare(self) -> tuple[Inputs, Settings]:
        """Find the images and check the settings."""
        # One file is at work at a time, so it may have all cores.
        on_cpu = resolve_device(self.options["device"]).type == "cpu"
        threads = torch.get_num_threads() if on_cpu else 1
        settings = checked_settings(
            self.options, noise_map=self.noise_map, threads=threads
        )
        found = find_inputs(self.paths, self.output, ENDINGS[self.format])
        if not found.jobs:
            refused = [f"{job.name}: {said}" for job, said in found.refused]
            why = " ".join([*refused, *found.left_out])
            if found.n_results:
                why += (
                    f" {found.n_results} files are named as results are, and were "
                    "left out."
                )
            raise BatchFailedError(f"There is nothing to denoise. {why.strip()}")
        return found, settings


@dataclass
class BatchCourse:
    """Which image is at work and how far it is, for whoever asks."""

    at_work: tuple[Job, Progress] | None = None
    worker: Any = None

    def follow(self, job: Job, progress: Progress) -> None:
        """Take note of a piece of work, and end it if that is wanted."""
        # Closing napari asks its workers to quit.
        if self.worker is not None and self.worker.abort_requested:
            raise _CancelledError
        self.at_work = job, progress


# See `workers` for why this is superqt's decorator.
@thread_worker(worker_class=ClosingWorker, ignore_errors=True)  # type: ignore[untyped-decorator]
def list_in_thread(task: BatchTask) -> Generator[Inputs | Planned, None, None]:
    """Tell what would be done, and write nothing."""
    try:
        found, settings = task.prepare()
        yield found
        yield from iter_plan(found, settings)
    except (ValueError, OSError, RuntimeError) as error:
        raise BatchFailedError(reason(error)) from error


@thread_worker(worker_class=ClosingWorker, ignore_errors=True)  # type: ignore[untyped-decorator]
def batch_in_thread(
    task: BatchTask, course: BatchCourse
) -> Generator[Inputs | Record, None, None]:
    """Work through a batch; `course` tells how far it is within a file."""
    try:
        found, settings = task.prepare()
        yield found
        yield from iter_batch(found, task.output, settings, progress=course.follow)
    except _CancelledError:
        return
    # A RuntimeError would pass for a deleted worker and go unseen; torch raises many.
    except (ValueError, OSError, RuntimeError) as error:
        raise BatchFailedError(reason(error)) from error
