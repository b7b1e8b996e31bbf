"""The npe2 reader: files and folders become layers with scale, units and axes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi._napari.channel_record import can_be_told, channel_record
from napari_mpi._napari.layer_state import from_file
from napari_mpi._napari.roles import RECORD
from napari_mpi.arrays.planes import numbered_channels
from napari_mpi.io.files import FileError, ImageData, can_read, read_image, read_stack
from napari_mpi.io.image_data import UNIT_NAMES
from napari_mpi.io.record import split_record

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]

# As napari colours channels itself.
_TWO_COLORMAPS = ("magenta", "green")
_COLORMAPS = ("cyan", "yellow", "magenta", "red", "green", "blue")


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for a path, or None for what cannot be read.

    Parameters
    ----------
    path : str or sequence of str
        A file or folder; several files are read as one stack.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not paths or not all(can_read(one) for one in paths):
        return None
    return _read


def _read(path: str | Sequence[str]) -> list[LayerData]:
    if isinstance(path, str):
        return _to_layers(read_image(path))
    paths = list(path)
    if len(paths) == 1:
        return _to_layers(read_image(paths[0]))
    return _to_layers(read_stack(paths, Path(paths[0]).resolve().parent.name))


def _to_layers(image: ImageData) -> list[LayerData]:
    if image.data.dtype.kind == "c":
        raise FileError(
            f"{image.name} has complex numbers as pixels, which napari cannot show: "
            "save their magnitude, or real and imaginary part."
        )
    n_dims = image.data.ndim - image.rgb  # colour samples are no axis to napari
    channel = -1 if image.rgb else image.axes.find("C")
    kept = [axis for axis in range(n_dims) if axis != channel]
    description, record = split_record(image.description)
    records = _records(image, record, 1 if channel < 0 else image.data.shape[channel])
    layer: dict[str, Any] = {
        "scale": [image.scale[axis] for axis in kept],
        "units": [
            image.units[axis] if image.units[axis] in UNIT_NAMES else "pixel"
            for axis in kept
        ],
        "axis_labels": [image.axes[axis].lower() for axis in kept],
        "name": image.name,
        "rgb": image.rgb,
        **from_file(image, None if channel < 0 else channel),
    }
    told = {"axes": image.axes, "description": description, **layer.pop("metadata")}
    if channel < 0:
        return [(image.data, layer | {"metadata": told | records[0]}, "image")]
    channels = np.moveaxis(image.data, channel, 0)
    numbered = numbered_channels(len(channels))
    names = image.channel_names or numbered
    colormaps = cycle(_TWO_COLORMAPS if len(channels) == 2 else _COLORMAPS)
    layers: list[LayerData] = []
    for number, data in enumerate(channels):
        one = layer | {"metadata": told | records[number]}
        if len(channels) > 1:
            one["name"] = f"{image.name} {names[number] or numbered[number]}"
            look = {"colormap": next(colormaps), "blending": "additive"}
            one = look | one
        layers.append((data, one, "image"))
    return layers


def _records(
    image: ImageData, record: dict[str, Any] | None, number: int
) -> list[dict[str, Any]]:
    """Return what each of a number of layers is to know of the run that made it."""
    if record is None:
        return [{}] * number
    own = [record] * number
    if len(record.get("channels", ())) == number:  # else these are others
        own = [channel_record(record, channel) for channel in range(number)]
    if all(map(can_be_told, [record, *own])):
        return [{RECORD: one} for one in own]
    warnings.warn(
        f"{image.name}: the record of its run is damaged, or of another version of "
        "napari-mpi, and is left out.",
        stacklevel=4,
    )
    return [{}] * number
