"""Read and write images with their axes, pixel size and units."""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imageio.v3 as iio
import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

__all__ = [
    "FileError",
    "ImageData",
    "can_hold_ome",
    "can_read",
    "list_images",
    "read_image",
    "read_stack",
    "stem_of",
    "write_image",
]

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
MRC_SUFFIXES = (".mrc", ".mrcs", ".rec", ".st")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES + MRC_SUFFIXES

# Classic and BigTIFF, little and big endian.
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_MRC_HEADER = 1024
_MRC_MODES = (0, 1, 2, 4, 6, 12)
_UNITS = {
    "": "pixel",
    "pixels": "pixel",
    "px": "pixel",
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "um": "µm",
    "μm": "µm",  # Greek mu; the micro sign is the other code point
    "\\u00b5m": "µm",
    "sec": "s",
    "seconds": "s",
    "second": "s",
    "nanometer": "nm",
    "millimeter": "mm",
    "in": "inch",
    "angstrom": "Å",
    "å": "Å",
    "\u212b": "Å",  # the angstrom sign; the letter is the other code point
}
_OME_DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
_OME_LENGTHS = ("pixel", "pm", "nm", "µm", "mm", "cm", "m", "Å", "inch")
_OME_TIMES = ("ns", "µs", "ms", "s", "min", "h", "d")
_IMAGEJ_DTYPES = ("u1", "u2", "f4")
# ImageJ reads these words everywhere; the signs break in some versions.
_IMAGEJ_UNITS = {"µm": "micron", "µs": "us", "Å": "angstrom"}


class FileError(ValueError):
    """A file that cannot be read or written as an image, and why."""


@dataclass(frozen=True)
class ImageData:
    """An image as a file holds it.

    Attributes
    ----------
    data : ndarray
        Pixels, ending in YX, or in YX and RGB(A).
    axes : str
        One letter for each axis: T, Z, C, Y, X; S for RGB samples; others as found.
    scale : tuple of float
        Size of a step along each axis, 1.0 where unknown.
    units : tuple of str
        Unit of each scale, "pixel" where unknown.
    name : str
        The file's name without its endings.
    description : str
        Free text that travels in the file.
    """

    data: NDArray[Any]
    axes: str
    scale: tuple[float, ...]
    units: tuple[str, ...]
    name: str = "image"
    description: str = ""

    def __post_init__(self) -> None:
        n_dims = self.data.ndim
        if not len(self.axes) == len(self.scale) == len(self.units) == n_dims:
            raise ValueError(
                f"Expected an axis letter, a scale and a unit for each of {n_dims} "
                f"dimensions, got {self.axes!r}, {self.scale} and {self.units}."
            )
        if not all(0 < step < np.inf for step in self.scale):
            raise ValueError(f"Expected positive steps as scale, got {self.scale}.")

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds RGB(A) samples."""
        return self.axes.endswith("S")


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


def read_image(path: str | os.PathLike[str]) -> ImageData:
    """Read a TIFF, OME-TIFF, ImageJ, PNG, JPEG or MRC file, or a folder as a stack.

    Of a file with several series the first is read, with a warning.

    Parameters
    ----------
    path : path
        A file, or a folder whose images all have one shape and type; they become
        one stack in natural order of their names, with a leading T axis.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    FileError
        If the file is damaged or no image.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(
            f"{path}: cannot read the format {suffix or 'without an ending'!r}; "
            f"expected one of {', '.join(SUFFIXES)}."
        )
    if path.stat().st_size == 0:
        raise FileError(
            f"{path} is empty (0 bytes), expected an image. Copy it again from its "
            "source."
        )
    if suffix in TIFF_SUFFIXES:
        image = _guarded(_read_tiff, path)
    elif suffix in MRC_SUFFIXES:
        image = _guarded(_read_mrc, path)
    else:
        image = _guarded(_read_picture, path)
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
    )


def _kind(image: ImageData) -> str:
    return f"{image.axes} {image.data.shape} {image.data.dtype}"


def can_read(path: str | os.PathLike[str]) -> bool:
    """Whether `read_image` has a fair chance, judged from the first bytes only."""
    path = Path(path)
    try:
        if path.is_dir():
            images = list_images(path)
            return bool(images) and can_read(images[0])
        suffix = path.suffix.lower()
        with path.open("rb") as file:
            head = file.read(_MRC_HEADER)
    except OSError:
        return False
    if suffix in TIFF_SUFFIXES:
        return head.startswith(_TIFF_MAGIC)
    if suffix in MRC_SUFFIXES:
        return _is_mrc(head)
    return suffix in PICTURE_SUFFIXES and head.startswith(_PICTURE_MAGIC)


def _is_mrc(head: bytes) -> bool:
    """Judge by columns, rows, sections and pixel type: dialects lack the mark."""
    for order in "<>":
        if len(head) == _MRC_HEADER:
            *sizes, mode = struct.unpack(f"{order}4i", head[:16])
            if all(0 < size < 2**20 for size in sizes) and mode in _MRC_MODES:
                return True
    return False


def write_image(path: str | os.PathLike[str], image: ImageData) -> None:
    """Write an image; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        ``*.ome.tif`` gives OME-TIFF; ``*.tif`` an ImageJ hyperstack where ImageJ
        knows the pixel type, else a plain TIFF.
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
    if not name.endswith(TIFF_SUFFIXES):
        raise FileError(
            f"{path}: can write TIFF only, name the file .ome.tif or .tif instead."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}: make it first.")
    # tifffile decides on OME by its own argument, so the partial name is free.
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if name.endswith((".ome.tif", ".ome.tiff")):
            _write_ome(partial, image)
        elif _can_hold_imagej(image):
            _write_imagej(partial, image)
        else:
            _write_plain(partial, image)
        partial.replace(path)
    except PermissionError as error:
        raise PermissionError(
            f"Not allowed to write {path} ({error.strerror}): choose another folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def can_hold_ome(dtype: np.dtype[Any]) -> bool:
    """Whether OME-TIFF knows this pixel type."""
    return dtype.str[1:] in _OME_DTYPES


def stem_of(path: str | os.PathLike[str]) -> str:
    """Return a file's name without its endings, ``.ome.tif`` being one."""
    name = Path(path).name
    match = re.fullmatch(r"(.+?)(\.ome)?\.(\w+)", name, re.IGNORECASE)
    if match and "." + match[3].lower() in SUFFIXES:
        return match[1]
    return name


def _guarded(reader: Callable[[Path], ImageData], path: Path) -> ImageData:
    """Give every way in which a damaged file can fail one kind of error."""
    try:
        return reader(path)
    except (FileError, PermissionError, MemoryError):
        raise
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


def _truncated(path: Path, what: str) -> FileError:
    return FileError(f"{path} is truncated: {what}. Copy it again from its source.")


def _read_folder(folder: Path) -> ImageData:
    paths = list_images(folder)
    if not paths:
        raise FileError(
            f"{folder} holds no readable image (looked for {', '.join(SUFFIXES)})."
        )
    return read_stack(paths, folder.resolve().name)


def _read_picture(path: Path) -> ImageData:
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(_PICTURE_MAGIC[0]) and head[24] == 16 and head[25] != 0:
        raise FileError(
            f"{path} is a PNG with 16 bits for each of several samples, of which only "
            "8 could be read: expected gray or 8 bits. Save it as TIFF."
        )
    mode = iio.immeta(path, index=0, plugin="pillow")["mode"]
    data = np.asarray(
        # Only RGB is colour to napari; print colours are converted.
        iio.imread(
            path, index=0, plugin="pillow", mode="RGB" if mode == "CMYK" else None
        )
    )
    if data.dtype == bool:
        data = data.astype(np.uint8) * np.uint8(255)
    if data.ndim == 3 and data.shape[-1] in (2, 4):
        data = data[..., :-1]  # transparency is no measurement
    if data.ndim == 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return _plain(data, "YXS" if data.ndim == 3 else "YX", stem_of(path))


def _plain(data: NDArray[Any], axes: str, name: str) -> ImageData:
    return ImageData(data, axes, (1.0,) * data.ndim, ("pixel",) * data.ndim, name)


def _read_mrc(path: Path) -> ImageData:
    with path.open("rb") as file:
        head = file.read(_MRC_HEADER)
    if not _is_mrc(head):
        raise FileError(
            f"{path} is no MRC file that can be read: expected a header of "
            f"{_MRC_HEADER} bytes with the number of columns, rows and sections and a "
            f"mode out of {_MRC_MODES}, got {head[:16]!r}. Save it as TIFF."
        )
    with warnings.catch_warnings():
        # Light microscopes write MRC dialects that break small rules of the format.
        warnings.simplefilter("ignore")
        # The data block is sized up before memory is taken for it.
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            header = mrc.header
            dtype = mrcfile.utils.data_dtype_from_header(header)
            shape = mrcfile.utils.data_shape_from_header(header)
            voxel = mrc.voxel_size
            size = {axis: float(voxel[axis.lower()]) for axis in "XYZ"}
    expected = math.prod(shape) * dtype.itemsize
    start = _MRC_HEADER + int(header.nsymbt)
    found = path.stat().st_size - start
    if found < expected:
        raise _truncated(
            path, f"{shape} {dtype} are {expected} bytes, found {max(found, 0)}"
        )
    # DeltaVision and its kin mark themselves here and count in micrometres.
    deltavision = head[96:98] in (b"\xa0\xc0", b"\xc0\xa0")
    # IMOD marks itself as well; a flag tells whether its bytes are signed.
    imod = head[152:156] in (b"IMOD", b"DOMI")
    signed = (head[156] | head[159]) & 1
    if dtype == np.int8 and (deltavision or (imod and not signed)):
        dtype = np.dtype(np.uint8)
    data = np.fromfile(path, dtype, math.prod(shape), offset=start).reshape(shape)
    if data.ndim == 3 and data.shape[0] == 1:
        data = data[0]
    axes = "TZYX"[-data.ndim :]
    known = {axis for axis, step in size.items() if 0 < step < np.inf}
    return ImageData(
        data,
        axes,
        tuple(size[axis] if axis in known else 1.0 for axis in axes),
        tuple(
            ("µm" if deltavision else "Å") if axis in known else "pixel"
            for axis in axes
        ),
        stem_of(path),
    )


def _read_tiff(path: Path) -> ImageData:
    with tifffile.TiffFile(path) as tif:
        _check_directories(tif, path)
        if not tif.series:
            raise FileError(f"{path} holds no image, expected at least one.")
        if len(tif.series) > 1:
            warnings.warn(
                f"{path.name} holds {len(tif.series)} images; reading the first.",
                stacklevel=4,
            )
        series = tif.series[0]
        _check_pixels(tif, series, path)
        data = series.asarray()
        page = series.keyframe
        colour = page.photometric in (
            tifffile.PHOTOMETRIC.RGB,
            tifffile.PHOTOMETRIC.YCBCR,
        )
        data, axes = _spatial_last(data, series.axes, colour=colour)
        step, unit, description = _tiff_calibration(tif)
    return ImageData(
        data,
        axes,
        tuple(step.get(axis, 1.0) for axis in axes),
        tuple(unit.get(axis, "pixel") for axis in axes),
        stem_of(path),
        description,
    )


def _check_directories(tif: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file that ends before the last page's directory and tags.

    tifffile only logs this, and goes on with the pages and tags that are left.
    """
    form, file = tif.tiff, tif.filehandle

    def number(layout: str) -> int:
        value: int = struct.unpack(layout, file.read(struct.calcsize(layout)))[0]
        return value

    pointer, seen = 4 if form.version == 42 else 8, set[int]()
    try:
        while True:
            file.seek(pointer)
            offset = number(form.offsetformat)
            if offset == 0 or offset in seen:
                return
            seen.add(offset)
            file.seek(offset)
            n_tags = number(form.tagnoformat)
            # A damaged count must not take memory.
            tags = file.read(min(n_tags * form.tagsize, file.size))
            if len(tags) < n_tags * form.tagsize:
                raise struct.error("the directory is cut off")
            for code, kind, count, value in struct.iter_unpack(
                form.tagheaderformat, tags
            ):
                layout = tifffile.TIFF.DATA_FORMATS.get(kind, "B")
                n_bytes = count * struct.calcsize("<" + layout)
                if code < 32768 and n_bytes > form.tagoffsetthreshold:  # not private
                    (start,) = struct.unpack(form.offsetformat, value)
                    if start + n_bytes > file.size:
                        raise _truncated(path, f"tag {code} is beyond its end")
            pointer = offset + form.tagnosize + n_tags * form.tagsize
    except struct.error as error:
        raise _truncated(
            path, f"it should have a page at byte {offset}, it has {file.size} bytes"
        ) from error


def _check_pixels(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> None:
    """Refuse what tifffile would fill up with zeros."""
    for page in series.pages:
        if page is None:
            raise FileError(
                f"{path}: planes of the image {series.axes} {series.shape} are "
                "missing. Copy it again, and all files that belong to it with it."
            )
        size = page.parent.filehandle.size
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        end = max((offset + count for offset, count in pieces), default=0)
        if series.dataoffset is not None:
            end = max(end, series.dataoffset + series.nbytes)
        if end > size:
            raise _truncated(path, f"its pixels end at byte {end}, the file at {size}")
        if len(pieces) < math.prod(page.chunked) or not all(map(all, pieces)):
            raise FileError(
                f"{path}: parts of the pixels were never written, found {len(pieces)} "
                f"of {math.prod(page.chunked)} pieces or empty ones. Save it again."
            )
    images = (tif.imagej_metadata or {}).get("images", 1)
    found = series.size // (series.keyframe.imagelength * series.keyframe.imagewidth)
    if images > found:
        message = (
            f"{path}: expected {images} planes as its ImageJ description says, found "
            f"{found}. Copy or save it again."
        )
        # Over 4 GB ImageJ writes a single directory, and planes can be cut off.
        if not tif.pages.is_multipage:
            raise FileError(message)
        warnings.warn(message, stacklevel=5)


def _spatial_last(
    data: NDArray[Any], axes: str, *, colour: bool
) -> tuple[NDArray[Any], str]:
    """Bring YX, or YX and RGB samples, to the end."""
    if "Y" not in axes or "X" not in axes:
        raise FileError(f"expected an image with Y and X axes, found {axes!r}")
    if "S" in axes and not (colour and data.shape[axes.index("S")] in (3, 4)):
        # Samples that are not RGB are channels.
        axes = axes.replace("S", "C" if "C" not in axes else "I")
    tail = "YXS" if "S" in axes else "YX"
    order = "".join(axis for axis in axes if axis not in tail) + tail
    return data.transpose([axes.index(axis) for axis in order]), order


def _tiff_calibration(
    tif: tifffile.TiffFile,
) -> tuple[dict[str, float], dict[str, str], str]:
    if tif.is_ome and tif.ome_metadata:
        found, description = _ome_calibration(tif.ome_metadata)
    elif tif.is_imagej and tif.imagej_metadata:
        found, description = _imagej_calibration(tif)
    elif tif.is_shaped and tif.shaped_metadata:
        metadata = tif.shaped_metadata[0]
        found = {
            axis: (step, unit)
            for axis, step, unit in zip(
                metadata.get("axes", ""),
                metadata.get("scale", ()),
                metadata.get("units", ()),
                strict=False,
            )
        }
        description = str(metadata.get("description", ""))
    else:
        found, description = {}, ""
    step = {axis: float(value) for axis, (value, _) in found.items()}
    step = {axis: value for axis, value in step.items() if 0 < value < np.inf}
    return step, {axis: _unit(str(found[axis][1])) for axis in step}, description


def _ome_calibration(xml: str) -> tuple[dict[str, tuple[Any, Any]], str]:
    try:
        image = ElementTree.fromstring(xml).find("{*}Image")
    except ElementTree.ParseError as error:
        warnings.warn(
            f"The OME description cannot be read ({error}): axes and pixel size are "
            "unknown.",
            stacklevel=6,
        )
        return {}, ""
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return {}, ""
    names = {axis: f"PhysicalSize{axis}" for axis in "XYZ"} | {"T": "TimeIncrement"}
    found = {
        axis: (
            pixels.get(name),
            pixels.get(f"{name}Unit", "s" if axis == "T" else "µm"),
        )
        for axis, name in names.items()
        if name in pixels.attrib
    }
    return found, image.findtext("{*}Description", "")


def _imagej_calibration(
    tif: tifffile.TiffFile,
) -> tuple[dict[str, tuple[Any, Any]], str]:
    metadata = tif.imagej_metadata or {}
    unit = metadata.get("unit", "")
    found = {}
    for axis in "XY":
        tag = tif.pages.first.tags.get(f"{axis}Resolution")
        if tag is not None and tag.value[0] > 0:
            step = tag.value[1] / tag.value[0]
            found[axis] = step, metadata.get(f"{axis.lower()}unit", unit)
    if "spacing" in metadata:
        found["Z"] = abs(float(metadata["spacing"])), metadata.get("zunit", unit)
    # Without a unit these are dots per inch of some screen.
    found = {
        axis: pair for axis, pair in found.items() if _unit(str(pair[1])) != "pixel"
    }
    if "finterval" in metadata:
        found["T"] = metadata["finterval"], metadata.get("tunit", "s")
    return found, str(metadata.get("Info", ""))


def _unit(name: str) -> str:
    name = name.strip()
    return _UNITS.get(name.lower(), name)


def _write_ome(path: Path, image: ImageData) -> None:
    if not can_hold_ome(image.data.dtype):
        raise FileError(
            f"OME-TIFF cannot hold {image.data.dtype} pixels: write a .tif, or convert "
            "to float32."
        )
    axes = _known_axes(image)
    metadata: dict[str, Any] = {"axes": axes, "Name": _storable(image.name)}
    if image.description:
        metadata["Description"] = _storable(image.description)
    for axis, step, unit in zip(axes, image.scale, image.units, strict=True):
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        if unit in (_OME_TIMES if axis == "T" else _OME_LENGTHS) and axis in "TZYX":
            metadata |= {name: step, f"{name}Unit": "in" if unit == "inch" else unit}
    tifffile.imwrite(
        path,
        image.data,
        ome=True,
        photometric="rgb" if image.rgb else "minisblack",
        metadata=metadata,
    )


def _can_hold_imagej(image: ImageData) -> bool:
    dtypes = ("u1",) if image.rgb else _IMAGEJ_DTYPES
    return image.data.dtype.str[1:] in dtypes and len(image.axes.rstrip("S")) <= 5


def _write_imagej(path: Path, image: ImageData) -> None:
    axes = _known_axes(image)
    step = dict(zip(axes, image.scale, strict=True))
    named = {
        axis: _IMAGEJ_UNITS.get(name, name)
        for axis, name in zip(axes, image.units, strict=True)
        if name != "pixel"
    }
    # The description has a line for each, in ASCII.
    unit = {
        axis: name
        for axis, name in named.items()
        if name.isascii() and name.isprintable()
    }
    metadata: dict[str, Any] = {}
    if "X" in unit:
        metadata["unit"] = unit["X"]
    for axis in "YZ":
        if unit.get(axis, "pixel") != unit.get("X", "pixel"):
            metadata[f"{axis.lower()}unit"] = unit.get(axis, "pixel")
    if "Z" in unit:
        metadata["spacing"] = step["Z"]
    if "T" in unit:
        metadata |= {"finterval": step["T"], "tunit": unit["T"]}
    if image.description:
        metadata["Info"] = _storable(image.description)
    order = [axis for axis in "TZCYXS" if axis in axes]
    data = image.data.transpose([axes.index(axis) for axis in order])
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=(1 / step["X"], 1 / step["Y"]) if {*"XY"} & {*unit} else None,
        photometric="rgb" if image.rgb else "minisblack",
        metadata={"axes": "".join(order), **metadata},
    )


def _write_plain(path: Path, image: ImageData) -> None:
    """Write what neither ImageJ nor OME knows, with a description of our own."""
    tifffile.imwrite(
        path,
        image.data,
        photometric="rgb" if image.rgb else "minisblack",
        metadata={
            "axes": image.axes,
            "scale": image.scale,
            "units": image.units,
            "description": image.description,
        },
    )


def _storable(text: str) -> str:
    """Leave out control characters, with which XML cannot be read again."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _known_axes(image: ImageData) -> str:
    """Name every leading axis T, Z or C, which is all that the formats know."""
    axes = image.axes
    for axis in axes:
        if axis not in "TZCYXS":
            free = [letter for letter in "TZC" if letter not in axes]
            if not free:
                raise FileError(
                    f"The axes {image.axes!r} are more than a TIFF describes (T, Z and "
                    "C besides Y and X): split the image first."
                )
            axes = axes.replace(axis, free[0])
    return axes


def _natural_key(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]
