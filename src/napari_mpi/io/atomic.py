"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "PART",
    "as_one_file",
    "publish",
    "read_json",
    "remove",
    "require_folder_writable",
    "staged",
    "write_bytes",
    "write_json",
]

PART = ".part"
"""Ending of what is being written."""


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a name to write under; at the end of the block it takes the path's place.

    Nothing is left behind if the block raises, and if the program is ended, nothing but
    a file whose name ends in `PART`.
    """
    # It must not be too long where the final name is not.
    partial = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}{PART}")
    try:
        yield partial
        publish(partial, path)
    finally:
        remove(partial)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is complete when it appears."""
    with staged(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write what JSON can hold, as `write_bytes` does."""
    write_bytes(path, json.dumps(content).encode())


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def publish(finished: Path, target: Path) -> None:
    """Give a finished file or folder its final name, once it is on the disk.

    Both lie on one file system. A file or a folder of that name is replaced.
    """
    if finished.is_dir():
        for file in (path for path in finished.rglob("*") if path.is_file()):
            _sync(file)
        _replace_folder(finished, target)
    else:
        _sync(finished)
        finished.replace(target)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        with contextlib.suppress(OSError):  # nor synced on some shares
            _sync(target.parent)


def _replace_folder(finished: Path, target: Path) -> None:
    """Move a folder to its place; what is there is moved aside, as none is replaced."""
    if not target.exists():
        finished.rename(target)
        return
    old = target.with_name(f".{target.name[:40]}.{uuid.uuid4().hex}.old{PART}")
    target.rename(old)
    try:
        finished.rename(target)
    except OSError:
        old.rename(target)
        raise
    remove(old)


def as_one_file(path: Path | str) -> str:
    """Return the same for names that stand for one file here.

    The systems of Windows and macOS mostly take no notice of capitals.
    """
    return str(path).casefold() if sys.platform in ("darwin", "win32") else str(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_folder_writable(folder: Path) -> None:
    """Raise an error if no file can be made in a folder.

    To be asked before long work, as rights alone do not tell of shares and full disks.

    Raises
    ------
    OSError
        What the system says; it names the folder.
    """
    probe = folder / f".{uuid.uuid4().hex}{PART}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing.
    flags = os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
