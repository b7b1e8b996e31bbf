"""A run over an image file, begun once it is known that its result can be written."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from napari_mpi.io.files import ImageData, read_image, require_writable
from napari_mpi.io.ours import require_ours
from napari_mpi.pipeline.api import Denoising, iter_denoise

__all__ = ["begin_run"]


def begin_run(
    source: Path,
    files: Iterable[Path],
    options: dict[str, Any],
    series: int | None = None,
    known: Container[str] = (),
) -> tuple[ImageData, Denoising]:
    """Read an image and begin to denoise it, if the files can hold the result.

    Parameters
    ----------
    source : Path
        The image.
    files : iterable of Path
        Where the result is to go.
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
    # What is wrong with the image itself is told first.
    run = iter_denoise(
        image.data, rgb=image.rgb, channel_axis=image.channel_axis, **options
    )
    for file in files:
        require_writable(file, image)
        if file.name not in known:
            require_ours(file)
    return image, run
