"""Training and downloads in a thread of their own, while the window stays usable."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superqt.utils import thread_worker

from napari_mpi._napari.workers import ClosingWorker, ComputationFailedError
from napari_mpi.io.files import ImageData
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.held_out import Preview
from napari_mpi.training.pretrain import PretrainStep, Training, iter_pretrain
from napari_mpi.weights.download import DownloadCancelledError, download_weights

__all__ = [
    "DISCARD",
    "FINISH",
    "PAUSE",
    "RESUME",
    "TrainingJob",
    "Transfer",
    "download_in_thread",
    "train_in_thread",
]

PAUSE, RESUME = "pause", "resume"
"""Sent to a training that is to wait, and to go on."""

FINISH, DISCARD = "finish", "discard"
"""Sent to a training that is to end, with weights or without."""

_PAUSE = 0.05  # seconds between two looks whether to go on

# The held-out patch is filled again at this interval in seconds, and filling it takes
# no more than this share of the time.
_REFRESH_PREVIEW = 3.0
_SHARE_OF_PREVIEW = 0.05


@dataclass(frozen=True)
class TrainingJob:
    """What is to be trained, on what, and where it is saved."""

    images: Sequence[ImageData]
    folders: Sequence[Path]
    output: Path
    config: PretrainConfig
    init: str | Path | None = None
    resume: Path | None = None
    device: str = "auto"


# See `workers` for why this is superqt's decorator.
@thread_worker(worker_class=ClosingWorker, ignore_errors=True)  # type: ignore[untyped-decorator]
def train_in_thread(
    job: TrainingJob,
) -> Generator[Training | Preview | PretrainStep | None, str | None, Training | None]:
    try:
        training = iter_pretrain(
            job.folders,
            job.output,
            job.config,
            init=job.init,
            resume=job.resume,
            device=job.device,
            images=job.images,
            overwrite=True,  # the dock has asked
        )
        command = yield training
        preview_at = 0.0
        try:
            for step in training:
                started = time.monotonic()
                if started >= preview_at and (preview := training.preview()):
                    now = time.monotonic()
                    preview_at = now + max(
                        _REFRESH_PREVIEW, (now - started) / _SHARE_OF_PREVIEW
                    )
                    command = (yield preview) or command
                command = (yield step) or command
                while command == PAUSE:
                    time.sleep(_PAUSE)
                    command = (yield None) or command
                if command == FINISH:
                    training.stop()
                elif command == DISCARD:
                    training.discard()
                    return None
                command = None
        finally:
            training.close()
        if (preview := training.preview()) is not None:
            yield preview
        return training
    # A RuntimeError would pass for a deleted worker and go unseen; torch raises many.
    except RuntimeError as error:
        raise ComputationFailedError(
            error, "Try the device cpu, or smaller crops."
        ) from error


@dataclass
class Transfer:
    """How far a download is, for whoever asks, and whether it is to end."""

    done: int = 0
    total: int = 0
    cancelled: bool = False
    worker: Any = None

    def cancel(self, *_: Any) -> None:
        """End the download at the next part that arrives."""
        self.cancelled = True

    def report(self, done: int, total: int) -> None:
        """Take note of what has arrived."""
        # Closing napari asks its workers to quit.
        if self.cancelled or (self.worker and self.worker.abort_requested):
            raise DownloadCancelledError
        self.done, self.total = done, total


@thread_worker  # type: ignore[untyped-decorator]
def download_in_thread(name: str, transfer: Transfer) -> Path | None:
    try:
        return download_weights(name, transfer.report)
    except DownloadCancelledError:
        return None
