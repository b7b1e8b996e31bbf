"""Which files a job may replace and remove: those of its own earlier results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_mpi.batch.inputs import Job
from napari_mpi.batch.records import Record, load_record, sha256_of
from napari_mpi.batch.results import EXTRAS, extra_path
from napari_mpi.io.atomic import remove

__all__ = [
    "TakenError",
    "known_files",
    "remove_old_extras",
    "require_own_place",
    "what_is_its_own",
]


class TakenError(ValueError):
    """The place of a result holds that of another image."""


def known_files(job: Job) -> dict[str, int]:
    """Return name and size of the files that an earlier run wrote for the job."""
    record = load_record(job)
    return {} if record is None or record.files is None else record.files


def what_is_its_own(job: Job) -> dict[str, Any]:
    """Return of an earlier record what tells that its files are the job's.

    A record that takes its place has to keep it: else the files could not be replaced
    later, or another image would replace them.
    """
    record = load_record(job)
    if record is None or not record.files:
        return {}
    return {"files": record.files, "input_sha256": record.input_sha256}


def require_own_place(job: Job) -> None:
    """Raise an error if the place holds the result of another image.

    Parameters
    ----------
    job : Job
        The image.

    Raises
    ------
    TakenError
        If it does, and that image is still there.
    """
    record = load_record(job)
    if record is not None and _is_of_another(record, job):
        raise TakenError(
            f"{job.target} is the result of {record.source}: give another folder for "
            "the results, or give the folder above both images, whose folders the "
            "results keep."
        )


def _is_of_another(record: Record, job: Job) -> bool:
    # A folder that was moved or copied holds the same images elsewhere.
    return (
        bool(record.files)
        and Path(record.source) != job.source
        and Path(record.source).exists()
        and sha256_of(*job.files) != record.input_sha256
    )


def remove_old_extras(job: Job, known: Iterable[str], written: Iterable[Path]) -> None:
    """Remove what an earlier run wrote beside the denoised image, and this one did not.

    Parameters
    ----------
    job : Job
        The image.
    known : iterable of str
        Names of the files of the earlier run.
    written : iterable of Path
        The files of this run.
    """
    outdated = {*known} - {file.name for file in written}
    for what in EXTRAS:
        if (extra := extra_path(job.target, what)).name in outdated:
            remove(extra)
