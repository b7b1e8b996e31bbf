"""An image as a file holds it, and the endings that are known."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LENGTH_NAMES",
    "TIME_NAMES",
    "UNIT_NAMES",
    "ZARR_SUFFIX",
    "FileError",
    "ImageData",
    "stem_of",
    "truncated",
    "without_calibration",
]

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
MRC_SUFFIXES = (".mrc", ".mrcs", ".rec", ".st")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES + MRC_SUFFIXES
ZARR_SUFFIX = ".zarr"
"""The ending of folders that hold one image."""

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
        A name for each channel, or none at all.
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


def without_calibration(data: NDArray[Any], axes: str, name: str) -> ImageData:
    """Return an image whose pixel size is unknown."""
    return ImageData(data, axes, (1.0,) * data.ndim, ("pixel",) * data.ndim, name)


def truncated(path: Path, what: str) -> FileError:
    """Return the error for a file that ends too early."""
    return FileError(f"{path} is truncated: {what}. Copy it again from its source.")
