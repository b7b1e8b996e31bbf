"""An image as a file holds it, and the endings that are known."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BIOIO_PACKAGES",
    "LENGTH_NAMES",
    "MAX_IN_MEMORY",
    "SUFFIXES",
    "TIME_NAMES",
    "UNIT_NAMES",
    "UNIT_SYMBOLS",
    "ZARR_SUFFIX",
    "FileError",
    "ImageData",
    "chosen_series",
    "name_of",
    "require_unpackable",
    "stem_of",
    "storable",
    "truncated",
    "without_calibration",
]

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
MRC_SUFFIXES = (".mrc", ".mrcs", ".rec", ".st")
BIOIO_PACKAGES = {
    ".czi": "bioio-czi",
    ".dv": "bioio-dv",
    ".lif": "bioio-lif",
    ".nd2": "bioio-nd2",
    ".r3d": "bioio-dv",
}
"""Formats of microscopes, and the optional package that reads each."""

SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES + MRC_SUFFIXES + tuple(BIOIO_PACKAGES)
"""The endings of files that hold images."""

ZARR_SUFFIX = ".zarr"
"""The ending of folders that hold one image."""

MAX_IN_MEMORY = 512 * 2**20
"""Larger images, in bytes, are read when their pixels are asked for."""

# No compression of noisy pixels comes near this, and small images may be empty.
_MAX_RATIO = 2000
_MAX_SMALL = 512 * 2**20  # bytes

LENGTH_NAMES = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "inch": "inch",
}
TIME_NAMES = {
    "ns": "nanosecond",
    "µs": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
UNIT_NAMES = LENGTH_NAMES | TIME_NAMES
"""The units of lengths and times in full, as OME-Zarr and napari spell them."""
UNIT_SYMBOLS = {name: symbol for symbol, name in UNIT_NAMES.items()}
"""Their signs, by name."""


class FileError(ValueError):
    """A file that cannot be read or written as an image, and why."""


@dataclass(frozen=True)
class ImageData:
    """An image as a file holds it.

    Attributes
    ----------
    data : ndarray or dask array
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
    channel_names : tuple of str
        A name for each channel, empty where it has none; or nothing at all.
    translate : tuple of float
        Place of the first pixel along each axis, in the units of the scale; empty
        where unknown.
    layer : mapping
        What else a viewer needs to place and to show it, ready for JSON.
    """

    data: Any
    axes: str
    scale: tuple[float, ...]
    units: tuple[str, ...]
    name: str = "image"
    description: str = ""
    channel_names: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    layer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_dims = self.data.ndim
        if not len(self.axes) == len(self.scale) == len(self.units) == n_dims:
            raise ValueError(
                f"Expected an axis letter, a scale and a unit for each of {n_dims} "
                f"dimensions, got {self.axes!r}, {self.scale} and {self.units}."
            )
        if not all(0 < step < np.inf for step in self.scale):
            raise ValueError(f"Expected positive steps as scale, got {self.scale}.")
        if self.translate and not (
            len(self.translate) == n_dims and np.isfinite(self.translate).all()
        ):
            raise ValueError(
                f"Expected a finite place along each of {n_dims} dimensions, got "
                f"{self.translate}."
            )

    @property
    def channel_axis(self) -> int | None:
        """Number of the axis of channels, where there is one before YX."""
        axis = self.axes.find("C")
        return axis if 0 <= axis < self.data.ndim - 2 and not self.rgb else None

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds RGB(A) samples."""
        return self.axes.endswith("S")


def stem_of(path: str | os.PathLike[str]) -> str:
    """Return a name without its endings, ``.ome.tif`` and ``.ome.zarr`` being one."""
    name = Path(path).name
    match = re.fullmatch(r"(.+?)(\.ome)?\.(\w+)", name, re.IGNORECASE)
    if match and "." + match[3].lower() in (*SUFFIXES, ZARR_SUFFIX):
        return match[1]
    return name


def storable(text: str) -> str:
    """Leave out control characters and halves of signs, which XML and JSON refuse."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def without_calibration(data: NDArray[Any], axes: str, name: str) -> ImageData:
    """Return an image whose pixel size is unknown."""
    return ImageData(data, axes, (1.0,) * data.ndim, ("pixel",) * data.ndim, name)


def chosen_series(path: Path, names: Sequence[str], series: int | None) -> int:
    """Return the number of the image to read; warn if there are others.

    Raises
    ------
    FileError
        If there is no such image.
    """
    if series is None:
        if len(names) > 1:
            warnings.warn(
                f"{path.name} holds {len(names)} images; reading the first, "
                f"{names[0]!r}. A batch denoises them all.",
                stacklevel=6,
            )
        return 0
    if not 0 <= series < len(names):
        raise FileError(
            f"{path} holds {len(names)} images, counted from 0: there is no image "
            f"{series}."
        )
    return series


def name_of(path: Path, names: Sequence[str], number: int) -> str:
    """Return what an image is called: as its file, which may hold others."""
    if len(names) == 1:
        return stem_of(path)
    return f"{stem_of(path)} {names[number] or number}"


def require_unpackable(path: Path, packed: int, unpacked: int) -> None:
    """Refuse a little that unpacks into a lot; both are numbers of bytes."""
    if unpacked > max(_MAX_RATIO * packed, _MAX_SMALL):
        raise FileError(
            f"{path} is damaged or made to do harm: its {packed} bytes would "
            f"unpack into {unpacked / 2**30:.1f} GiB. Copy it again from its "
            "source, or save it uncompressed."
        )


def truncated(path: Path, what: str) -> FileError:
    """Return the error for a file that ends too early."""
    return FileError(f"{path} is truncated: {what}. Copy it again from its source.")
