"""What became of a job, kept beside the results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from napari_mpi.batch.inputs import WORK_FOLDER, Job
from napari_mpi.io.atomic import read_json, write_json

__all__ = [
    "Fingerprint",
    "Record",
    "all_records",
    "load_record",
    "save_record",
    "sha256_of",
]

Status = Literal["waiting", "in work", "in work elsewhere", "done", "failed"]
_RECORD = "record.json"
_BLOCK = 2**20


@dataclass(frozen=True)
class Fingerprint:
    """What tells whether the files of an image have changed.

    Attributes
    ----------
    size : int
        Bytes.
    mtime_ns : int
        When it was last written, in nanoseconds; of several files the sum.
    sha256 : str
        Hash of what it holds, hexadecimal.
    """

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, *paths: Path) -> Fingerprint:
        """Look at files, or at all files of a folder."""
        return cls(*_size_and_time(*paths), sha256_of(*paths))

    def fits(self, *paths: Path, moved: bool = False) -> bool:
        """Whether files are still the same.

        They are read only if one was touched, or if these are other files than those
        that were looked at, which may be as large and as old by chance.
        """
        size, mtime_ns = _size_and_time(*paths)
        if not moved and (size, mtime_ns) == (self.size, self.mtime_ns):
            return True
        return size == self.size and sha256_of(*paths) == self.sha256


@dataclass(frozen=True)
class Record:
    """What became of a job.

    Attributes
    ----------
    name, source, target : str
        The image as reports call it, its path, and where its result is.
    status : str
        "waiting", "in work", "in work elsewhere", "done" or "failed".
    reason : str
        Why it failed, or what the user should know.
    earlier : bool
        Whether it was done already when this run came to it.
    planes : str
        How many planes are done, of how many.
    seconds : float
        Time of the run that finished it.
    noise : float or None
        Standard deviation of the noise that was found, in the image's units.
    correlation : float or None
        The larger correlation of the noise of neighbouring pixels.
    found, verdict : str
        What was found and done, and what the noise map gives to be careful about.
    input_sha256, output_sha256 : str
        Hashes of both files.
    input : dict
        The `Fingerprint` of the image.
    settings : dict
        What else decides on the result.
    files : dict of str to int
        Name and size of each file of the result.
    """

    name: str
    source: str
    target: str
    status: Status = "waiting"
    reason: str = ""
    earlier: bool = False
    planes: str = ""
    seconds: float = 0.0
    noise: float | None = None
    correlation: float | None = None
    found: str = ""
    verdict: str = ""
    input_sha256: str = ""
    output_sha256: str = ""
    input: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None
    files: dict[str, int] | None = None

    @classmethod
    def of(cls, job: Job, status: Status, reason: str = "", **facts: Any) -> Record:
        """Return a record of a job."""
        return cls(job.name, str(job.source), str(job.target), status, reason, **facts)


def load_record(job: Job) -> Record | None:
    """Return what is known of a job from this or an earlier run."""
    return _record_of(read_json(job.work_folder / _RECORD))


def save_record(job: Job, record: Record) -> None:
    """Keep what is known of a job."""
    job.work_folder.mkdir(parents=True, exist_ok=True)
    write_json(job.work_folder / _RECORD, asdict(record))


def all_records(output: Path) -> dict[str, Record]:
    """Return everything that is known of an output folder, by the id of the job."""
    found = {}
    for path in sorted((output / WORK_FOLDER / "jobs").glob(f"*/{_RECORD}")):
        if record := _record_of(read_json(path)):
            found[path.parent.name] = record
    return found


def _record_of(content: Any) -> Record | None:
    names = {field.name for field in fields(Record)}
    if not isinstance(content, dict) or set(content) != names:
        return None
    return Record(**content)


def sha256_of(*paths: Path) -> str:
    """Return the hash of a file; of several or of a folder, with the files' names."""
    digest = hashlib.sha256()
    for file, place in _files_of(paths):
        if place:
            digest.update(place.encode(errors="surrogateescape") + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _size_and_time(*paths: Path) -> tuple[int, int]:
    stats = [file.stat() for file, _ in _files_of(paths)]
    # A file may be replaced by one that is older than others.
    return sum(s.st_size for s in stats), sum(s.st_mtime_ns for s in stats)


def _files_of(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return each file, and the name that tells it from others; none for one alone."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            found += [(file, file.relative_to(path).as_posix()) for file in inside]
        else:
            found.append((path, path.name if len(paths) > 1 else ""))
    return found
