"""The npe2 reader: files and folders become layers with scale, units and axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari_mpi.files import ImageData, can_read, read_image, read_stack

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]

# Units that napari's pint registry knows by these symbols.
_KNOWN_UNITS = frozenset(
    ["pixel", "pm", "Å", "nm", "µm", "mm", "cm", "m", "inch"]
    + ["ns", "µs", "ms", "s", "min", "h", "d"]
)


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
    image = read_image(paths[0]) if len(paths) == 1 else read_stack(paths, "stack")
    return _to_layers(image)


def _to_layers(image: ImageData) -> list[LayerData]:
    n_dims = image.data.ndim - image.rgb  # colour samples are no axis to napari
    axes = range(n_dims)
    channel = image.axes.find("C") if not image.rgb else -1
    kept = [axis for axis in axes if axis != channel]
    layer: dict[str, Any] = {
        "scale": [image.scale[axis] for axis in kept],
        "units": [
            image.units[axis] if image.units[axis] in _KNOWN_UNITS else "pixel"
            for axis in kept
        ],
        "axis_labels": [image.axes[axis].lower() for axis in kept],
        "metadata": {"axes": image.axes, "description": image.description},
    }
    if channel < 0:
        layer |= {"name": image.name, "rgb": image.rgb}
        return [(image.data, layer, "image")]
    return [
        (
            image.data.take(number, axis=channel),
            {**layer, "name": f"{image.name} channel {number + 1}"},
            "image",
        )
        for number in range(image.data.shape[channel])
    ]
