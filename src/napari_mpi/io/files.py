"""Read and write images with their axes, pixel size and units."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi.arrays.storage import allocate, let_go
from napari_mpi.io.atomic import staged
from napari_mpi.io.bioio_reader import looks_like_bioio, read_bioio
from napari_mpi.io.image_data import (
    BIOIO_PACKAGES,
    MAX_IN_MEMORY,
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
from napari_mpi.io.listing import checked, guarded, is_store, list_images, without_parts
from napari_mpi.io.mrc import HEADER_BYTES, is_mrc, read_mrc
from napari_mpi.io.ours import require_ours
from napari_mpi.io.pictures import PICTURE_MAGIC, read_picture
from napari_mpi.io.tiff import read_tiff
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
    looks_like_image,
    read_zarr,
)
from napari_mpi.io.zarr_writer import can_hold_zarr, require_storable, write_zarr

__all__ = [
    "FileError",
    "ImageData",
    "can_hold",
    "can_read",
    "read_image",
    "read_stack",
    "require_writable",
    "stem_of",
    "write_image",
]

# Classic and BigTIFF, little and big endian.
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OME_SUFFIXES = (".ome.tif", ".ome.tiff")


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
    if path.is_dir() and not is_store(path):
        return _read_folder(path)
    checked(path)
    suffix = path.suffix.lower()
    if is_store(path):
        return _native(guarded(lambda path: read_zarr(path, series), path))
    if suffix in TIFF_SUFFIXES:
        image = guarded(lambda path: read_tiff(path, series), path)
    elif suffix in BIOIO_PACKAGES:
        image = guarded(lambda path: read_bioio(path, series), path)
    else:
        chosen_series(path, [""], series)
        image = guarded(read_mrc if suffix in MRC_SUFFIXES else read_picture, path)
    return image if isinstance(image.data, np.memmap) else _native(image)


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
    OSError
        If the stack has to go to a temporary file and there is no space for it.
    """
    first = read_image(paths[0])
    data = allocate(
        (len(paths), *first.data.shape),
        first.data.dtype.newbyteorder("="),
        on_disk=len(paths) * first.data.nbytes > MAX_IN_MEMORY,
    )
    data[0] = first.data
    for number, path in enumerate(paths[1:], 1):
        image = read_image(path)
        if _kind(image) != _kind(first):
            raise FileError(
                f"{name} is no stack: expected images of one shape and type, but "
                f"{path} is {_kind(image)} and {paths[0]} is {_kind(first)}. Read "
                "them one by one, or move what does not belong elsewhere."
            )
        data[number] = image.data
        let_go(data)
    # Not C: a reader would take the files for channels.
    free = next(letter for letter in "TZIJKLMNQ" if letter not in first.axes)
    return ImageData(
        data,
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
            if is_store(path):
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


def can_hold(path: str | os.PathLike[str], dtype: np.dtype[Any]) -> bool:
    """Whether the format that a name stands for knows a pixel type."""
    name = Path(path).name.lower()
    if name.endswith(ZARR_SUFFIX):
        return can_hold_zarr(dtype)
    return (can_hold_ome if name.endswith(_OME_SUFFIXES) else can_hold_plain)(dtype)


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


def _read_folder(folder: Path) -> ImageData:
    paths = list_images(folder)
    if not paths:
        raise FileError(
            f"{folder} holds no readable image (looked for {', '.join(SUFFIXES)})."
        )
    paths = without_parts(paths)
    if len(paths) == 1:
        return read_image(paths[0])
    return read_stack(paths, folder.resolve().name)
