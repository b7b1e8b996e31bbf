"""The pieces of a Zarr array: all there, inside the store, and sound."""

from __future__ import annotations

import itertools
import math
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.io.image_data import FileError

__all__ = ["METADATA", "check_header", "lazy_array"]

METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
"""Files of a store that hold no pixels."""

# The usual compressors cannot hold larger pieces, in bytes.
_MAX_PIECE = 2**31
_MAX_PIECES = 2**24
# So many files are counted, which takes a second; more are believed to be there.
_MAX_COUNTED = 100_000


def check_header(path: Path, array: Any) -> None:
    """Refuse what cannot be true before memory is taken for it.

    Parameters
    ----------
    path : path
        The store, for errors; nothing may lead out of it.
    array : zarr.Array
        An array in it.
    """
    if array.dtype.kind not in "biufc" or 0 in array.shape:
        raise FileError(
            f"{path}: expected an array of numbers, found {array.shape} {array.dtype}."
        )
    n_bytes = math.prod(array.chunks) * array.dtype.itemsize
    n_pieces = _number(array.shape, array.chunks)
    if n_bytes > _MAX_PIECE or n_pieces > _MAX_PIECES:
        raise FileError(
            f"{path}: expected at most {_MAX_PIECES} pieces of at most {_MAX_PIECE} "
            f"bytes, found {n_pieces} of {n_bytes}. Write it again with other chunks."
        )
    expected = _number(array.shape, array.shards or array.chunks)
    found = _count_pieces(path, Path(array.store.root))
    if found == 0:
        raise FileError(
            f"{path}: none of its {expected} pieces is there. Copy it again, as a "
            "whole folder."
        )
    if found < min(expected, _MAX_COUNTED):
        warnings.warn(
            f"{path.name}: {expected - found} of {expected} pieces were never written "
            f"or are lost; their pixels are {array.fill_value}.",
            stacklevel=5,
        )


def lazy_array(path: Path, array: Any) -> Any:
    """Return a dask array that tells of damage in words when it is computed."""
    import dask.array as da

    return da.from_array(
        _Pieces(path, array),
        chunks=array.chunks,
        name=False,
        fancy=False,  # parts are asked for by slices and numbers alone
        meta=np.empty((0,) * array.ndim, array.dtype),
    )


def _number(shape: tuple[int, ...], size: tuple[int, ...]) -> int:
    return math.prod(-(-a // b) for a, b in zip(shape, size, strict=True))


def _count_pieces(path: Path, folder: Path) -> int:
    """Count the files with pixels, and make sure that they lie inside the store."""
    count, root = 0, path.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            one = Path(parent, name)
            if one.is_symlink() and not one.resolve().is_relative_to(root):
                raise FileError(f"{path}: {one} points outside of it.")
        count += sum(name not in METADATA for name in files)
        if count >= _MAX_COUNTED:
            break
    return count


class _Pieces:
    """What dask needs to know of an array."""

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._array = path, array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        kinds = [type(one).__name__ for one in array.compressors]
        self._blosc = kinds[-1:] in (["Blosc"], ["BloscCodec"]) and not array.shards

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            if self._blosc:
                for file in self._files(key):
                    _check_blosc(file)
            return np.asarray(self._array[key])
        except (MemoryError, OSError):
            raise
        except Exception as error:
            raise FileError(
                f"{self._path}: a piece of its pixels is damaged ({error}). Copy it "
                "again from its source."
            ) from error

    def _files(self, key: Any) -> Iterator[Path]:
        """Yield the files that a part of the array lies in."""
        places = []
        for one, size, step in zip(key, self.shape, self._array.chunks, strict=True):
            asked = range(size)[one if isinstance(one, slice) else slice(one, one + 1)]
            places.append(sorted({place // step for place in asked}))
        folder = Path(self._array.store.root)
        for place in itertools.product(*places):
            file = folder / self._array.metadata.encode_chunk_key(place)
            if file.is_file():
                yield file


def _check_blosc(file: Path) -> None:
    """Refuse a piece of another length than its header says.

    Blosc would read what lies behind it in memory.
    """
    with file.open("rb") as opened:
        head = opened.read(16)
    if len(head) < 16:
        raise ValueError(f"{file.name} has {len(head)} bytes")
    n_bytes, _, n_compressed = struct.unpack("<4x3I", head)
    found = file.stat().st_size
    if found != n_compressed or n_bytes > _MAX_PIECE:
        raise ValueError(f"{file.name} should have {n_compressed} bytes, has {found}")
