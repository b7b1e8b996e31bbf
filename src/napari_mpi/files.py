"""Read and write images with their axes, pixel size and units."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    "inch": "inch",
    "angstrom": "Å",
}
_OME_DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
_IMAGEJ_DTYPES = ("u1", "u2", "f4")


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
        raise FileError(f"{path} is empty (0 bytes).")
    if suffix in TIFF_SUFFIXES:
        image = _guarded(_read_tiff, path)
    elif suffix in MRC_SUFFIXES:
        image = _guarded(_read_mrc, path)
    else:
        image = _guarded(_read_picture, path)
    if image.data.size == 0:
        raise FileError(f"{path} holds an image without pixels.")
    return image


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
        data = read_image(path).data
        if data.shape != first.data.shape or data.dtype != first.data.dtype:
            raise FileError(
                f"{name} is no stack: {path} is {data.shape} {data.dtype}, but "
                f"{paths[0]} is {first.data.shape} {first.data.dtype}."
            )
        planes.append(data)
    free = next((letter for letter in "TZCIJKLMN" if letter not in first.axes), "Q")
    return ImageData(
        np.stack(planes),
        free + first.axes,
        (1.0, *first.scale),
        ("pixel", *first.units),
        name,
    )


def can_read(path: str | os.PathLike[str]) -> bool:
    """Whether `read_image` has a fair chance, judged from the first bytes only."""
    path = Path(path)
    try:
        if path.is_dir():
            return bool(list_images(path))
        suffix = path.suffix.lower()
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    if suffix in TIFF_SUFFIXES:
        return head[:4] in _TIFF_MAGIC
    if suffix in MRC_SUFFIXES:
        # Some dialects lack the format's mark, so look at the first four numbers:
        # columns, rows, sections, and a pixel type that exists.
        for order in "<>":
            if len(head) == 1024:
                *sizes, mode = np.frombuffer(head[:16], order + "i4")
                if all(0 < size < 2**20 for size in sizes) and 0 <= mode <= 12:
                    return True
        return False
    return suffix in PICTURE_SUFFIXES and bool(head)


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
        If the folder cannot be written to.
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith(TIFF_SUFFIXES):
        raise FileError(f"{path}: can write .ome.tif and .tif only.")
    # tifffile decides on OME by its own argument, so the partial name is free.
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if name.endswith((".ome.tif", ".ome.tiff")):
            _write_ome(partial, image)
        elif image.data.dtype.str[1:] in _IMAGEJ_DTYPES:
            _write_imagej(partial, image)
        else:
            tifffile.imwrite(
                partial,
                image.data,
                photometric="rgb" if image.rgb else "minisblack",
                metadata={"axes": image.axes, "description": image.description},
            )
        partial.replace(path)
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


def _guarded(reader: Any, path: Path) -> ImageData:
    """Give every way in which a damaged file can fail one kind of error."""
    try:
        image: ImageData = reader(path)
    except (FileError, PermissionError, MemoryError):
        raise
    except Exception as error:
        raise FileError(
            f"{path} is damaged or not what its ending says ({error}). Copy it again "
            "from its source, or open it in another program to see what it is."
        ) from error
    return image


def _read_folder(folder: Path) -> ImageData:
    paths = list_images(folder)
    if not paths:
        raise FileError(
            f"{folder} holds no readable image (looked for {', '.join(SUFFIXES)})."
        )
    return read_stack(paths, folder.resolve().name)


def _read_picture(path: Path) -> ImageData:
    data = np.asarray(iio.imread(path, index=0, plugin="pillow"))
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
    with warnings.catch_warnings():
        # Light microscopes write MRC dialects that break small rules of the format.
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True) as mrc:
            if mrc.data is None:
                raise FileError(
                    f"{path} is truncated: its header promises more pixels than the "
                    "file holds."
                )
            data = np.array(mrc.data)
            voxel = mrc.voxel_size
            size = {"X": float(voxel.x), "Y": float(voxel.y), "Z": float(voxel.z)}
            volume_stack = mrc.is_volume_stack()
    if data.ndim == 3 and data.shape[0] == 1:
        data = data[0]
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}[data.ndim] if not volume_stack else "TZYX"
    # DeltaVision and its kin mark themselves here and count in micrometres.
    with path.open("rb") as file:
        file.seek(96)
        marker = int.from_bytes(file.read(2), "little", signed=True)
    unit = "µm" if marker == -16224 else "Å"
    known = [bool(np.isfinite(size.get(a, 0)) and size.get(a, 0) > 0) for a in axes]
    return ImageData(
        data,
        axes,
        tuple(size[a] if ok else 1.0 for a, ok in zip(axes, known, strict=True)),
        tuple(unit if ok else "pixel" for ok in known),
        stem_of(path),
    )


def _read_tiff(path: Path) -> ImageData:
    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise FileError(f"{path} holds no image.")
        if len(tif.series) > 1:
            warnings.warn(
                f"{path.name} holds {len(tif.series)} images; reading the first.",
                stacklevel=4,
            )
        series = tif.series[0]
        file_size = path.stat().st_size
        for page in series.pages:
            ends = (
                offset + count
                for offset, count in zip(
                    page.dataoffsets, page.databytecounts, strict=True
                )
            )
            if page is not None and max(ends, default=0) > file_size:
                raise FileError(
                    f"{path} is truncated: its pixels should reach beyond the end of "
                    "the file. Copy it again from its source."
                )
        data = series.asarray()
        axes = series.axes
        step, unit, description = _tiff_calibration(tif)
    data, axes = _spatial_last(data, axes)
    return ImageData(
        data,
        axes,
        tuple(step.get(axis, 1.0) for axis in axes),
        tuple(unit.get(axis, "pixel") for axis in axes),
        stem_of(path),
        description,
    )


def _spatial_last(data: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Bring YX, or YX and RGB samples, to the end."""
    if "Y" not in axes or "X" not in axes:
        raise FileError(f"expected an image with Y and X axes, found {axes!r}")
    if "S" in axes and data.shape[axes.index("S")] not in (3, 4):
        # Samples that are not RGB are channels.
        axes = axes.replace("S", "C" if "C" not in axes else "I")
    tail = "YXS" if "S" in axes else "YX"
    order = "".join(axis for axis in axes if axis not in tail) + tail
    return data.transpose([axes.index(axis) for axis in order]), order


def _tiff_calibration(
    tif: tifffile.TiffFile,
) -> tuple[dict[str, float], dict[str, str], str]:
    step: dict[str, float] = {}
    unit: dict[str, str] = {}
    description = ""
    if tif.is_ome and tif.ome_metadata:
        root = tifffile.xml2dict(tif.ome_metadata).get("OME", {})
        images = root.get("Image", {})
        image = images[0] if isinstance(images, list) else images
        pixels = image.get("Pixels", {})
        description = str(image.get("Description", ""))
        for axis in "XYZ":
            if f"PhysicalSize{axis}" in pixels:
                step[axis] = float(pixels[f"PhysicalSize{axis}"])
                unit[axis] = _unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if "TimeIncrement" in pixels:
            step["T"] = float(pixels["TimeIncrement"])
            unit["T"] = _unit(pixels.get("TimeIncrementUnit", "s"))
    elif tif.is_imagej and tif.imagej_metadata:
        metadata = tif.imagej_metadata
        description = str(metadata.get("Info", ""))
        name = _unit(str(metadata.get("unit", "")))
        tags = tif.pages[0].tags
        for axis in "XY":
            tag = tags.get(f"{axis}Resolution")
            if tag is not None and name != "pixel":
                pixels_per_unit = tag.value[0] / max(tag.value[1], 1)
                if pixels_per_unit > 0:
                    step[axis] = 1 / pixels_per_unit
                    unit[axis] = _unit(str(metadata.get(f"{axis.lower()}unit", name)))
        if "spacing" in metadata and name != "pixel":
            step["Z"], unit["Z"] = abs(float(metadata["spacing"])), name
        if metadata.get("finterval"):
            step["T"] = float(metadata["finterval"])
            unit["T"] = _unit(str(metadata.get("tunit", "s")))
    positive = {axis: value for axis, value in step.items() if value > 0}
    return positive, {axis: unit[axis] for axis in positive}, description


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
    metadata: dict[str, Any] = {"axes": axes, "Name": image.name}
    if image.description:
        metadata["Description"] = image.description
    for axis, step, unit in zip(axes, image.scale, image.units, strict=True):
        if unit != "pixel" and axis in "XYZ":
            metadata[f"PhysicalSize{axis}"] = step
            metadata[f"PhysicalSize{axis}Unit"] = unit
        elif unit != "pixel" and axis == "T":
            metadata["TimeIncrement"] = step
            metadata["TimeIncrementUnit"] = unit
    tifffile.imwrite(
        path,
        image.data,
        ome=True,
        photometric="rgb" if image.rgb else "minisblack",
        metadata=metadata,
    )


def _write_imagej(path: Path, image: ImageData) -> None:
    axes = _known_axes(image)
    calibration = dict(
        zip(axes, zip(image.scale, image.units, strict=True), strict=True)
    )
    metadata: dict[str, Any] = {}
    resolution = None
    if "X" in calibration and calibration["X"][1] != "pixel":
        # ImageJ reads "micron" everywhere; the micro sign breaks in some versions.
        metadata["unit"] = calibration["X"][1].replace("µm", "micron")
        resolution = (1 / calibration["X"][0], 1 / calibration["Y"][0])
    if "Z" in calibration and calibration["Z"][1] != "pixel":
        metadata["spacing"] = calibration["Z"][0]
    if "T" in calibration and calibration["T"][1] != "pixel":
        metadata["finterval"] = calibration["T"][0]
        metadata["tunit"] = calibration["T"][1]
    if image.description:
        metadata["Info"] = image.description
    order = [axis for axis in "TZCYXS" if axis in axes]
    data = image.data.transpose([axes.index(axis) for axis in order])
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=resolution,
        photometric="rgb" if image.rgb else "minisblack",
        metadata={"axes": "".join(order), **metadata},
    )


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
