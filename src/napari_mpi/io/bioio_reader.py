"""Formats of microscopes, through the readers of bioio."""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.io.image_data import (
    BIOIO_PACKAGES,
    MAX_IN_MEMORY,
    FileError,
    ImageData,
    chosen_series,
    name_of,
    require_unpackable,
    truncated,
)

__all__ = ["looks_like_bioio", "read_bioio", "series_of_bioio"]

# How the formats begin, or where else they mark themselves.
_MAGIC: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".czi": (0, (b"ZISRAWFILE",)),
    ".dv": (96, (b"\xa0\xc0", b"\xc0\xa0")),
    ".lif": (0, (b"\x70\0\0\0",)),
    ".nd2": (0, (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  ")),
    ".r3d": (96, (b"\xa0\xc0", b"\xc0\xa0")),
}
# A mosaic's tiles lie along this axis until they are put together.
_TILES = "M"
# Where and what each plane is takes more bytes than this in all of the formats.
_MIN_PLANE = 16


def looks_like_bioio(suffix: str, head: bytes) -> bool:
    """Whether the first bytes of a file are those of its format."""
    place, marks = _MAGIC[suffix]
    return head[place:].startswith(marks)


def series_of_bioio(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file, in their order."""
    return tuple(map(str, _open(path).scenes))


def read_bioio(path: Path, series: int | None = None) -> ImageData:
    """Read an image; a large one is a dask array.

    A mosaic is put together, and axes of length 1 before YX are left out.
    """
    reader = _open(path)
    names = tuple(map(str, reader.scenes))
    number = chosen_series(path, names, series)
    reader.set_scene(number)
    _check_size(path, reader, number)
    found = reader.xarray_dask_data
    if found.sizes.get(_TILES, 1) > 1:
        found = reader.mosaic_xarray_dask_data
    kept = [dim for dim in found.dims if dim in "YXS" or found.sizes[dim] > 1]
    found = found.isel({dim: 0 for dim in found.dims if dim not in kept})
    # Y, X and S come last; the others keep their order.
    axes = "".join(sorted(map(str, kept), key="YXS".find))
    found = found.transpose(*axes)
    if found.dtype.kind not in "biufc" or 0 in found.shape:
        raise FileError(
            f"{path}: expected an array of numbers, found {found.shape} {found.dtype}."
        )
    step, unit = _calibration(path, reader)
    channels = found.coords["C"].values if "C" in axes and "C" in found.coords else ()
    pixels = _Pixels(path, found.data, 3 if axes.endswith("S") else 2)
    return ImageData(
        pixels[...] if found.nbytes <= MAX_IN_MEMORY else pixels.lazy(),
        axes,
        tuple(step.get(axis, 1.0) for axis in axes),
        tuple(unit.get(axis, "pixel") for axis in axes),
        name_of(path, names, number),
        channel_names=tuple(map(str, channels)),
    )


def _open(path: Path) -> Any:
    suffix = path.suffix.lower()
    name = BIOIO_PACKAGES[suffix].replace("-", "_")
    if importlib.util.find_spec(name) is None:
        raise FileError(
            f"{path}: the format {suffix} needs a further package. Run `pip install "
            f"{BIOIO_PACKAGES[suffix]}`, or save the image as OME-TIFF with the "
            "program of the microscope."
        )
    place, marks = _MAGIC[suffix]
    with path.open("rb") as file:
        head = file.read(place + 16)
    if not looks_like_bioio(suffix, head):
        raise FileError(
            f"{path} is damaged or not what its ending says: expected a file that has "
            f"{marks[0]!r} at byte {place}. Copy it again from its source."
        )
    if suffix == ".lif":
        # Its reader takes memory for whatever length of description is declared.
        length = 2 * int.from_bytes(head[9:13], "little")
        if length > path.stat().st_size:
            raise truncated(path, f"its description should have {length} bytes")
    # Planes are asked for one by one, and not every reader lets one choose.
    options = {"chunk_dims": ["Y", "X", "S", "A"]} if suffix in (".czi", ".lif") else {}
    return importlib.import_module(name).Reader(path, **options)


def _check_size(path: Path, reader: Any, number: int) -> None:
    """Refuse what cannot be true before memory is taken for it."""
    size = _declared_size(path, reader, number)
    n_bytes, n_values = path.stat().st_size, math.prod(size.values())
    n_planes = n_values // max(1, math.prod(size.get(axis, 1) for axis in "YXS"))
    if n_planes > n_bytes // _MIN_PLANE:
        raise FileError(
            f"{path} is damaged: its {n_bytes} bytes should hold {n_planes} planes, "
            f"{size}. Copy it again from its source."
        )
    require_unpackable(path, n_bytes, n_values)


def _declared_size(path: Path, reader: Any, number: int) -> dict[str, int]:
    """Return the length of each axis.

    Some readers list the place of each pixel before they tell how many there are, so
    that the libraries below them are asked.
    """
    if path.suffix.lower() == ".lif":
        with importlib.import_module("liffile").LifFile(path) as file:
            return dict(file.images[number].sizes)
    if path.suffix.lower() == ".nd2":
        with importlib.import_module("nd2").ND2File(path) as file:
            return dict(file.sizes)
    return dict(zip(reader.dims.order, reader.dims.shape, strict=True))


def _calibration(path: Path, reader: Any) -> tuple[dict[str, float], dict[str, str]]:
    """Return the known steps in micrometres and seconds, and their units."""
    sizes, interval = reader.physical_pixel_sizes, reader.time_interval
    found = {axis: getattr(sizes, axis) for axis in "ZYX"}
    if isinstance(interval, timedelta):
        found["T"] = interval.total_seconds()
    elif path.suffix.lower() == ".lif":  # whose reader has the times alone, in seconds
        times = reader.xarray_dask_data.coords.get("T", np.zeros(1))
        found["T"] = float(times[1] - times[0]) if len(times) > 1 else None
    step = {
        axis: float(value)
        for axis, value in found.items()
        if value is not None and 0 < float(value) < math.inf
    }
    return step, {axis: "s" if axis == "T" else "µm" for axis in step}


class _Pixels:
    """The pixels of an image, that tell of damage in words when they are read."""

    def __init__(self, path: Path, pixels: Any, n_plane_axes: int) -> None:
        self._path, self._pixels = path, pixels
        self._plane = pixels.shape[-n_plane_axes:]
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim

    def lazy(self) -> Any:
        """Return a dask array of the same pixels."""
        import dask.array as da

        return da.from_array(
            self,
            chunks=self._pixels.chunks,
            name=False,
            fancy=False,  # parts are asked for by slices and numbers alone
            lock=True,  # some of the libraries cannot read several planes at once
            meta=np.empty((0,) * self.ndim, self.dtype),
        )

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            found = np.asarray(self._pixels[key].compute(scheduler="synchronous"))
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # a disk, not its content
                raise
            raise FileError(
                f"{self._path}: a piece of its pixels is damaged ({error}). Copy it "
                "again from its source."
            ) from error
        self._warn_of_missing(found)
        return found

    def _warn_of_missing(self, found: NDArray[Any]) -> None:
        # The libraries put zeros where a plane is not in the file.
        one = len(self._plane)
        if found.shape[-one:] == self._plane:
            lit = found.any(axis=tuple(range(-one, 0)))
            if n_missing := int(lit.size - np.count_nonzero(lit)):
                warnings.warn(
                    f"{self._path.name} has planes of nothing but zeros ({n_missing} "
                    f"of {lit.size} looked at); they may be missing from the file.",
                    stacklevel=2,
                )
