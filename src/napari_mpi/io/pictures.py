"""PNG and JPEG."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from napari_mpi.io.image_data import (
    FileError,
    ImageData,
    stem_of,
    without_calibration,
)

__all__ = ["PICTURE_MAGIC", "read_picture"]

PICTURE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How files with such pictures begin."""


def read_picture(path: Path) -> ImageData:
    """Read a picture, the first of a file that holds several."""
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(PICTURE_MAGIC[0]) and head[24] == 16 and head[25] != 0:
        raise FileError(
            f"{path} is a PNG with 16 bits for each of several samples, of which only "
            "8 could be read: expected gray or 8 bits. Save it as TIFF."
        )
    every: Any = ...
    n_images = iio.improps(path, index=every, plugin="pillow").n_images or 1
    if n_images > 1:
        warnings.warn(
            f"{path.name} holds {n_images} pictures; reading the first.", stacklevel=4
        )
    mode = iio.immeta(path, index=0, plugin="pillow")["mode"]
    data = np.asarray(
        # Only RGB is colour to napari; print colours are converted.
        iio.imread(
            path, index=0, plugin="pillow", mode="RGB" if mode == "CMYK" else None
        )
    )
    if data.dtype == bool:
        data = data.astype(np.uint8) * np.uint8(255)
    if data.ndim == 3 and data.shape[-1] in (2, 4):
        data = data[..., :-1]  # transparency is no measurement
    if data.ndim == 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return without_calibration(data, "YXS" if data.ndim == 3 else "YX", stem_of(path))
