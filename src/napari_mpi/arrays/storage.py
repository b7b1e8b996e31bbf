"""Arrays in memory, or in temporary files where they are large."""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import shutil
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["NoSpaceError", "allocate", "belongs_on_disk", "let_go"]

# Results larger than this go to a temporary file, as those of lazy arrays do.
_MAX_IN_MEMORY = 2 * 2**30


class NoSpaceError(OSError):
    """The disk of the temporary folder has too little space."""


def belongs_on_disk(source: Any, n_bytes: int) -> bool:
    """Tell whether results of so many bytes should go to a temporary file."""
    # A result as large as a lazy input has no more place in memory than that.
    return type(source) is not np.ndarray or n_bytes > _MAX_IN_MEMORY


def allocate(shape: tuple[int, ...], dtype: DTypeLike, on_disk: bool) -> NDArray[Any]:
    """Return an array of zeros, in memory or in a temporary file.

    The file is gone with the array.

    Raises
    ------
    NoSpaceError
        If the disk of the temporary folder has too little space.
    """
    if not on_disk:
        return np.zeros(shape, dtype)
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile(prefix="napari-mpi-") as file:
        # Taken at once: a mapped file that finds the disk full later ends the program.
        try:
            if shutil.disk_usage(folder).free < n_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            raise NoSpaceError(
                f"There is no place for {n_bytes / 2**20:.0f} MiB of pixels in "
                f"{folder} ({error.strerror}). Free some space, or name another folder "
                "in the environment variable TMPDIR."
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def let_go(array: Any) -> None:
    """Let what was read or written of a memory-mapped array leave the memory."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        # A read-only or a private mapping may refuse; it stays right, only larger.
        with contextlib.suppress(OSError, ValueError):
            if getattr(array, "mode", "") in ("r", "r+", "w+"):
                mapped.madvise(mmap.MADV_DONTNEED)
