"""Write TIFF, ImageJ hyperstacks and OME-TIFF."""

from __future__ import annotations

import hashlib
import math
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_mpi.io.image_data import (
    LENGTH_NAMES,
    TIME_NAMES,
    FileError,
    ImageData,
    storable,
)
from napari_mpi.io.placement import join_placement

__all__ = [
    "can_hold_imagej",
    "can_hold_ome",
    "can_hold_plain",
    "known_axes",
    "write_imagej",
    "write_ome",
    "write_plain",
]

_OME_DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
_IMAGEJ_DTYPES = ("u1", "u2", "f4")
# ImageJ reads these words everywhere; the signs break in some versions.
_IMAGEJ_UNITS = {"µm": "micron", "µs": "us", "Å": "angstrom"}
# Classic TIFF counts bytes in 32 bits, and the description needs some of them.
_MAX_CLASSIC = 2**32 - 2**25
_PLAIN_DTYPES = (*_OME_DTYPES, "b1", "u8", "i8", "f2", "c8", "c16")


def can_hold_ome(dtype: np.dtype[Any]) -> bool:
    """Whether OME-TIFF knows this pixel type."""
    return dtype.str[1:] in _OME_DTYPES


def write_ome(path: Path, image: ImageData) -> None:
    """Write an OME-TIFF file."""
    axes = known_axes(image)
    metadata: dict[str, Any] = {"axes": axes, "Name": storable(image.name)}
    description = join_placement(image, axes)
    if description:
        metadata["Description"] = storable(description)
        metadata["UUID"] = _uuid_of(image)
    if "C" in axes and image.channel_names:
        names = [storable(name) for name in image.channel_names]
        metadata["Channel"] = {"Name": names}
    if any(image.translate):
        metadata["Plane"] = _positions(image, axes)
    for axis, step, unit in zip(axes, image.scale, image.units, strict=True):
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        known = TIME_NAMES if axis == "T" else ("pixel", *LENGTH_NAMES)
        if unit in known and axis in "TZYX":
            metadata |= {name: step, f"{name}Unit": "in" if unit == "inch" else unit}
    _save(
        path,
        image.data,
        ome=True,
        photometric="rgb" if image.rgb else "minisblack",
        metadata=metadata,
    )


def _positions(image: ImageData, axes: str) -> dict[str, list[Any]]:
    """Return where the first pixel of each plane lies, in the order of the planes."""
    found: dict[str, list[Any]] = {}
    leading = image.data.shape[: axes.index("Y")]
    for axis in "XYZ":
        place = axes.find(axis)
        if place < 0:
            continue
        unit = image.units[place] if image.units[place] in LENGTH_NAMES else "pixel"
        start, step = image.translate[place], image.scale[place]
        found[f"Position{axis}"] = [
            start + (step * index[place] if axis == "Z" else 0.0)
            for index in np.ndindex(leading)
        ]
        found[f"Position{axis}Unit"] = ["in" if unit == "inch" else unit] * len(
            found[f"Position{axis}"]
        )
    return found


def _uuid_of(image: ImageData) -> str:
    """Derive a UUID from what is told of the image: a repeated run writes equal files.

    The record of a run holds what was measured in the image; no two are the same.
    """
    told = f"{image.name}\n{image.description}\n{image.data.shape}"
    digest = hashlib.sha256(told.encode(errors="surrogatepass")).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def can_hold_imagej(image: ImageData) -> bool:
    """Whether an ImageJ hyperstack can hold this image."""
    dtypes = ("u1",) if image.rgb else _IMAGEJ_DTYPES
    steps = dict(zip(image.axes, image.scale, strict=True))
    # The pixel size is kept as a quotient of two 32-bit numbers.
    calibrated = all(1e-9 < steps.get(axis, 1.0) < 1e9 for axis in "YX")
    return (
        calibrated
        and image.data.dtype.str[1:] in dtypes
        and len(image.axes.rstrip("S")) <= 5
    )


def write_imagej(path: Path, image: ImageData) -> None:
    """Write an ImageJ hyperstack."""
    axes = known_axes(image)
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
    if description := join_placement(image, axes):
        metadata["Info"] = storable(description)
    order = [axis for axis in "TZCYXS" if axis in axes]
    data = image.data.transpose([axes.index(axis) for axis in order])
    if "C" in axes and any(image.channel_names):
        # ImageJ has a label for each plane, and none for channels.
        n_planes = math.prod(data.shape[: order.index("Y")])
        names = [storable(name) for name in image.channel_names]
        metadata["Labels"] = names * (n_planes // len(names))
    _save(
        path,
        data,
        imagej=True,
        resolution=(1 / step["X"], 1 / step["Y"]) if {*"XY"} & {*unit} else None,
        photometric="rgb" if image.rgb else "minisblack",
        metadata={"axes": "".join(order), **metadata},
    )


def can_hold_plain(dtype: np.dtype[Any]) -> bool:
    """Whether a TIFF of our own can hold this pixel type."""
    return dtype.str[1:] in _PLAIN_DTYPES


def write_plain(path: Path, image: ImageData) -> None:
    """Write what neither ImageJ nor OME knows, with a description of our own."""
    if image.rgb and image.data.dtype == bool:
        # tifffile packs the bits of all samples together, and they come back mixed up.
        raise FileError(
            "A TIFF cannot hold colour of boolean samples: convert it to uint8."
        )
    _save(
        path,
        image.data,
        photometric="rgb" if image.rgb else "minisblack",
        metadata={
            "axes": image.axes,
            "scale": image.scale,
            "units": image.units,
            "channel_names": image.channel_names,
            "description": join_placement(image, image.axes),
        },
    )


def _save(path: Path, data: Any, **options: Any) -> None:
    """Write pixels, those of a lazy array plane by plane."""
    # tifffile does not know how much the planes of a lazy array will be.
    if data.nbytes > _MAX_CLASSIC and "imagej" not in options:
        options["bigtiff"] = True
    if not isinstance(data, np.ndarray):
        options |= {"shape": data.shape, "dtype": data.dtype}
        n_dims = 3 if options["photometric"] == "rgb" else 2
        source, leading = data, data.shape[: data.ndim - n_dims]
        data = (np.asarray(source[index]) for index in np.ndindex(leading))
    with warnings.catch_warnings():
        # Over 4 GB ImageJ counts the planes by its description: all are there.
        warnings.filterwarnings("ignore", ".* truncating ImageJ file", UserWarning)
        tifffile.imwrite(path, data, **options)


def known_axes(image: ImageData) -> str:
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
