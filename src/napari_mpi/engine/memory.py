"""How much memory a run takes, what there is, and giving it back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import psutil
import torch

__all__ = [
    "available_bytes",
    "fitting_tile_size",
    "give_back",
    "is_out_of_memory",
    "keep_warm",
    "or_on_processor",
    "pass_bytes",
    "smaller_tile_size",
    "training_bytes",
]

_T = TypeVar("_T")

# In bytes per pixel, of which each has 64 features in several tensors at a time. From
# `python -m benchmarks.speed --memory`, rounded up.
_PASS_BYTES, _TRAINING_BYTES = 3200, 8000
# A run leaves this share of the free memory to others.
_SHARE = 0.6
_SMALLEST_TILE = 128
# How torch says that memory has run out where it has no type of its own for it: on a
# processor, and in the libraries below it, of which cuDNN finds no way to convolve.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "unable to find an engine to execute this computation",
)
# Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def pass_bytes(n_pixels: int) -> int:
    """Return about how much memory a pass over so many pixels takes."""
    return _PASS_BYTES * n_pixels


def training_bytes(n_pixels: int) -> int:
    """Return about how much memory an iteration over so many pixels takes."""
    return _TRAINING_BYTES * n_pixels


def available_bytes(device: torch.device) -> int:
    """Return how much memory a device has free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def fitting_tile_size(size: int, device: torch.device, n_images: int = 1) -> int:
    """Return the size, halved until so many tiles of it fit into the free memory."""
    available = _SHARE * available_bytes(device)
    while size > _SMALLEST_TILE and pass_bytes(n_images * size**2) > available:
        size //= 2
    return size


def smaller_tile_size(size: int) -> int | None:
    """Return the next smaller size of tiles, or None if there is none."""
    return size // 2 if size > _SMALLEST_TILE else None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory has run out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(one in said for one in _NO_MEMORY)


def or_on_processor(work: Callable[[torch.device], _T], device: torch.device) -> _T:
    """Do some work on a device, or on the processor if that has too little memory.

    Parameters
    ----------
    work : callable
        Takes the device.
    device : torch.device
        Where to try first.

    Raises
    ------
    MemoryError
        If the processor's memory is too small, too.
    """
    try:
        return work(device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if device.type == "cpu":
            raise MemoryError(
                "There is too little free memory for planes of this size. Close other "
                "programs, or denoise a smaller region."
            ) from error
    give_back(device)
    return or_on_processor(work, torch.device("cpu"))


def keep_warm() -> None:
    """Keep freed memory for the next iteration instead of asking for it anew.

    Every iteration allocates the same large blocks. With glibc each would come fresh
    from the system and be cleared page by page, which takes longer than to compute it.
    Elsewhere nothing happens. `give_back` ends it.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back(device: torch.device) -> None:
    """Return freed memory to the system and to other programs on the device."""
    if (libc := _glibc()) is not None:
        # glibc's own dynamic threshold ends here.
        libc.mallopt(_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_TRIM_THRESHOLD, 2**26)
        libc.malloc_trim(0)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
