"""Read and write images with their axes, pixel size and units."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_mpi.io.atomic import staged
from napari_mpi.io.bioio_reader import looks_like_bioio, read_bioio, series_of_bioio
from napari_mpi.io.image_data import (
    BIOIO_PACKAGES,
    MRC_SUFFIXES,
    PICTURE_SUFFIXES,
    SUFFIXES,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    FileError,
    ImageData,
    chosen_series,
    stem_of,
)
from napari_mpi.io.mrc import HEADER_BYTES, is_mrc, read_mrc
from napari_mpi.io.ours import require_ours
from napari_mpi.io.pictures import PICTURE_MAGIC, read_picture
from napari_mpi.io.tiff import parts_of_tiff, read_tiff, series_of_tiff
from napari_mpi.io.tiff_writer import (
    can_hold_imagej,
    can_hold_ome,
    can_hold_plain,
    known_axes,
    write_imagej,
    write_ome,
    write_plain,
)
from napari_mpi.io.zarr_reader import (
    is_zarr,
    looks_like_image,
    read_zarr,
    series_of_zarr,
)
from napari_mpi.io.zarr_writer import require_storable, write_zarr

__all__ = [
    "FileError",
    "ImageData",
    "can_hold_ome",
    "can_read",
    "list_images",
    "list_parts",
    "list_series",
    "read_image",
    "read_stack",
    "require_writable",
    "stem_of",
    "write_image",
]

_Read = TypeVar("_Read")
# Classic and BigTIFF, little and big endian.
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OME_SUFFIXES = (".ome.tif", ".ome.tiff")


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
    path = _checked(Path(path))
    suffix = path.suffix.lower()
    if _is_store(path):
        return _guarded(series_of_zarr, path)
    if suffix in TIFF_SUFFIXES:
        return _guarded(series_of_tiff, path)
    if suffix in BIOIO_PACKAGES:
        return _guarded(series_of_bioio, path)
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
    path = _checked(Path(path))
    if path.suffix.lower() in TIFF_SUFFIXES and not path.is_dir():
        return _guarded(parts_of_tiff, path)
    return ()


def read_image(path: str | os.PathLike[str], series: int | None = None) -> ImageData:
    """Read a TIFF, OME-TIFF, ImageJ, PNG, JPEG, MRC or OME-Zarr image, or a folder.

    With the optional packages, CZI, DeltaVision, LIF and ND2, too. A large TIFF is
    mapped into memory, and other large images are dask arrays: their pixels are read
    when they are asked for.

    Parameters
    ----------
    path : path
        A file, a Zarr store, or a folder whose images all have one shape and type;
        they become one stack in natural order of their names, with a leading T axis.
    series : int, optional
        Which image of a file that holds several, counted from 0 as in `list_series`.
        Otherwise the first is read, with a warning.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    FileError
        If the file is damaged or no image, has no such series, or needs a package
        that is not installed.
    """
    path = Path(path)
    if path.is_dir() and not _is_store(path):
        return _read_folder(path)
    _checked(path)
    suffix = path.suffix.lower()
    if _is_store(path):
        return _native(_guarded(lambda path: read_zarr(path, series), path))
    if suffix in TIFF_SUFFIXES:
        image = _guarded(lambda path: read_tiff(path, series), path)
    elif suffix in BIOIO_PACKAGES:
        image = _guarded(lambda path: read_bioio(path, series), path)
    else:
        chosen_series(path, [""], series)
        image = _guarded(read_mrc if suffix in MRC_SUFFIXES else read_picture, path)
    return image if isinstance(image.data, np.memmap) else _native(image)


def _checked(path: Path) -> Path:
    """Return the path of a file or store with a known ending, and refuse others."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if not path.is_file() and not path.is_dir():
        raise FileError(
            f"{path} is no file with an image, but a pipe or a device: choose another."
        )
    suffix = path.suffix.lower()
    if _is_store(path):
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


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ZARR_SUFFIX or (path.is_dir() and is_zarr(path))


def _native(image: ImageData) -> ImageData:
    # Few libraries compute with the other byte order, PyTorch does not.
    native = image.data.dtype.newbyteorder("=")
    return replace(image, data=image.data.astype(native, copy=False))


def read_stack(paths: Sequence[str | os.PathLike[str]], name: str) -> ImageData:
    """Read several images of one shape and type as one stack.

    Parameters
    ----------
    paths : sequence of path
        The images in their order; the new leading axis is T, or another letter where
        they have a T axis themselves.
    name : str
        Name of the stack.

    Raises
    ------
    FileError
        If a file is damaged, or shapes or types differ.
    """
    first = read_image(paths[0])
    planes = [first.data]
    for path in paths[1:]:
        image = read_image(path)
        if _kind(image) != _kind(first):
            raise FileError(
                f"{name} is no stack: expected images of one shape and type, but "
                f"{path} is {_kind(image)} and {paths[0]} is {_kind(first)}. Read "
                "them one by one, or move what does not belong elsewhere."
            )
        planes.append(image.data)
    # Not C: a reader would take the files for channels.
    free = next(letter for letter in "TZIJKLMNQ" if letter not in first.axes)
    return ImageData(
        np.stack(planes),
        free + first.axes,
        (1.0, *first.scale),
        ("pixel", *first.units),
        name,
        channel_names=first.channel_names,
        translate=(0.0, *first.translate) if first.translate else (),
    )


def _kind(image: ImageData) -> str:
    return f"{image.axes} {image.data.shape} {image.data.dtype}"


def can_read(path: str | os.PathLike[str]) -> bool:
    """Whether `read_image` has a fair chance, judged from the first bytes only."""
    path = Path(path)
    try:
        if path.is_dir():
            if _is_store(path):
                return looks_like_image(path)
            images = list_images(path)
            return bool(images) and can_read(images[0])
        suffix = path.suffix.lower()
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError:
        return False
    if suffix in TIFF_SUFFIXES:
        return head.startswith(_TIFF_MAGIC)
    if suffix in MRC_SUFFIXES:
        return is_mrc(head)
    if suffix in BIOIO_PACKAGES:
        return looks_like_bioio(suffix, head)
    return suffix in PICTURE_SUFFIXES and head.startswith(PICTURE_MAGIC)


def write_image(path: str | os.PathLike[str], image: ImageData) -> None:
    """Write an image; it appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        ``*.ome.tif`` gives OME-TIFF; ``*.tif`` an ImageJ hyperstack where ImageJ
        knows the pixel type, else a plain TIFF; ``*.zarr`` a folder with OME-Zarr 0.5.
    image : ImageData
        What to write.

    Raises
    ------
    FileError
        If the format cannot hold the image.
    OSError
        If the folder is missing or cannot be written to.
    """
    path = Path(path)
    name = path.name.lower()
    require_writable(path, image)
    if 0 in image.data.shape:
        raise FileError(
            f"{path}: the image has no pixels, its shape is {image.data.shape}; "
            "expected at least one along each axis."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}: make it first.")
    if name.endswith(ZARR_SUFFIX):
        write = write_zarr
    elif name.endswith(_OME_SUFFIXES):  # tifffile is told so, whatever the file's name
        write = write_ome
    else:
        write = write_imagej if can_hold_imagej(image) else write_plain
    try:
        with staged(path) as partial:
            write(partial, image)
    except PermissionError as error:
        raise PermissionError(
            f"Not allowed to write {path} ({error.strerror}): choose another folder."
        ) from error
    except OSError as error:
        # NumPy only counts the values that the disk took.
        code = error.errno or errno.ENOSPC
        raise OSError(code, os.strerror(code), str(path)) from error


def require_writable(path: str | os.PathLike[str], image: ImageData) -> None:
    """Raise an error if the format that a name stands for cannot hold an image.

    Parameters
    ----------
    path : path
        Where `write_image` is to write; it may be asked before there are pixels.
    image : ImageData
        An image of the same axes and pixel type.

    Raises
    ------
    FileError
        If the format cannot hold it, or a package is missing.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(ZARR_SUFFIX):
        # A folder that is replaced takes all with it that is in it.
        require_ours(path)
        require_storable(image)
    elif not name.endswith(TIFF_SUFFIXES):
        raise FileError(
            f"{path}: can write TIFF and OME-Zarr only, name it .ome.tif or .tif or "
            ".ome.zarr instead."
        )
    elif path.is_dir():
        raise FileError(f"{path} is a folder: choose another name.")
    elif name.endswith(_OME_SUFFIXES):
        if not can_hold_ome(image.data.dtype):
            raise FileError(
                f"OME-TIFF cannot hold {image.data.dtype} pixels: name a .tif file as "
                "the output, or convert them to float32."
            )
        known_axes(image)
    elif not can_hold_plain(image.data.dtype):
        raise FileError(
            f"TIFF cannot hold {image.data.dtype} pixels: convert them to float32."
        )
    elif can_hold_imagej(image):
        known_axes(image)


def _guarded(reader: Callable[[Path], _Read], path: Path) -> _Read:
    """Give every way in which a damaged file can fail one kind of error."""
    try:
        return reader(path)
    except (FileError, PermissionError):
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


def _read_folder(folder: Path) -> ImageData:
    paths = list_images(folder)
    if not paths:
        raise FileError(
            f"{folder} holds no readable image (looked for {', '.join(SUFFIXES)})."
        )
    return read_stack(paths, folder.resolve().name)


def _natural_key(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]
