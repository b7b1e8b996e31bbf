"""Where an image lies and how it is shown, as a line of a TIFF's description.

OME-Zarr has places for all of it. A TIFF has none for a rotation or a colormap, loses
axes of length one, and a step of an axis whose unit it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_mpi.io.description import take_lines, with_line
from napari_mpi.io.image_data import ImageData

__all__ = ["PLACE", "join_placement", "take_placement"]

PLACE = ("axis_labels", "units", "rotate", "shear", "affine")
"""What of `ImageData.layer` tells where an image lies, and not how it is shown."""

_KEY = "napari_mpi_layer"


def join_placement(image: ImageData, axes: str) -> str:
    """Return an image's description, and in a last line what a TIFF cannot hold.

    Parameters
    ----------
    image : ImageData
        Where there is nothing to be told of it, its description stays as it is.
    axes : str
        Its axes by the letters that the file has for them.
    """
    if not image.layer and not any(image.translate):
        return image.description
    told = {
        "axes": axes,
        "shape": image.data.shape,
        "scale": image.scale,
        "units": image.units,
        "translate": image.translate,
        "layer": image.layer,
    }
    return with_line(image.description, _KEY, told)


def take_placement(image: ImageData) -> ImageData:
    """Return an image as it was before it was written.

    What is told of another shape is left out: someone has cut the image since then.

    Parameters
    ----------
    image : ImageData
        As the file alone describes it.
    """
    description, told = take_lines(image.description, _KEY)
    if told is None:
        return image
    image = replace(image, description=description)
    found = dict(zip(image.axes, image.data.shape, strict=True))
    told = told if isinstance(told, dict) else {}
    axes, shape = told.get("axes"), told.get("shape")
    if not _fits(axes, shape, found):
        return image
    assert isinstance(axes, str)
    present = [image.axes.index(axis) for axis in axes if axis in found]
    translate, layer = told.get("translate"), told.get("layer")
    if translate is None or not _are_numbers(translate, len(axes)):
        translate = ()
    scale, units = _steps(image, axes, told)
    return replace(
        image,
        data=image.data.transpose(present).reshape(shape),
        axes=axes,
        scale=scale,
        units=units,
        translate=tuple(map(float, translate)),
        layer=layer if isinstance(layer, dict) else {},
    )


def _fits(axes: Any, shape: Any, found: dict[str, int]) -> bool:
    """Whether axes and shape are those of an image, axes of length one aside."""
    if not isinstance(axes, str) or not _are_numbers(shape, len(axes)):
        return False
    colour = [axis for axis in found if axis == "S"]
    if axes[-2 - len(colour) :] != "".join(["Y", "X", *colour]):
        return False
    told = dict(zip(axes, shape, strict=True))
    letters = {*told, *found}
    return len(told) == len(axes) and all(
        told.get(letter, 1) == found.get(letter, 1) for letter in letters
    )


def _steps(
    image: ImageData, axes: str, told: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the file's steps, and those that were told where it has none."""
    n_dims = len(axes)
    scale, units = told.get("scale"), told.get("units")
    known = (
        _are_numbers(scale, n_dims)
        and isinstance(units, list)
        and len(units) == n_dims
        and all(isinstance(unit, str) for unit in units)
    )
    steps = [(1.0, "pixel")] * n_dims
    if known and min(scale) > 0:  # type: ignore[arg-type]
        steps = list(zip(map(float, scale), units, strict=True))  # type: ignore[arg-type]
    for axis, step, unit in zip(image.axes, image.scale, image.units, strict=True):
        if (step, unit) != (1.0, "pixel"):
            steps[axes.index(axis)] = step, unit
    sizes, names = zip(*steps, strict=True)
    return sizes, names


def _are_numbers(found: Any, number: int) -> bool:
    return (
        isinstance(found, Sequence)
        and len(found) == number
        and all(type(one) in (int, float) and math.isfinite(one) for one in found)
    )
