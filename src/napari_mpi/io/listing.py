"""What images files and folders hold, without a look at the pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from napari_mpi.arrays.storage import NoSpaceError
from napari_mpi.io.bioio_reader import series_of_bioio
from napari_mpi.io.image_data import (
    BIOIO_PACKAGES,
    SUFFIXES,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    FileError,
)
from napari_mpi.io.tiff import parts_of_tiff, series_of_tiff
from napari_mpi.io.zarr_reader import is_zarr, series_of_zarr

__all__ = [
    "checked",
    "guarded",
    "is_store",
    "list_images",
    "list_parts",
    "list_series",
    "without_parts",
]

_Read = TypeVar("_Read")


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the images in a folder by their endings, in natural order.

    Parameters
    ----------
    folder : path
        Folders inside it are not searched.
    """
    files = (path for path in Path(folder).iterdir() if path.is_file())
    chosen = [
        path
        for path in files
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(chosen, key=_natural_key)


def list_series(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the images in a file, in their order.

    Most files hold one, whose name may be empty. The pixels are not looked at.

    Parameters
    ----------
    path : path
        A file or a Zarr store.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    FileError
        If the file is damaged or no image.
    """
    path = checked(Path(path))
    suffix = path.suffix.lower()
    if is_store(path):
        return guarded(series_of_zarr, path)
    if suffix in TIFF_SUFFIXES:
        return guarded(series_of_tiff, path)
    if suffix in BIOIO_PACKAGES:
        return guarded(series_of_bioio, path)
    return ("",)


def list_parts(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the other files that the images of a file are spread over.

    OME-TIFF may keep each plane in a file of its own, and each of these files gives
    the whole image.

    Parameters
    ----------
    path : path
        A file or a Zarr store; the errors are those of `list_series`.
    """
    path = checked(Path(path))
    if path.suffix.lower() in TIFF_SUFFIXES and not path.is_dir():
        return guarded(parts_of_tiff, path)
    return ()


def without_parts(paths: Iterable[Path]) -> list[Path]:
    """Leave out the files that hold a part of an image before them.

    Parameters
    ----------
    paths : iterable of Path
        Files or Zarr stores. One that cannot be read stays: who reads it tells why.
    """
    found: list[Path] = []
    parts = set[Path]()
    for path in paths:
        # tifffile, which names the parts, follows links.
        if Path(os.path.realpath(path)) not in parts:
            found.append(path)
            with suppress(ValueError, OSError, MemoryError):
                parts.update(list_parts(path))
    return found


def checked(path: Path) -> Path:
    """Return the path of a file or store with a known ending, and refuse others."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if not path.is_file() and not path.is_dir():
        raise FileError(
            f"{path} is no file with an image, but a pipe or a device: choose another."
        )
    suffix = path.suffix.lower()
    if is_store(path):
        return path
    if suffix not in SUFFIXES:
        raise FileError(
            f"{path}: cannot read the format {suffix or 'without an ending'!r}; "
            f"expected one of {', '.join((*SUFFIXES, ZARR_SUFFIX))}."
        )
    if path.stat().st_size == 0:
        raise FileError(
            f"{path} is empty (0 bytes), expected an image. Copy it again from its "
            "source."
        )
    return path


def is_store(path: Path) -> bool:
    """Whether a path is that of a Zarr store."""
    return path.suffix.lower() == ZARR_SUFFIX or (path.is_dir() and is_zarr(path))


def guarded(reader: Callable[[Path], _Read], path: Path) -> _Read:
    """Give every way in which a damaged file can fail one kind of error."""
    try:
        return reader(path)
    except (FileError, PermissionError, NoSpaceError):
        raise
    except MemoryError as error:
        raise MemoryError(
            f"{path} does not fit into the free memory ({str(error) or 'none left'}). "
            "Close other programs, or read a part of it elsewhere and save that."
        ) from error
    except Exception as error:
        if "imagecodecs" in str(error):
            raise FileError(
                f"{path} is compressed in a way that needs a further package "
                f"({error}). Run `pip install imagecodecs`, or save it uncompressed."
            ) from error
        raise FileError(
            f"{path} is damaged or not what its ending says ({error}). Copy it again "
            "from its source, or open it in another program to see what it is."
        ) from error


def _natural_key(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]
