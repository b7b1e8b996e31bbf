"""Where weights lie: those that ship with the package, and the folder of others."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

__all__ = [
    "BUNDLED",
    "SUFFIXES",
    "find_weights",
    "prefer_weights_folder",
    "weights_folder",
]

_FOLDER = Path(__file__).parent / "bundled"
BUNDLED: dict[str, Path] = {
    name: _FOLDER / f"{name}.safetensors" for name in ("universal", "universal-rgb")
}
"""Weights that ship with the package, by name: for gray images, which fill any other
channel by channel, and for RGB."""

SUFFIXES = (".safetensors", ".pth", ".pt")
"""Endings of the files that weights come in."""

_preferred_folder: Path | None = None


def weights_folder() -> Path:
    """Return the folder of downloaded and imported weights.

    The environment variable ``NAPARI_MPI_WEIGHTS`` names another one, which a group
    can share; else it is the one given to `prefer_weights_folder`.
    """
    chosen = os.environ.get("NAPARI_MPI_WEIGHTS")
    if chosen:
        return Path(chosen)
    return _preferred_folder or user_data_path("napari-mpi", False) / "weights"


def prefer_weights_folder(folder: str | os.PathLike[str] | None) -> None:
    """Look for weights in this folder from now on; None is the usual one."""
    global _preferred_folder
    _preferred_folder = Path(folder).expanduser() if folder else None


def find_weights(name: str) -> Path:
    """Return the file of weights that are given by name or path.

    Raises
    ------
    FileNotFoundError
        If there is neither such a name nor such a file.
    """
    inside = [weights_folder() / (name + suffix) for suffix in SUFFIXES]
    # A name is no path: only the last step of one may be looked up in the folder.
    candidates = inside if Path(name).name == name else []
    for path in (BUNDLED.get(name, Path(name)), *candidates):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"No weights named {name!r}: give one of {', '.join(BUNDLED)}, the path of a "
        ".safetensors or .pth file, or a name that 'napari-mpi weights list' shows; "
        "what is online there has to be downloaded first, by 'napari-mpi weights "
        "download NAME'."
    )
