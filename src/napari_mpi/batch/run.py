"""A run over an image file, begun once it is known that its result can be written."""

from __future__ import annotations

import warnings
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi.io.files import (
    FileError,
    ImageData,
    can_hold,
    read_image,
    require_writable,
)
from napari_mpi.io.ours import require_ours
from napari_mpi.pipeline.api import Denoising, iter_denoise
from napari_mpi.pipeline.plan import LARGEST_EXACT

__all__ = ["begin_run"]


def begin_run(
    source: Path,
    files: Sequence[Path],
    options: dict[str, Any],
    series: int | None = None,
    known: Container[str] = (),
) -> tuple[ImageData, Denoising]:
    """Read an image and begin to denoise it, if the files can hold the result.

    Parameters
    ----------
    source : Path
        The image.
    files : sequence of Path
        Where the result is to go, the denoised image last.
    options : dict
        Keywords of `napari_mpi.iter_denoise`.
    series : int, optional
        Which image of a file that holds several.
    known : container of str, optional
        Names of files that may be replaced, whatever they hold by now.

    Returns
    -------
    image : ImageData
        What was read.
    run : Denoising
        Iterate over it to advance.

    Warns
    -----
    UserWarning
        If the result is float32, as the format knows no pixels like the image's.

    Raises
    ------
    FileError
        If the image cannot be read, a file cannot hold its result, or is there already
        and not of this program.
    ValueError, TypeError
        If the image or the settings are not fit for a run.
    OSError, MemoryError
        If a file cannot be opened, or the memory is too small.
    """
    image = read_image(source, series)
    target = files[-1]
    pixel_type = options.get("pixel_type")
    if pixel_type is None:
        pixel_type = getattr(options.get("preset"), "pixel_type", "auto")
    widened = pixel_type == "auto" and not can_hold(target, image.data.dtype)
    if widened:
        options = options | {"pixel_type": "float32"}
    # What is wrong with the image itself is told first.
    run = iter_denoise(
        image.data, rgb=image.rgb, channel_axis=image.channel_axis, **options
    )
    in_float = replace(image, data=np.broadcast_to(np.float32(0), image.data.shape))
    same_type = not widened and pixel_type != "float32"
    for file in files:
        require_writable(file, image if same_type and file == target else in_float)
        if file.name not in known:
            require_ours(file)
    if widened:
        _require_exact(source, image)
        warnings.warn(
            "The result is float32, as its format cannot hold "
            f"{image.data.dtype} pixels.",
            stacklevel=2,
        )
    return image, run


def _require_exact(source: Path, image: ImageData) -> None:
    """Refuse whole numbers that float32 cannot tell apart."""
    if image.data.dtype.kind not in "ui":
        return
    largest = max(int(image.data.max()), -int(image.data.min()))
    if largest > LARGEST_EXACT:
        raise FileError(
            f"{source}: the format of the result cannot hold {image.data.dtype} "
            f"pixels, and float32 is exact up to {LARGEST_EXACT} only, where these "
            f"reach {largest}. Convert them to int32 or uint32 if they fit, or else to "
            "float64."
        )
