"""The npe2 writer: an image layer becomes a file that opens as the same layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np

from napari_mpi._napari.layer_state import to_file
from napari_mpi._napari.layers import CHANNEL_LABELS
from napari_mpi._napari.roles import RECORD
from napari_mpi.io.files import ImageData, can_hold, write_image
from napari_mpi.io.image_data import LENGTH_NAMES, UNIT_SYMBOLS
from napari_mpi.io.record import join_record

__all__ = ["NotSavedError", "write_layer"]

_NAMES = {"time": "T", "depth": "Z", **dict.fromkeys(CHANNEL_LABELS, "C")}
# Not C: a reader would take it for channels. What is measured in metres is no time.
_FREE = "TZIJKLMNQ"
_FREE_LENGTH = "ZTIJKLMNQ"


class NotSavedError(Exception):
    """A layer that cannot be saved, and why.

    It is no `ValueError`, as napari takes these for a missing writer and keeps silent
    about what they say.
    """


def write_layer(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Save an image layer.

    Parameters
    ----------
    path : str
        ``*.ome.tif``, ``*.ome.tiff`` or ``*.ome.zarr``; it appears when it is complete.
    data : array_like
        The layer's pixels; of several resolutions the first is saved.
    options : dict
        The layer's name, place, look and metadata.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    NotSavedError
        If the format cannot hold the layer.
    OSError
        If the folder is missing or cannot be written to.
    """
    try:
        _write(path, data, options)
    except ValueError as error:
        raise NotSavedError(str(error)) from error
    return [path]


def _write(path: str, data: Any, options: dict[str, Any]) -> None:
    if options.get("multiscale"):
        data = data[0]
    rgb = bool(options.get("rgb"))
    n_dims = len(data.shape) - rgb
    if not isinstance(data, np.ndarray) and not hasattr(data, "dask"):
        # Others cannot be transposed without being read, or in ways of their own.
        if not isinstance(data.dtype, np.dtype):  # a tensor
            data = np.asarray(data)
        plane = data.shape[n_dims - 2 :]
        chunks = (*[1] * (n_dims - 2), *plane)
        data = da.from_array(data, chunks=chunks, asarray=True)
    _require_pixel_type(path, data.dtype)
    units = [str(unit) for unit in options.get("units") or ["pixel"] * n_dims]
    letters = _letters(options.get("axis_labels") or [""] * n_dims, units)
    order = [letters.index(letter) for letter in _yx_last(letters)]
    scale = [abs(float(step)) for step in options.get("scale", [1.0] * n_dims)]
    translate, state = to_file(options, order)
    metadata = options.get("metadata") or {}
    image = ImageData(
        data.transpose([*order, n_dims] if rgb else order),
        _yx_last(letters) + "S" * rgb,
        (*(scale[axis] for axis in order), *[1.0] * rgb),
        (*(UNIT_SYMBOLS.get(units[axis], "pixel") for axis in order), *["pixel"] * rgb),
        str(options.get("name", "image")),
        join_record(str(metadata.get("description", "")), metadata.get(RECORD)),
        translate=(*translate, *[0.0] * rgb),
        layer=state,
    )
    write_image(path, image)


def _require_pixel_type(path: str, dtype: np.dtype[Any]) -> None:
    """Raise an error with advice that holds here, where no plain .tif is written."""
    if can_hold(path, dtype):
        return
    advice = "convert the layer to float32."
    if can_hold(".ome.zarr", dtype):
        advice = f"save it as .ome.zarr, or {advice}"
    raise ValueError(f"{path} cannot hold {dtype} pixels: {advice}")


def _letters(labels: Sequence[str], units: Sequence[str]) -> str:
    """Return a letter for each axis, as its label says or else its unit and place."""
    named = [_NAMES.get(label.lower(), label.upper()) for label in labels]
    # Labels of other words or none are napari's own, and Y and X come last.
    known = [letter if letter in tuple("TZCYX") else "" for letter in named]
    if known.count("Y") != 1 or known.count("X") != 1:
        known = [*(letter.strip("YX") for letter in known[:-2]), "Y", "X"]
    letters = ""
    for letter, unit in zip(known, units, strict=True):
        if not letter or letter in letters:
            free = _FREE_LENGTH if unit in LENGTH_NAMES.values() else _FREE
            letter = next(one for one in free if one not in {*known, *letters})
        letters += letter
    return letters


def _yx_last(letters: str) -> str:
    return "".join(letter for letter in letters if letter not in "YX") + "YX"
