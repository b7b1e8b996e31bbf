"""Whether a file or a folder was written by this program, and so may be replaced."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from napari_mpi.io.image_data import TIFF_SUFFIXES, FileError
from napari_mpi.io.record import split_record
from napari_mpi.io.tiff import description_of_tiff
from napari_mpi.io.zarr_reader import OWN_KEY, is_zarr

__all__ = ["require_ours"]


def require_ours(path: Path) -> None:
    """Raise an error if something is there that must not be lost.

    Parameters
    ----------
    path : Path
        Where a TIFF file or an OME-Zarr folder is to be written.

    Raises
    ------
    FileError
        If something is there that carries no record of a run.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not (_is_our_store(path) if path.is_dir() else _is_our_tiff(path)):
        raise FileError(
            f"{path} is there already and was not written by napari-mpi: choose "
            "another name, or remove it first."
        )


def _is_our_store(path: Path) -> bool:
    if not is_zarr(path):
        return False
    try:
        document = json.loads((path / "zarr.json").read_bytes())
        return OWN_KEY in document["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_our_tiff(path: Path) -> bool:
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            description = description_of_tiff(path)
    except Exception:  # a damaged file can fail in every way
        return False
    return split_record(description)[1] is not None
