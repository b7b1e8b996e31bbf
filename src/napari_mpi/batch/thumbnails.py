"""Small pictures of a result for the report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from napari_mpi.io.atomic import write_bytes
from napari_mpi.pipeline.api import Denoised

__all__ = ["write_thumbnail"]

_SIDE, _GAP = 192, 4  # pixels
_PERCENTILES = (0.5, 99.5)


def write_thumbnail(path: Path, noisy: Any, result: Denoised, rgb: bool) -> None:
    """Write input, denoised and noise map side by side, from the middle plane.

    All three have one stretch: a gray level stands for as many counts everywhere, and
    the noise map's zero is the middle gray.
    """
    n_last = 3 if rgb else 2
    index = tuple(size // 2 for size in noisy.shape[:-n_last])
    planes = [
        _gray(_small(np.asarray(array[index], np.float64)), rgb)
        for array in (noisy, result.image, result.noise_map)
    ]
    low, high = np.percentile(planes[0], _PERCENTILES)
    span = float(high - low) or 1.0
    zeros = (low, low, -span / 2)
    panels = [
        np.clip(255 * (plane - zero) / span, 0, 255).astype(np.uint8)
        for plane, zero in zip(planes, zeros, strict=True)
    ]
    gap = np.full((len(panels[0]), _GAP), 255, np.uint8)
    strip = np.hstack([panels[0], gap, panels[1], gap, panels[2]])
    buffer = io.BytesIO()
    iio.imwrite(buffer, strip, extension=".jpg", quality=85)
    write_bytes(path, buffer.getvalue())


def _small(plane: NDArray[Any]) -> NDArray[Any]:
    """Take every n-th pixel, which keeps noise what it is."""
    step = -(-max(plane.shape[:2]) // _SIDE)
    return plane[::step, ::step]


def _gray(plane: NDArray[Any], rgb: bool) -> NDArray[Any]:
    gray: NDArray[Any] = plane[..., :3].mean(axis=-1) if rgb else plane
    return gray
