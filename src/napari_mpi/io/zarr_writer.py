"""Write OME-Zarr 0.5: pieces of planes, and smaller copies for viewers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import napari_mpi
from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.io.image_data import (
    LENGTH_NAMES,
    TIME_NAMES,
    FileError,
    ImageData,
    storable,
)
from napari_mpi.io.record import split_record
from napari_mpi.io.zarr_reader import OWN_KEY, require_zarr

__all__ = ["can_hold_zarr", "require_storable", "write_zarr"]

# Side of a piece in pixels: a few megabytes, as viewers and networks like them.
_PIECE = 1024
# Smaller copies are made until both sides are at most this.
_SMALLEST = 256
_MAX_AXES = 5
_COLOURS = ("00FFFF", "FFFF00", "FF00FF", "FF0000", "00FF00", "0000FF")


def can_hold_zarr(dtype: np.dtype[Any]) -> bool:
    """Whether OME-Zarr knows this pixel type."""
    return dtype.kind in "uif" and dtype.itemsize <= 8


def require_storable(image: ImageData) -> None:
    """Raise an error if OME-Zarr cannot hold the image, or cannot be written here."""
    require_zarr()
    axes, dtype = image.axes, image.data.dtype
    if not can_hold_zarr(dtype):
        raise FileError(
            f"OME-Zarr cannot hold {dtype} pixels: convert them to float32 first."
        )
    if len(axes) > _MAX_AXES or {"C", "S"} <= set(axes):
        raise FileError(
            f"The axes {axes!r} are more than OME-Zarr describes ({_MAX_AXES}, one of "
            "them with channels or colours): save it as TIFF, or split it first."
        )


def write_zarr(path: Path, image: ImageData) -> None:
    """Write an image plane by plane, so that memory holds no more than one."""
    import zarr
    from yaozarrs.write.v05 import prepare_image

    require_storable(image)
    axes = _in_order(image.axes)
    data = image.data.transpose([image.axes.index(axis) for axis in axes])
    sizes = _sizes(data.shape[-2:])
    text, record = split_record(image.description)
    own = {
        "version": napari_mpi.__version__,
        "axes": image.axes,
        "description": text,
        "record": record,
        "layer": dict(image.layer),
    }
    leading = data.shape[:-2]
    # Of types that are equal here, such as long and long long, zarr knows one.
    dtype = np.dtype(data.dtype.str).newbyteorder("=")
    # Whoever misses a piece later then knows that it was lost.
    with zarr.config.set({"array.write_empty_chunks": True}):
        _, arrays = prepare_image(
            path,
            _model(image, axes, data, len(sizes)),
            [((*leading, *size), dtype) for size in sizes],
            # JSON knows no NaN.
            extra_attributes={
                OWN_KEY: json.loads(json.dumps(own), parse_constant=lambda _: None)
            },
            chunks=(*(1 for _ in leading), _PIECE, _PIECE),
            writer=_create_array,
        )
        for index in np.ndindex(leading):
            plane = np.asarray(data[index])
            for level in range(len(sizes)):
                plane = _halved(plane) if level else plane
                arrays[str(level)][index] = plane


def _create_array(path: Path, shape: tuple[int, ...], dtype: Any, **more: Any) -> Any:
    """Create an array whose pieces have checksums, as damage would else go unseen."""
    import zarr

    return zarr.create_array(
        str(path),
        shape=shape,
        dtype=dtype,
        chunks=more["chunks"],
        dimension_names=more["dimension_names"],
        compressors=zarr.codecs.ZstdCodec(level=3, checksum=True),
        zarr_format=3,
    )


def _in_order(axes: str) -> str:
    """Return the axes as OME-Zarr wants them: time, channels or others, space."""
    ranks = {"T": 0, "Z": 2, "Y": 3, "X": 4}
    return "".join(sorted(axes, key=lambda axis: ranks.get(axis, 1)))


def _sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    sizes = [size]
    while max(sizes[-1]) > _SMALLEST and min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the means of two by two pixels."""
    rows, columns = (size // 2 for size in plane.shape)
    blocks = plane[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    means = blocks.mean(axis=(1, 3), dtype=np.float64)
    return to_dtype(means, plane.dtype)


def _model(image: ImageData, axes: str, data: Any, n_levels: int) -> Any:
    """Describe the image in the words of OME-Zarr."""
    from yaozarrs import v05

    step = dict(zip(image.axes, image.scale, strict=True))
    unit = dict(zip(image.axes, image.units, strict=True))
    start = dict(zip(image.axes, image.translate, strict=bool(image.translate)))
    types = {"T": "time", "C": "channel", "S": "channel"}
    types |= dict.fromkeys("ZYX", "space")
    described: list[dict[str, Any]] = []
    for axis in axes:
        name, kind = "c" if axis == "S" else axis.lower(), types.get(axis)
        described.append({"name": name, "type": kind})
        units = {"time": TIME_NAMES, "space": LENGTH_NAMES}.get(kind or "", {})
        if unit[axis] in units:
            described[-1]["unit"] = units[unit[axis]]
    datasets = []
    for level in range(n_levels):
        factor = [2.0**level if axis in "YX" else 1.0 for axis in axes]
        scale = [step[axis] * by for axis, by in zip(axes, factor, strict=True)]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        # The first pixel's centre is that of those that it stands for.
        shift = [
            start.get(axis, 0.0) + step[axis] * (by - 1) / 2
            for axis, by in zip(axes, factor, strict=True)
        ]
        if level or any(shift):
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    multiscale = {
        "name": storable(image.name),
        "axes": described,
        "datasets": datasets,
        "type": "local mean",
    }
    document: dict[str, Any] = {"multiscales": [multiscale]}
    if "C" in axes and len(image.channel_names) == data.shape[axes.index("C")]:
        document["omero"] = {"channels": _channels(image.channel_names, axes, data)}
    return v05.Image.model_validate(document)


def _channels(names: tuple[str, ...], axes: str, data: Any) -> list[dict[str, Any]]:
    """Tell viewers what the channels are called, and how bright they are."""
    described = []
    for number, name in enumerate(names):
        middle = tuple(
            number if axis == "C" else size // 2
            for axis, size in zip(axes[:-2], data.shape, strict=False)
        )
        plane = np.nan_to_num(np.asarray(data[middle]))
        low, high = float(plane.min()), float(plane.max())
        described.append(
            {
                "label": storable(name),
                "color": _COLOURS[number % len(_COLOURS)],
                "window": {"min": low, "start": low, "end": high, "max": high},
                "active": True,
            }
        )
    return described
