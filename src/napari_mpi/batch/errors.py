"""Errors in words for the user."""

from __future__ import annotations

import errno

__all__ = ["reason"]


def reason(error: BaseException) -> str:
    """Put an error into words for the user."""
    if isinstance(error, PermissionError) and error.filename:
        return (
            f"no permission for {error.filename}: choose a folder that is yours, or "
            "change its rights."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.strerror}): free some space, and run the same "
            "command again."
        )
    if isinstance(error, OSError) and "requested and" in str(error):  # from NumPy
        return (
            f"the disk took only a part of the file ({error} values): free some "
            "space, and run the same command again."
        )
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{named}"
    if isinstance(error, MemoryError):
        said = str(error)
        return f"memory ran out. {said}".strip()
    return str(error) or type(error).__name__
