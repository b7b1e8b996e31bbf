"""Files that are there as a whole or not at all, whatever ends the program."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["publish", "read_json", "write_bytes", "write_json"]

PART = ".part"
"""Ending of files that are being written."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file beside its place, and put it there when it is on the disk."""
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        part.write_bytes(data)
        publish(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write what JSON can hold, as `write_bytes` does."""
    write_bytes(path, json.dumps(content, ensure_ascii=False).encode())


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def publish(staged: Path, target: Path) -> None:
    """Give a finished file or folder its final name, once it is on the disk.

    Both lie on one file system. A file of that name is replaced; an older folder is
    moved aside first, as no system replaces folders.
    """
    if staged.is_dir():
        for file in (path for path in staged.rglob("*") if path.is_file()):
            _sync(file)
        if target.is_dir():
            target.rename(staged.with_name(f"{staged.name}.old{PART}"))
    else:
        _sync(staged)
    staged.replace(target)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(target.parent)


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing.
    flags = os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
