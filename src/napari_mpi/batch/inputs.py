"""Which images a batch consists of, and where their results go."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_mpi.batch.errors import reason
from napari_mpi.batch.results import ENDINGS, is_result, target_name
from napari_mpi.io.atomic import as_one_file
from napari_mpi.io.image_data import SUFFIXES, ZARR_SUFFIX, stem_of
from napari_mpi.io.listing import list_parts, list_series
from napari_mpi.io.zarr_reader import looks_like_image

__all__ = ["WORK_FOLDER", "Inputs", "Job", "find_inputs"]

WORK_FOLDER = ".napari-mpi"
"""Where a batch keeps its records and unfinished work, inside the output folder."""

_SUFFIXES = (*SUFFIXES, ZARR_SUFFIX)
_MOST_LISTED = 10  # names, before the others are counted
# JPEG loses pixels, and PNG is most often a screenshot.
_PICTURE_RANKS = {".jpg": 0, ".jpeg": 0, ".png": 1}


@dataclass(frozen=True)
class Job:
    """One image and its result.

    Attributes
    ----------
    name : str
        The image as it is called in reports: its path within the folder that was
        given.
    source : Path
        The image, an absolute path.
    target : Path
        The denoised image, an absolute path.
    output : Path
        The output folder, an absolute path.
    series : int or None
        Which image of a file that holds several.
    parts : tuple of Path
        The other files that the image is spread over.
    """

    name: str
    source: Path
    target: Path
    output: Path
    series: int | None = None
    parts: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold the image, or the folder that does."""
        return self.source, *self.parts

    @property
    def id(self) -> str:
        """A name for its folder: it tells the image, and no two results share it."""
        place = as_one_file(self.target.relative_to(self.output).as_posix())
        digest = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()
        safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in self.name)
        return f"{safe[:40]}-{digest[:16]}"

    @property
    def work_folder(self) -> Path:
        """Where the job keeps its record and unfinished work."""
        return self.output / WORK_FOLDER / "jobs" / self.id


@dataclass
class Inputs:
    """What was found.

    Attributes
    ----------
    jobs : list of Job
        One for each image.
    refused : list of (Job, str)
        What cannot be a job, and why.
    n_results : int
        Results of earlier runs that were left out.
    left_out : list of str
        What else was left out, each in a sentence that tells why.
    """

    jobs: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, str]] = field(default_factory=list)
    n_results: int = 0
    left_out: list[str] = field(default_factory=list)


def find_inputs(
    inputs: Iterable[str | os.PathLike[str]],
    output: Path,
    ending: str = ENDINGS["ome-tiff"],
) -> Inputs:
    """Find the images among files, patterns and folders.

    Parameters
    ----------
    inputs : iterable of path
        Files; patterns with ``*``, ``?`` and ``**``; folders, which are searched with
        all folders inside them.
    output : Path
        The output folder, which is left out where a folder around it is searched; so
        is any file that is named as results are.
    ending : str
        How the names of results end.
    """
    output = output.resolve()
    found = Inputs()
    taken: dict[str, Job] = {}
    seen = set[Path]()
    parts_taken = set[Path]()
    for source, place in _files(inputs, output, found):
        if source in seen or Path(os.path.realpath(source)) in parts_taken:
            continue
        seen.add(source)
        if is_result(source):
            found.n_results += 1
            continue
        labels, parts = _contents(source)
        if parts:
            # tifffile, which names them, follows links.
            parts_taken.update(parts)
            found.left_out.append(
                f"{place.as_posix()} is one image together with {_listed(parts)}, "
                "which are not denoised again."
            )
        for job in _jobs_of(source, place, output, ending, labels, parts):
            place_taken = as_one_file(job.target)
            clash = taken.setdefault(place_taken, job)
            if clash is job:
                continue
            if _is_picture_of(clash, job):
                taken[place_taken] = job
                found.left_out.append(_left_out_for(clash, job))
            elif _is_picture_of(job, clash):
                found.left_out.append(_left_out_for(job, clash))
            else:
                said = (
                    f"its result would be {job.target.name}, as that of "
                    f"{clash.source}: rename one, or give the folder above both, whose "
                    "folders the results keep."
                )
                found.refused.append((job, said))
    found.jobs.extend(taken.values())
    return found


def _is_picture_of(one: Job, other: Job) -> bool:
    """Whether an image is the other one, saved in a lesser format to be looked at."""
    is_lesser = _rank(one.source) < _rank(other.source)
    return is_lesser and one.source.parent == other.source.parent


def _rank(path: Path) -> int:
    return _PICTURE_RANKS.get(path.suffix.lower(), len(_PICTURE_RANKS))


def _left_out_for(picture: Job, image: Job) -> str:
    return (
        f"{picture.name} is left out for {image.source.name} beside it, which holds "
        "the measured values. Rename it to denoise it, too."
    )


def _jobs_of(
    source: Path,
    place: Path,
    output: Path,
    ending: str,
    labels: Sequence[str],
    parts: tuple[Path, ...],
) -> Iterator[Job]:
    """Yield a job for each image in a file."""
    for number, label in enumerate(labels):
        stem, name = stem_of(source), place.as_posix()
        if len(labels) > 1:
            stem, name = f"{stem}_{label}", f"{name} [{label}]"
        target = output / place.with_name(target_name(stem, ending))
        series = number if len(labels) > 1 else None
        yield Job(name, source, target, output, series, parts)


def _contents(source: Path) -> tuple[list[str], tuple[Path, ...]]:
    """Return what tells the images in a file apart, and its other parts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _labels(list_series(source)), list_parts(source)
    except (ValueError, OSError, MemoryError):
        return [""], ()  # the job will tell why


def _listed(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:_MOST_LISTED]]
    more = [f"{len(paths) - _MOST_LISTED} more"] if len(paths) > _MOST_LISTED else []
    return ", ".join([*names, *more])


def _labels(names: Iterable[str]) -> list[str]:
    """Make of the names of images what is fit for the name of a file."""
    labels: list[str] = []
    for number, name in enumerate(names):
        first = label = re.sub(r"[^\w.-]+", "-", name)[:60].strip("-.")
        taken = {*map(str.casefold, labels)}
        for other in itertools.count(number):
            if label and label.casefold() not in taken:
                break
            label = f"{first}-{other}".lstrip("-")
        labels.append(label)
    return labels


def _files(
    inputs: Iterable[str | os.PathLike[str]], output: Path, found: Inputs
) -> Iterator[tuple[Path, Path]]:
    """Yield each file, and its place relative to what was given."""

    def refuse(path: Path, said: str) -> None:
        job = Job(str(path), path.absolute(), output / path.name, output)
        found.refused.append((job, said))

    for given in map(Path, inputs):
        n_found, n_refused = 0, len(found.refused)
        try:
            places, folder, nothing = _places(
                given, output, refuse, found.left_out.append
            )
            for place in places:
                n_found += 1
                yield folder / place, place
        except OSError as error:  # a folder on the way that may not be looked into
            refuse(given, reason(error))
        if n_found == 0 and len(found.refused) == n_refused:
            refuse(given, nothing)


def _places(
    path: Path,
    output: Path,
    refuse: Callable[[Path, str], None],
    leave_out: Callable[[str], None],
) -> tuple[Iterator[Path], Path, str]:
    """Return the images, the folder that they are in, and what to say if none is."""
    if path.is_dir() and not _is_image(path):
        nothing = f"holds no image (looked for {', '.join(_SUFFIXES)})."
        return _below(path, output, refuse, leave_out), path.resolve(), nothing
    if not path.exists() and glob.has_magic(str(path)):
        fixed = next(up for up in path.parents if not glob.has_magic(str(up)))
        nothing = "no image fits this pattern."
        return _matching(path, fixed, output), fixed.resolve(), nothing
    return iter([Path(path.name)]), path.parent.resolve(), ""


def _matching(pattern: Path, fixed: Path, output: Path) -> Iterator[Path]:
    folder = fixed.resolve()
    for path in sorted(folder.glob(str(pattern.relative_to(fixed)))):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in place.parts)
        if hidden or not _is_image(path) or _is_output(path, output, folder):
            continue
        # A store may hold further images, which are read with it.
        if not any(_is_image(folder / up) for up in place.parents[:-1]):
            yield place


def _below(
    given: Path,
    output: Path,
    refuse: Callable[[Path, str], None],
    leave_out: Callable[[str], None],
) -> Iterator[Path]:
    def report(error: OSError) -> None:
        refuse(Path(error.filename), f"cannot be searched: {error.strerror}.")

    folder = given.resolve()
    for parent, folders, files in os.walk(folder, onerror=report):
        images = [name for name in folders if _is_image(Path(parent, name))]
        folders[:] = sorted(
            name
            for name in folders
            if name not in images
            and not name.startswith(".")
            and not _is_output(Path(parent, name), output, folder)
        )
        for path in (Path(parent, name) for name in folders):
            # What is linked within the folder is found anyway.
            there = Path(os.path.realpath(path))
            if path.is_symlink() and not there.is_relative_to(folder):
                leave_out(
                    f"{given / path.relative_to(folder)} is a link to a folder, which "
                    "is not followed: give it, too, to denoise what is in it."
                )
        for name in sorted([*files, *images]):
            if name in images or _is_image(Path(parent, name)):
                yield Path(parent, name).relative_to(folder)


def _is_image(path: Path) -> bool:
    """Whether a file or folder is called as images are, or is a store of one."""
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in _SUFFIXES or (
        path.is_dir() and looks_like_image(path)
    )


def _is_output(path: Path, output: Path, searched: Path) -> bool:
    """Whether a path belongs to an output folder inside the folder searched."""
    return searched in output.parents and (path == output or output in path.parents)
