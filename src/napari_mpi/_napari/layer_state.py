"""How a layer is placed and shown, as a file keeps it and gives it back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from napari.layers import Image
from napari.utils.colormaps import ALL_COLORMAPS
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mpi._napari.roles import ROLE, ROLES
from napari_mpi.io.image_data import UNIT_NAMES, ImageData

__all__ = ["from_file", "to_file"]

_MATRICES = ("rotate", "shear", "affine")
_LOOK = ("colormap", "contrast_limits", "gamma", "opacity", "blending")
_KNOWN_UNITS = {"pixel", *UNIT_NAMES.values()}


def to_file(
    options: dict[str, Any], order: Sequence[int]
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Return where a layer lies, and what else a file needs to show it the same way.

    Parameters
    ----------
    options : dict
        Of the layer, as napari gives them to a writer.
    order : sequence of int
        The layer's axes in the order in which the file has them.

    Returns
    -------
    translate : tuple of float
        Along the axes of the file.
    state : dict
        Ready for JSON.
    """
    n_dims = len(order)
    scale = np.asarray(options.get("scale", np.ones(n_dims)), float)
    translate = np.asarray(options.get("translate", np.zeros(n_dims)), float)
    state: dict[str, Any] = {}
    if list(order) == list(range(n_dims)) and (scale > 0).all():
        plain: dict[str, NDArray[Any]] = {
            "rotate": np.eye(n_dims),
            "shear": np.zeros(n_dims * (n_dims - 1) // 2),
            "affine": np.eye(n_dims + 1),
        }
        for name, nothing in plain.items():
            matrix = np.asarray(options.get(name, nothing), float)
            if matrix.shape != nothing.shape or not np.allclose(matrix, nothing):
                state[name] = matrix.tolist()
    else:
        # A file has steps above 0; where they or the axes change, what is left of the
        # layer's transform is one matrix.
        matrix = _left_over(options, order, scale, translate)
        if not np.allclose(matrix, np.eye(n_dims + 1)):
            state["affine"] = matrix.tolist()
    labels = options.get("axis_labels") or ()
    if len(labels) == n_dims:
        state["axis_labels"] = [str(labels[axis]) for axis in order]
    units = [str(unit) for unit in options.get("units") or ()]
    if len(units) == n_dims and not {*units} <= _KNOWN_UNITS:
        state["units"] = [units[axis] for axis in order]
    state |= _look(options)
    role = (options.get("metadata") or {}).get(ROLE)
    if role in ROLES:
        state["role"] = role
    return tuple(float(translate[axis]) for axis in order), state


def _left_over(
    options: dict[str, Any],
    order: Sequence[int],
    scale: NDArray[Any],
    translate: NDArray[Any],
) -> NDArray[Any]:
    """Return what comes after a file's steps and place, in the order of its axes."""
    n_dims = len(order)
    to_physical = Affine(
        scale=scale,
        translate=translate,
        rotate=np.asarray(options.get("rotate", np.eye(n_dims)), float),
        shear=np.asarray(options.get("shear", np.eye(n_dims)), float),
    )
    whole = np.asarray(options.get("affine", np.eye(n_dims + 1)), float)
    whole = whole @ to_physical.affine_matrix
    homogeneous = [*order, n_dims]
    in_file = np.diag([*np.abs(scale), 1.0])
    in_file[:-1, -1] = translate
    left = whole @ np.linalg.inv(in_file)
    return np.asarray(left[np.ix_(homogeneous, homogeneous)])


def _look(options: dict[str, Any]) -> dict[str, Any]:
    """Return how the values are shown."""
    look: dict[str, Any] = {
        name: options[name] for name in ("gamma", "opacity") if name in options
    }
    if "blending" in options:
        look["blending"] = str(options["blending"])
    if options.get("rgb"):
        return look
    limits = options.get("contrast_limits")
    if limits is not None:
        look["contrast_limits"] = [float(limit) for limit in limits]
    colormap = options.get("colormap")
    if isinstance(colormap, dict) and "name" in colormap:
        name = str(colormap["name"])
        look["colormap"] = name
        # Others are known by name in this session only.
        if name not in ALL_COLORMAPS and name not in matplotlib.colormaps:
            look["colormap"] = {
                "name": name,
                "colors": np.asarray(colormap["colors"], float).tolist(),
                "controls": np.asarray(colormap["controls"], float).tolist(),
                "interpolation": str(colormap.get("interpolation", "linear")),
            }
    return {name: value for name, value in look.items() if _finite(value)}


def from_file(image: ImageData, channel: int | None) -> dict[str, Any]:
    """Return the arguments of an image's layer, or of the layers of its channels.

    Parameters
    ----------
    image : ImageData
        As it was read.
    channel : int or None
        The axis that becomes layers of its own.
    """
    n_dims = image.data.ndim - image.rgb
    kept = [axis for axis in range(n_dims) if axis != channel]
    arguments: dict[str, Any] = {}
    if image.translate:
        arguments["translate"] = [image.translate[axis] for axis in kept]
    state = {name: one for name, one in image.layer.items() if _finite(one)}
    for name in ("axis_labels", "units"):
        found = state.get(name)
        if isinstance(found, list) and len(found) == n_dims:
            value = [found[axis] for axis in kept]
            if _accepted(name, value, len(kept), image.rgb):
                arguments[name] = value
    for name in _MATRICES:
        if name in state:
            matrix = _without(name, state[name], n_dims, channel)
            if matrix is None:
                warnings.warn(
                    f"{image.name}: its {name} is damaged, or mixes channels with "
                    "other axes, and is left out.",
                    stacklevel=4,
                )
            else:
                arguments[name] = matrix
    role = state.get("role")
    arguments["metadata"] = {ROLE: role} if role in ROLES else {}
    # Channels that are seen together have each a colour of its own.
    if channel is None or image.data.shape[channel] == 1 or role in ROLES[1:]:
        for name in _LOOK:
            if name in state and _accepted(name, state[name], len(kept), image.rgb):
                arguments[name] = state[name]
    return arguments


def _without(
    name: str, found: Any, n_dims: int, channel: int | None
) -> NDArray[Any] | None:
    """Return a matrix without the axis of channels, if it can do without."""
    try:
        matrix = np.asarray(found, float)
        if name == "shear" and matrix.shape == (n_dims * (n_dims - 1) // 2,):
            above = np.eye(n_dims)
            above[np.triu_indices(n_dims, 1)] = matrix
            matrix = above
    except (TypeError, ValueError):
        return None
    size = n_dims + (name == "affine")
    if matrix.shape != (size, size):
        return None
    if name == "affine" and not np.allclose(matrix[-1], np.eye(size)[-1]):
        return None
    linear = matrix[:n_dims, :n_dims]
    if not np.linalg.cond(linear) < 1e12:
        return None
    if channel is None:
        return matrix
    alone = np.eye(n_dims)[channel]
    if not (
        np.allclose(linear[channel], alone) and np.allclose(linear.T[channel], alone)
    ):
        return None
    return np.delete(np.delete(matrix, channel, axis=0), channel, axis=1)


def _accepted(name: str, value: Any, n_dims: int, rgb: bool) -> bool:
    """Whether napari takes this; the file may come from anywhere."""
    lowest = {"gamma": 0.01, "opacity": 0.0}
    highest = {"gamma": 100.0, "opacity": 1.0}
    if name in lowest and not (
        isinstance(value, (int, float)) and lowest[name] <= value <= highest[name]
    ):
        return False
    if name in ("axis_labels", "units") and not all(
        isinstance(one, str) and one.isprintable() and len(one) < 80 for one in value
    ):
        return False
    # pint would compute what else there is.
    if name == "units" and not all(one.isidentifier() for one in value):
        return False
    black = np.zeros((2,) * n_dims + (3,) * rgb, np.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Image(black, rgb=rgb, **{name: value})
    except Exception:
        return False
    return True


def _finite(value: Any) -> bool:
    """Whether JSON holds it as it is."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
