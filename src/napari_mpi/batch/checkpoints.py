"""Finished parts of a run, as files in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_mpi.io.atomic import write_bytes
from napari_mpi.pipeline.checkpoints import Arrays

__all__ = ["FileCheckpoints"]


class FileCheckpoints:
    """Finished parts of a run, one safetensors file each.

    Parameters
    ----------
    folder : Path
        It is made when the first part is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Keep arrays, and facts that JSON can hold, all or nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        shapes = {key: value.shape for key, value in arrays.items()}
        record = json.dumps({"facts": facts, "shapes": shapes})
        write_bytes(self._path(name), save(contiguous, {"record": record}))

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what was kept under a name, or None if it is missing or damaged."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                record = json.loads(file.metadata()["record"])
                # NumPy makes contiguous arrays of no dimensions one-dimensional.
                arrays = {
                    key: file.get_tensor(key).reshape(shape)
                    for key, shape in record["shapes"].items()
                }
        except (SafetensorError, ValueError, KeyError, TypeError, OSError):
            return None
        return arrays, record["facts"]

    def part(self, name: str) -> FileCheckpoints:
        """Return a folder inside this one."""
        return FileCheckpoints(self._folder / name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
