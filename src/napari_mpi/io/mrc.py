"""MRC, the format of electron and of some light microscopes."""

from __future__ import annotations

import io
import math
import struct
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter
from numpy.typing import NDArray

from napari_mpi.io.image_data import (
    FileError,
    ImageData,
    stem_of,
    truncated,
)

__all__ = ["HEADER_BYTES", "is_mrc", "read_mrc"]

HEADER_BYTES = 1024
# Where the length of what lies between header and pixels is declared.
_EXTENDED = 92
_MODES = (0, 1, 2, 4, 6, 12)


def is_mrc(head: bytes) -> bool:
    """Judge by columns, rows, sections and pixel type: dialects lack the mark."""
    for order in "<>":
        if len(head) == HEADER_BYTES:
            *sizes, mode = struct.unpack(f"{order}4i", head[:16])
            if all(0 < size < 2**20 for size in sizes) and mode in _MODES:
                return True
    return False


def read_mrc(path: Path) -> ImageData:
    """Read an MRC file; its header is checked before memory is taken."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if not is_mrc(head):
        raise FileError(
            f"{path} is no MRC file that can be read: expected a header of "
            f"{HEADER_BYTES} bytes with the number of columns, rows and sections and a "
            f"mode out of {_MODES}, got {head[:16]!r}. Save it as TIFF."
        )
    # Read as if nothing came between header and pixels: an extended header takes as
    # much memory as is declared for it.
    alone = io.BytesIO(head[:_EXTENDED] + bytes(4) + head[_EXTENDED + 4 :])
    with warnings.catch_warnings():
        # Light microscopes write MRC dialects that break small rules of the format.
        warnings.simplefilter("ignore")
        with MrcInterpreter(alone, permissive=True, header_only=True) as mrc:
            header = mrc.header
            dtype = mrcfile.utils.data_dtype_from_header(header)
            shape = mrcfile.utils.data_shape_from_header(header)
            voxel = mrc.voxel_size
            size = {axis: float(voxel[axis.lower()]) for axis in "XYZ"}
    (extended,) = np.frombuffer(head, header.nsymbt.dtype, 1, _EXTENDED)
    if extended < 0 or min(shape) < 1:
        raise FileError(
            f"{path} is damaged: its header declares an image of shape {shape} behind "
            f"{extended} further bytes. Copy it again from its source."
        )
    expected = math.prod(shape) * dtype.itemsize
    start = HEADER_BYTES + int(extended)
    found = path.stat().st_size - start
    if found < expected:
        raise truncated(
            path, f"{shape} {dtype} are {expected} bytes, found {max(found, 0)}"
        )
    # DeltaVision and its kin mark themselves here and count in micrometres.
    deltavision = head[96:98] in (b"\xa0\xc0", b"\xc0\xa0")
    # IMOD marks itself as well; a flag tells whether its bytes are signed.
    imod = head[152:156] in (b"IMOD", b"DOMI")
    signed = (head[156] | head[159]) & 1
    if dtype == np.int8 and (deltavision or (imod and not signed)):
        dtype = np.dtype(np.uint8)
    data = np.fromfile(path, dtype, math.prod(shape), offset=start).reshape(shape)
    data = _in_order(data, [int(header[name]) for name in ("mapc", "mapr", "maps")])
    if data.ndim == 3 and data.shape[0] == 1:
        data = data[0]
    axes = "TZYX"[-data.ndim :]
    known = {axis for axis, step in size.items() if 0 < step < np.inf}
    return ImageData(
        data,
        axes,
        tuple(size[axis] if axis in known else 1.0 for axis in axes),
        tuple(
            ("µm" if deltavision else "Å") if axis in known else "pixel"
            for axis in axes
        ),
        stem_of(path),
    )


def _in_order(data: NDArray[Any], meant: list[int]) -> NDArray[Any]:
    """Return sections, rows and columns as Z, Y and X, which they need not be.

    `meant` says which of X, Y and Z, counted from 1, columns, rows and sections are.
    """
    if sorted(meant) != [1, 2, 3] or data.ndim != 3:
        return data  # many programs leave it empty
    return data.transpose([2 - meant.index(number) for number in (3, 2, 1)])
