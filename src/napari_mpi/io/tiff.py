"""Read TIFF, ImageJ hyperstacks and OME-TIFF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mpi.arrays.storage import allocate
from napari_mpi.io.image_data import (
    MAX_IN_MEMORY,
    FileError,
    ImageData,
    chosen_series,
    name_of,
)
from napari_mpi.io.placement import take_placement
from napari_mpi.io.tiff_checks import (
    check_directories,
    check_pixels,
    check_references,
    read_ome,
    warn_of_rest,
)

__all__ = ["description_of_tiff", "parts_of_tiff", "read_tiff", "series_of_tiff"]

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


def series_of_tiff(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file, in their order."""
    with tifffile.TiffFile(path) as tif:
        return tuple(one.name for one in _images(tif, path))


def parts_of_tiff(path: Path) -> tuple[Path, ...]:
    """Return the other files that the images of a file are spread over."""
    with tifffile.TiffFile(path) as tif:
        if not (tif.is_ome or tif.is_mmstack or tif.is_ndtiff):
            return ()
        found = {
            page.parent.filehandle.path
            for image in _images(tif, path)
            for page in image.pages
            if page is not None
        }
        return tuple(map(Path, sorted(found - {tif.filehandle.path})))


def description_of_tiff(path: Path) -> str:
    """Return the text that travels with the first image, without reading pixels."""
    with tifffile.TiffFile(path) as tif:
        place = tif.series.index(_images(tif, path)[0])
        return _tiff_calibration(tif, path, place)[2]


def read_tiff(path: Path, series: int | None = None) -> ImageData:
    """Read an image of a TIFF file, and make sure that it is all there."""
    with tifffile.TiffFile(path) as tif:
        images = _images(tif, path)
        names = [one.name for one in images]
        number = chosen_series(path, names, series)
        chosen = images[number]
        warn_of_rest(tif, path)
        check_pixels(tif, chosen, path)
        data = _pixels(chosen)
        page = chosen.keyframe
        colour = page.photometric in (
            tifffile.PHOTOMETRIC.RGB,
            tifffile.PHOTOMETRIC.YCBCR,
        )
        axes = chosen.axes
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            data, axes, colour = _without_palette(tif, data, axes, path)
        data, axes = _spatial_last(data, axes, colour=colour)
        place = tif.series.index(chosen)
        step, unit, description, channels = _tiff_calibration(tif, path, place)
    if "C" not in axes or len(channels) != data.shape[axes.index("C")]:
        channels = ()
    image = ImageData(
        data,
        axes,
        tuple(step.get(axis, 1.0) for axis in axes),
        tuple(unit.get(axis, "pixel") for axis in axes),
        name_of(path, names, number),
        description,
        channels,
    )
    return take_placement(image)


def _pixels(series: tifffile.TiffPageSeries) -> NDArray[Any]:
    """Read the pixels of an image; many are mapped, from the file itself if it can be.

    Raises
    ------
    OSError
        If they have to go to a temporary file and there is no space for it.
    """
    if series.nbytes <= MAX_IN_MEMORY:
        return np.asarray(series.asarray())
    in_one_piece = series.dataoffset is not None or len(series.pages) == 1
    if in_one_piece and series.keyframe.is_memmappable:
        return series.asarray(out="memmap")
    # tifffile's own temporary file would end the program where the disk is too small.
    place = allocate(series.shape, series.dtype, on_disk=True)
    return series.asarray(out=place)


def _images(tif: tifffile.TiffFile, path: Path) -> list[tifffile.TiffPageSeries]:
    """Return the images of a file without the small copies for browsers."""
    check_directories(tif, path)
    check_references(tif, path)
    if not tif.series:
        raise FileError(f"{path} holds no image, expected at least one.")
    full = [one for one in tif.series if not one.keyframe.is_reduced]
    return full or tif.series[:1]


def _without_palette(
    tif: tifffile.TiffFile, data: NDArray[Any], axes: str, path: Path
) -> tuple[NDArray[Any], str, bool]:
    """Return the colours of a palette, unless it only tints intensities.

    Numbers of colours in no order are no intensities, and cannot be averaged.
    """
    palette = tif.pages.first.colormap
    if palette is None or tif.is_imagej or tif.is_ome:
        return data, axes, False
    steps = np.diff(palette[:, : int(data.max()) + 1].sum(axis=0, dtype=np.int64))
    if (steps >= 0).all() or (steps <= 0).all():
        return data, axes, False
    warnings.warn(
        f"{path.name} has a palette of colours; reading it as RGB.", stacklevel=5
    )
    bits = 8 if palette.max() > 255 else 0
    return (palette >> bits).T.astype(np.uint8)[data], f"{axes}S", True


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
    tif: tifffile.TiffFile, path: Path, number: int
) -> tuple[dict[str, float], dict[str, str], str, tuple[str, ...]]:
    """Return steps and units by axis, the description, and a name for each channel."""
    names: Any = ()
    if tif.is_ome and tif.ome_metadata:
        found, description, names = _ome_calibration(tif.ome_metadata, path, number)
    elif tif.is_imagej and tif.imagej_metadata:
        found, description = _imagej_calibration(tif)
        names = _imagej_channels(tif.imagej_metadata)
    elif tif.is_shaped and tif.shaped_metadata:
        metadata = tif.shaped_metadata[number]
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
        names = metadata.get("channel_names")
    else:
        found, description = {}, ""
    step = {axis: float(value) for axis, (value, _) in found.items()}
    step = {axis: value for axis, value in step.items() if 0 < value < np.inf}
    unit = {axis: _unit(str(found[axis][1])) for axis in step}
    named = isinstance(names, list | tuple) and any(names)
    channels = tuple(str(name or "") for name in names) if named else ()
    return step, unit, description, channels


def _ome_calibration(
    xml: str, path: Path, number: int
) -> tuple[dict[str, tuple[Any, Any]], str, list[str | None]]:
    root = read_ome(xml, path)
    if root is None:
        warnings.warn(
            "The OME description cannot be read: axes and pixel size are unknown.",
            stacklevel=6,
        )
        return {}, "", []
    images = root.findall("{*}Image")
    image = images[number] if number < len(images) else None
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return {}, "", []
    names = {axis: f"PhysicalSize{axis}" for axis in "XYZ"} | {"T": "TimeIncrement"}
    found = {
        axis: (
            pixels.get(name),
            pixels.get(f"{name}Unit", "s" if axis == "T" else "µm"),
        )
        for axis, name in names.items()
        if name in pixels.attrib
    }
    channels = [one.get("Name") for one in pixels.findall("{*}Channel")]
    return found, image.findtext("{*}Description", ""), channels


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


def _imagej_channels(metadata: dict[str, Any]) -> list[str]:
    """Return the labels of the first planes, if all others repeat them.

    ImageJ has a label for each plane, the channels of which come first.
    """
    labels, number = metadata.get("Labels"), metadata.get("channels")
    if not isinstance(labels, list) or not isinstance(number, int) or number < 1:
        return []
    names = labels[:number]
    return names if labels == names * (len(labels) // number) else []


def _unit(name: str) -> str:
    name = name.strip()
    return _UNITS.get(name.lower(), name)
