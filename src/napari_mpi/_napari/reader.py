"""The npe2 reader: files and folders become layers with scale, units and axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi.io.files import ImageData, can_read, read_image, read_stack
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
    n_dims = image.data.ndim - image.rgb  # colour samples are no axis to napari
    channel = -1 if image.rgb else image.axes.find("C")
    kept = [axis for axis in range(n_dims) if axis != channel]
    description, record = split_record(image.description)
    metadata: dict[str, Any] = {"axes": image.axes, "description": description}
    if record is not None:
        metadata["napari_mpi"] = record
    layer: dict[str, Any] = {
        "scale": [image.scale[axis] for axis in kept],
        "units": [
            image.units[axis] if image.units[axis] in UNIT_NAMES else "pixel"
            for axis in kept
        ],
        "axis_labels": [image.axes[axis].lower() for axis in kept],
        "metadata": metadata,
        "name": image.name,
        "rgb": image.rgb,
    }
    if channel < 0:
        return [(image.data, layer, "image")]
    channels = np.moveaxis(image.data, channel, 0)
    if len(channels) == 1:
        return [(channels[0], layer, "image")]
    names = image.channel_names or [f"channel {n + 1}" for n in range(len(channels))]
    colormaps = cycle(_TWO_COLORMAPS if len(channels) == 2 else _COLORMAPS)
    return [
        (
            data,
            layer
            | {
                "name": f"{image.name} {name}",
                "colormap": colormap,
                "blending": "additive",
            },
            "image",
        )
        for data, name, colormap in zip(channels, names, colormaps, strict=False)
    ]
