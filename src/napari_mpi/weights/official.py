"""The files of the MPI authors, whose network has other names for its layers."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from napari_mpi.engine.network import N_LEVELS
from napari_mpi.weights.tensors import WeightsError, read_tensors

__all__ = ["read_official"]

# The authors' network is nested Sequentials with numbers for names; one level deeper
# adds "1.1.7." to the path.
_OFFICIAL = re.compile(
    r"net\.(?P<down>(?:1\.1\.7\.)*)(?P<block>1\.0\.[12]|1\.1\.[1245]|[234679])\."
    r"(?:(?P<conv>1)\.)?(?P<leaf>\w+)"
)
_OFFICIAL_BLOCKS = {
    "1.0.1": "skip.conv",
    "1.0.2": "skip.norm",
    "1.1.1": "down.0.conv",
    "1.1.2": "down.0.norm",
    "1.1.4": "down.1.conv",
    "1.1.5": "down.1.norm",
    "2": "merge_norm",
    "3": "up.0.conv",
    "4": "up.0.norm",
    "6": "up.1.conv",
    "7": "up.1.norm",
}


def read_official(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a file of theirs, with our names.

    Raises
    ------
    WeightsError
        If it holds anything else.
    """
    content = read_tensors(path)
    state = content.get("params") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise WeightsError(
            f"{path} is no MPI weights file: expected a dict with the key 'params'."
        )
    renamed = {}
    for key, value in state.items():
        new_key = _official_to_own(str(key))
        if new_key is None or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} does not describe the MPI network: unexpected entry {key!r}."
            )
        renamed[new_key] = value
    return renamed


def _official_to_own(key: str) -> str | None:
    match = _OFFICIAL.fullmatch(key)
    if match is None:
        return None
    depth = match["down"].count("1.1.7.")
    if match["block"] == "9" and depth == 0:
        return f"head.{match['leaf']}"
    if match["block"] not in _OFFICIAL_BLOCKS or depth >= N_LEVELS:
        return None
    prefix = "levels." + "deeper." * depth
    return f"{prefix}{_OFFICIAL_BLOCKS[match['block']]}.{match['leaf']}"
