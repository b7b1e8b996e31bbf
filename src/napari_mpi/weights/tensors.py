"""Files of tensors, read without running what else they may hold."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["WeightsError", "read_tensors", "require_small"]

# A network of this kind has 3 MB of weights; far more than that is something else.
_MAX_BYTES = 256 * 2**20


class WeightsError(ValueError):
    """A weights file that cannot be used, and why."""


def require_small(path: Path, n_bytes: int) -> None:
    """Refuse a file that is too large for weights."""
    if n_bytes > _MAX_BYTES:
        raise WeightsError(
            f"{path} is {n_bytes / 2**20:.0f} MiB large: weights of this network take "
            "about 3 MiB, so this is another kind of file."
        )


def read_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote, if it is plain data and tensors.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    WeightsError
        If the file is damaged or holds anything that could run code.
    """
    require_small(path, path.stat().st_size)
    content = io.BytesIO(path.read_bytes())
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                # A little can unpack into a lot.
                require_small(path, sum(one.file_size for one in archive.infolist()))
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    # A damaged file surfaces as almost anything, even as an AssertionError.
    except Exception as error:
        raise WeightsError(
            f"{path} was not opened: it is damaged, or holds more than plain tensors, "
            "which could run foreign code. Copy it again from its source, or use a "
            "file that contains a state dict only."
        ) from error
