"""Take an n-dimensional array apart into planes and check that it is an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_SIZE", "Index", "PlaneGrid", "numbered_channels"]

Index = tuple[int, ...]
"""Where a plane lies in the leading axes."""

MIN_SIZE = 16
"""The shortest side of a plane, in pixels."""


@dataclass(frozen=True)
class PlaneGrid:
    """Where the planes of an array lie.

    Attributes
    ----------
    shape : tuple of int
        Shape of the whole array, ending in YX, or in YX and colour.
    rgb : bool
        Whether the last axis holds RGB or RGBA samples.
    """

    shape: tuple[int, ...]
    rgb: bool

    @classmethod
    def of(cls, array: Any, rgb: bool) -> PlaneGrid:
        """Check an array's shape and type.

        Parameters
        ----------
        array : array_like with `shape` and `dtype`
            NumPy, dask, zarr or memory-mapped.
        rgb : bool
            Whether the last axis holds RGB or RGBA samples.

        Raises
        ------
        TypeError
            If the pixels are neither integers nor real floating-point numbers.
        ValueError
            If the shape is no image or stack of images.
        """
        shape, dtype = tuple(array.shape), np.dtype(array.dtype)
        if dtype.kind not in "uif" or dtype.itemsize > 8:
            advice = {
                "b": "A mask has no noise to remove; convert it if it is an image.",
                "c": "Denoise the real and the imaginary part, or the magnitude.",
            }.get(dtype.kind, "Convert it to float32.")
            raise TypeError(
                f"Expected integer or floating-point pixels, got {dtype}. {advice}"
            )
        n_dims = 3 if rgb else 2
        if len(shape) < n_dims:
            raise ValueError(
                f"Expected at least {n_dims} dimensions "
                f"({'Y, X and colour' if rgb else 'Y and X'}), got shape {shape}. "
                "Give whole images, not rows of them."
            )
        if 0 in shape:
            raise ValueError(f"The image is empty: its shape is {shape}.")
        if rgb and shape[-1] not in (3, 4):
            raise ValueError(
                f"Expected 3 or 4 colour samples in the last axis, got shape {shape}."
            )
        grid = cls(shape, rgb)
        if min(grid.plane_shape[:2]) < MIN_SIZE:
            height, width = grid.plane_shape[:2]
            moving = ""
            if grid.n_planes >= MIN_SIZE:
                moving = (
                    f" Of the shape {shape} the last two axes are taken for rows and "
                    "columns; if others are, move these to the end first, in Python by "
                    "numpy.moveaxis."
                )
            raise ValueError(
                f"The planes of this image have {height}x{width} pixels, and at least "
                f"{MIN_SIZE}x{MIN_SIZE} are needed.{moving}"
            )
        return grid

    @property
    def plane_shape(self) -> tuple[int, ...]:
        """Shape of one plane, (Y, X) or (Y, X, colour)."""
        return self.shape[-3:] if self.rgb else self.shape[-2:]

    @property
    def n_planes(self) -> int:
        """Number of planes."""
        return int(np.prod(self.shape[: -len(self.plane_shape)], dtype=int))

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Yield the index of each plane in the leading axes."""
        return np.ndindex(self.shape[: -len(self.plane_shape)])

    def to_channels(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane as (C, Y, X) without transparency."""
        return np.moveaxis(plane[..., :3], -1, 0) if self.rgb else plane[np.newaxis]

    def from_channels(
        self, channels: NDArray[Any], original: NDArray[Any]
    ) -> NDArray[Any]:
        """Undo `to_channels`; transparency is taken from the original plane."""
        if not self.rgb:
            plane: NDArray[Any] = channels[0]
            return plane
        color = np.moveaxis(channels, 0, -1)
        return np.concatenate([color, original[..., 3:]], axis=-1)


def numbered_channels(number: int) -> list[str]:
    """Return what channels without names are called."""
    return [f"channel {place}" for place in range(1, number + 1)]
