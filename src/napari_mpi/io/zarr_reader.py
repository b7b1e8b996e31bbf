"""OME-Zarr, versions 0.4 and 0.5: a folder that holds an image in pieces."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi.io.image_data import (
    MAX_IN_MEMORY,
    UNIT_SYMBOLS,
    FileError,
    ImageData,
    chosen_series,
    name_of,
)
from napari_mpi.io.record import join_record, valid_record
from napari_mpi.io.zarr_pieces import METADATA, check_header, lazy_array

__all__ = [
    "OWN_KEY",
    "is_zarr",
    "looks_like_image",
    "read_zarr",
    "require_zarr",
    "series_of_zarr",
]

OWN_KEY = "napari_mpi"
"""The attribute with what OME-Zarr has no field for."""

# Larger descriptions, in bytes, are no descriptions.
_MAX_METADATA = 64 * 2**20


def require_zarr() -> None:
    """Raise an error that tells what to install, unless everything is there."""
    try:
        for name in ("dask.array", "yaozarrs", "zarr"):
            importlib.import_module(name)
    except ImportError as error:
        raise FileError(
            f"OME-Zarr needs further packages ({error}). Run "
            "`pip install 'napari-mpi[zarr]'`, or use OME-TIFF."
        ) from error


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store, or a group within one."""
    return any((path / name).is_file() for name in METADATA)


def looks_like_image(path: Path) -> bool:
    """Whether a Zarr store describes itself as an image of OME-Zarr."""
    try:
        attributes = _attributes(path)[0]
    except (FileError, OSError):
        return False
    return "multiscales" in attributes or "bioformats2raw.layout" in attributes


def series_of_zarr(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a store, in their order."""
    attributes = _attributes(path)[0]
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        return tuple(_series(path))
    return ("",)


def read_zarr(path: Path, series: int | None = None) -> ImageData:
    """Read the full resolution of an image.

    A large image is a dask array, whose pixels are read when they are asked for.
    """
    require_zarr()
    if path.is_file() and zipfile.is_zipfile(path):
        raise FileError(
            f"{path} is packed into one file, expected a folder. Unpack it first, as "
            "any zip file."
        )
    if not path.is_dir() or not is_zarr(path):
        raise FileError(
            f"{path} is no Zarr store: expected a folder with one of "
            f"{', '.join(METADATA)} in it. Copy it again, as a whole folder."
        )
    names = series_of_zarr(path)
    number = chosen_series(path, names, series)
    group = path / names[number]
    attributes, version, own = _attributes(group)
    image = _multiscale(path, attributes, version)
    # The full resolution should be the first, and is not in every store.
    dataset = min(image.datasets, key=lambda one: math.prod(_steps(one)))
    array = _open_array(path, group, dataset.path)
    letters = _letters(image.axes)
    if array.ndim != len(letters):
        raise FileError(
            f"{path}: expected {len(letters)} dimensions for the axes {letters}, found "
            f"the shape {array.shape}. Write it again with another program."
        )
    check_header(path, array)
    scale, translate = _placement(image, dataset)
    step = dict(zip(letters, scale, strict=True))
    start = dict(zip(letters, translate, strict=True))
    unit = dict(zip(letters, map(_unit, image.axes), strict=True))
    axes = _own_order(own, letters, array.shape)
    order = [letters.index("C" if axis == "S" else axis) for axis in axes]
    pixels = lazy_array(path, array)
    if array.nbytes <= MAX_IN_MEMORY:
        pixels = pixels.compute()
    channels = 0 if "C" not in axes else array.shape[letters.index("C")]
    return ImageData(
        pixels.transpose(order),
        axes,
        tuple(step.get(axis, 1.0) for axis in axes),
        tuple(unit.get(axis, "pixel") for axis in axes),
        name_of(path, names, number),
        join_record(str(own.get("description", "")), valid_record(own.get("record"))),
        _channel_names(attributes.get("omero"), channels),
        tuple(start.get(axis, 0.0) for axis in axes) if any(translate) else (),
        layer if isinstance(layer := own.get("layer"), dict) else {},
    )


def _series(path: Path) -> list[str]:
    """Return the names of a series of images, in their order."""
    if is_zarr(path / "OME"):
        names = _attributes(path / "OME")[0].get("series")
        if isinstance(names, list) and names and all(map(_is_name, names)):
            return names
    counted = itertools.takewhile(
        lambda name: (path / name).is_dir(), map(str, itertools.count())
    )
    return list(counted) or ["0"]


def _is_name(found: Any) -> bool:
    # Anything else could lead out of the store.
    return isinstance(found, str) and re.fullmatch(r"\w[\w.-]*", found) is not None


def _attributes(group: Path) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return the attributes of an image, their version, and those of our own."""
    if (group / "zarr.json").is_file():
        found = _json(group / "zarr.json").get("attributes", {})
        ome, version = found.get("ome", {}), "0.5"
    elif (group / ".zattrs").is_file():
        found = ome = _json(group / ".zattrs")
        version = "0.4"
    else:
        found, ome, version = {}, {}, ""
    if not isinstance(found, dict) or not isinstance(ome, dict):
        raise FileError(f"{group}: its attributes are damaged. Copy it again.")
    own = found.get(OWN_KEY)
    return ome, version, own if isinstance(own, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > _MAX_METADATA:
        raise FileError(
            f"{path} has {size} bytes, expected a description of at most "
            f"{_MAX_METADATA}. Copy it again from its source."
        )
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileError(
            f"{path} is damaged ({error}). Copy it again from its source."
        ) from error
    if not isinstance(content, dict):
        raise FileError(f"{path} is damaged: expected a JSON object. Copy it again.")
    return content


def _multiscale(path: Path, attributes: dict[str, Any], version: str) -> Any:
    """Check the description of an image and return its model."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    found = attributes.get("multiscales")
    if not found or not isinstance(found, list) or not isinstance(found[0], dict):
        what = "a plate of wells" if "plate" in attributes else "no OME-Zarr image"
        raise FileError(
            f"{path} is {what}: expected 'multiscales' in its attributes. Open one of "
            "the images in it, or write it again as OME-Zarr."
        )
    if len(found) > 1:
        warnings.warn(
            f"{path.name} holds {len(found)} images; reading the first.", stacklevel=5
        )
    first = dict(found[0])
    told = attributes.get("version") if version == "0.5" else first.pop("version", None)
    if not str(told or version).startswith(version):
        raise FileError(
            f"{path} is OME-Zarr of version {told}, of which 0.4 and 0.5 can be read. "
            "Write it again in one of these."
        )
    model = v05.Multiscale if version == "0.5" else v04.Multiscale
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unusual units do no harm
            return model.model_validate(first)
    except ValidationError as error:
        worst = error.errors()[0]
        place = ".".join(map(str, worst["loc"]))
        raise FileError(
            f"{path} is no valid OME-Zarr {version}: {place}: {worst['msg']}. Write it "
            "again with another program."
        ) from error


def _open_array(path: Path, group: Path, inner: str) -> Any:
    import zarr

    folder = group / inner
    root = path.resolve()
    metadata = [folder / name for name in ("zarr.json", ".zarray")]
    if not all(one.resolve().is_relative_to(root) for one in (folder, *metadata)):
        raise FileError(f"{path} points to {inner!r}, which is outside of it.")
    present = [one for one in metadata if one.is_file()]
    if not present:
        raise FileError(
            f"{path}: expected its pixels in {inner!r}, where there is no array. Copy "
            "it again, as a whole folder."
        )
    _json(present[0])
    return zarr.open_array(str(folder), mode="r")


def _letters(axes: Any) -> str:
    """Return a letter for each axis."""
    letters = ""
    for axis in axes:
        letter = axis.name.upper()
        if letter not in tuple("TCZYX"):
            letter = {"time": "T", "channel": "C"}.get(axis.type or "", "")
        if not letter or letter in letters:
            letter = next(free for free in "IJKLMNQ" if free not in letters)
        letters += letter
    if "Y" not in letters or "X" not in letters:
        names = ", ".join(axis.name for axis in axes)
        raise FileError(f"expected an image with the axes y and x, found {names}")
    return letters


def _own_order(own: dict[str, Any], letters: str, shape: tuple[int, ...]) -> str:
    """Return the axes in the order in which we wrote them, or else with YX last."""
    axes = own.get("axes")
    if isinstance(axes, str) and sorted(axes.replace("S", "C")) == sorted(letters):
        colour = axes.endswith("YXS") and shape[letters.index("C")] in (3, 4)
        if colour or ("S" not in axes and axes.endswith("YX")):
            return axes
    return "".join(letter for letter in letters if letter not in "YX") + "YX"


def _steps(dataset: Any) -> list[float]:
    first = dataset.coordinateTransformations[0]
    return list(first.scale) if first.type == "scale" else [1.0]


def _placement(image: Any, dataset: Any) -> tuple[list[float], list[float]]:
    """Return the step along each axis, and where the first pixel lies."""
    step, start = np.ones(len(image.axes)), np.zeros(len(image.axes))
    for transform in (
        *dataset.coordinateTransformations,
        *(image.coordinateTransformations or ()),
    ):
        if transform.type == "scale":
            step, start = step * transform.scale, start * transform.scale
        elif transform.type == "translation":
            start = start + transform.translation
    return (
        [float(one) if 0 < one < np.inf else 1.0 for one in step],
        [float(one) if np.isfinite(one) else 0.0 for one in start],
    )


def _unit(axis: Any) -> str:
    unit = axis.unit or "pixel"
    return UNIT_SYMBOLS.get(unit, unit)


def _channel_names(omero: Any, number: int) -> tuple[str, ...]:
    """Return the names that viewers show, where every channel is described."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or len(channels) != number:
        return ()
    names = [one.get("label") if isinstance(one, dict) else None for one in channels]
    return tuple(str(name or "") for name in names) if any(names) else ()
