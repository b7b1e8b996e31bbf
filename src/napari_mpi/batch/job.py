"""One image of a batch: begun, carried on, finished, or given up with a reason."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import napari_mpi
from napari_mpi.batch.checkpoints import FileCheckpoints
from napari_mpi.batch.errors import reason
from napari_mpi.batch.inputs import WORK_FOLDER, Job
from napari_mpi.batch.places import (
    TakenError,
    known_files,
    remove_old_extras,
    require_own_place,
    what_is_its_own,
)
from napari_mpi.batch.records import (
    Fingerprint,
    Record,
    load_record,
    save_record,
    sha256_of,
)
from napari_mpi.batch.results import result_files, write_result
from napari_mpi.batch.run import begin_run
from napari_mpi.batch.thumbnails import write_thumbnail
from napari_mpi.config import FillConfig
from napari_mpi.engine.devices import resolve_device
from napari_mpi.io.atomic import (
    PART,
    publish,
    remove,
    require_folder_writable,
)
from napari_mpi.io.files import FileError, ImageData
from napari_mpi.pipeline.api import Denoised, Denoising, Progress
from napari_mpi.pipeline.findings import about_trust, what_was_done
from napari_mpi.weights.loading import load_weights

__all__ = ["Settings", "begin_job", "finished", "run_job"]

# Threads of one process share the device, its memory, and torch's number of threads.
_one_at_a_time = threading.Lock()
# What is no one's fault is told with its place in the source.
_EXPECTED = (ValueError, TypeError, OSError, MemoryError)


@dataclass(frozen=True)
class Settings:
    """What decides on the results of a batch.

    Attributes
    ----------
    options : dict
        Keywords of `napari_mpi.iter_denoise`; weights by name or path.
    noise_map : bool
        Whether to write the noise map, too.
    threads : int
        Threads that one image is computed with on the processor. The last bits of a
        result depend on it, so it is the same for any number of workers.
    """

    options: dict[str, Any]
    noise_map: bool = False
    threads: int = 1

    def files(self, job: Job) -> list[Path]:
        """Return where the result of a job goes."""
        uncertainty = bool(self.options.get("uncertainty"))
        return result_files(
            job.target, noise_map=self.noise_map, uncertainty=uncertainty
        )

    def facts(self) -> dict[str, Any]:
        """Return everything that decides on a result, for JSON.

        To be asked where the work is done: "auto" is another device elsewhere.
        """
        asked = self.options
        options = {
            key: asdict(value) if isinstance(value, FillConfig) else value
            for key, value in asked.items()
            # Weights are told by what they hold, wherever they lie by now.
            if value is not None and key != "weights"
        }
        return {
            "napari_mpi": napari_mpi.__version__,
            "torch": torch.__version__,
            "options": options | {"device": resolve_device(asked["device"]).type},
            "weights_sha256": load_weights(asked["weights"]).sha256,
            "noise_map": self.noise_map,
            "threads": self.threads,
        }


def finished(job: Job, facts: dict[str, Any]) -> Record | None:
    """Return the record of a job that is done with these settings and this image."""
    record = load_record(job)
    if record is None or record.status != "done" or record.settings != facts:
        return None
    for name, size in (record.files or {}).items():
        path = job.target.with_name(name)
        if not path.exists() or (path.is_file() and path.stat().st_size != size):
            return None
    moved = Path(record.source) != job.source
    if record.input is None or not Fingerprint(**record.input).fits(
        *job.files, moved=moved
    ):
        return None
    # The folder may have been moved since.
    now = Record.of(job, "done")
    return replace(
        record, name=now.name, source=now.source, target=now.target, earlier=True
    )


def begin_job(job: Job, settings: Settings) -> tuple[ImageData, Denoising]:
    """Read an image and begin to denoise it, if its result has a place.

    Errors are those of `begin_run`, and `TakenError`.
    """
    require_own_place(job)
    return begin_run(
        job.source,
        settings.files(job),
        settings.options,
        job.series,
        known_files(job),
    )


def run_job(
    job: Job, settings: Settings, progress: Callable[[Progress], None] | None = None
) -> Record:
    """Denoise one image, or carry on where an earlier run was interrupted.

    Whatever goes wrong with the image is in the record, and costs no other job.

    Parameters
    ----------
    job : Job
        The image.
    settings : Settings
        What to do with it.
    progress : callable, optional
        It is told of each piece of work that is done.
    """
    try:
        locks = job.output / WORK_FOLDER / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # The system gives it back when the process ends, however it ends.
        with _one_at_a_time, FileLock(locks / f"{job.id}.lock").acquire(blocking=False):
            return _run_locked(job, settings, progress)
    except Timeout:
        return Record.of(job, "in work elsewhere", "another run is at work on it.")
    except TakenError as error:
        return Record.of(job, "failed", str(error))  # the other's record stays
    except Exception as error:
        said = reason(error)
        if not isinstance(error, _EXPECTED):
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {said} ({place.name}, {place.filename})"
        record = Record.of(job, "failed", said, **what_is_its_own(job))
        # A disk that takes no image may take no record.
        with contextlib.suppress(OSError, ValueError):
            save_record(job, record)
        return record


def _run_locked(
    job: Job, settings: Settings, progress: Callable[[Progress], None] | None
) -> Record:
    started = time.monotonic()
    facts = settings.facts()
    if record := finished(job, facts):
        return record
    if not job.source.exists():
        raise FileNotFoundError(f"There is no file {job.source}.")
    print_of_input, known = Fingerprint.of(*job.files), known_files(job)
    staged = job.work_folder / "staged"
    parts = _begin(job, {"settings": facts, "sha256": print_of_input.sha256})
    with _recorded_warnings() as notes, _threads(settings.threads):
        image, run = begin_job(job, settings)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        require_folder_writable(job.target.parent)
        run.restore(FileCheckpoints(parts))
        for step in run:
            if progress is not None:
                progress(step)
        result = run.result()
    if not print_of_input.fits(*job.files):
        raise FileError(
            f"{job.source} was changed while it was at work: run the same command "
            "again when it is complete."
        )
    report = _without_times(result.report)
    try:
        staged.mkdir()
        written = write_result(
            staged / job.target.name, image, result, settings.noise_map, report
        )
        output_sha256 = sha256_of(written[-1])
        thumbnail = job.work_folder / "thumbnail.jpg"
        write_thumbnail(thumbnail, image.data, result, image.rgb)
        for file in written:
            publish(file, job.target.with_name(file.name))
    finally:
        remove(staged)
    remove_old_extras(job, known, written)
    record = Record.of(
        job,
        "done",
        " ".join(notes),
        **_findings(result),
        seconds=round(time.monotonic() - started, 2),
        input_sha256=print_of_input.sha256,
        output_sha256=output_sha256,
        input=asdict(print_of_input),
        settings=facts,
        files={
            file.name: job.target.with_name(file.name).stat().st_size
            for file in written
        },
    )
    save_record(job, record)
    remove(parts)
    return record


def _begin(job: Job, begun: dict[str, Any]) -> Path:
    """Return the folder of the unfinished work of this image with these settings.

    Other unfinished work is removed. As it has another name, what cannot be removed is
    never taken for this.
    """
    digest = hashlib.sha256(json.dumps(begun, sort_keys=True).encode()).hexdigest()
    parts = job.work_folder / f"parts-{digest[:16]}"
    job.work_folder.mkdir(parents=True, exist_ok=True)
    for left_over in job.work_folder.rglob(f"*{PART}"):
        remove(left_over)
    remove(job.work_folder / "staged")
    for other in job.work_folder.glob("parts-*"):
        if other != parts:
            remove(other)
    return parts


def _findings(result: Denoised) -> dict[str, Any]:
    report = result.report
    noise = report["noise_estimate"]
    return {
        "planes": f"{report['planes_done']}/{report['n_planes']}",
        "noise": None if noise is None else noise["rms"],
        "correlation": None if noise is None else max(noise["correlation"]),
        "found": " ".join(what_was_done(report)),
        "verdict": " ".join(about_trust(report)),
    }


def _without_times(report: Any) -> Any:
    """Leave out what differs from one run to the next."""
    if isinstance(report, dict):
        return {k: _without_times(v) for k, v in report.items() if k != "seconds"}
    if isinstance(report, list):
        return [_without_times(value) for value in report]
    return report


@contextlib.contextmanager
def _recorded_warnings() -> Iterator[list[str]]:
    said: list[str] = []
    thread = threading.get_ident()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        show = warnings.showwarning

        def take(
            message: Warning | str, category: type[Warning], *more: Any, **named: Any
        ) -> None:
            # Warnings are the whole program's, and a window has more to do than this.
            if threading.get_ident() != thread:
                show(message, category, *more, **named)
            elif category is UserWarning and str(message) not in said:
                said.append(str(message))

        warnings.showwarning = take
        try:
            yield said
        finally:  # which not every Python's `catch_warnings` does
            warnings.showwarning = show


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
