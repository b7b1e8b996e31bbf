"""Weights from elsewhere: downloaded by name, or imported from a file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from napari_mpi.weights.loading import (
    BUNDLED,
    SUFFIXES,
    WeightsError,
    load_weights,
    weights_folder,
)

__all__ = [
    "ONLINE",
    "OnlineWeights",
    "download_weights",
    "import_weights",
    "installed_weights",
]

_TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class OnlineWeights:
    """A weights file at a public address.

    Attributes
    ----------
    url : str
        Address of the file.
    sha256 : str
        Hash that the file must have, hexadecimal.
    description : str
        What the weights are for.
    licence : str
        What is known of the terms of use.
    """

    url: str
    sha256: str
    description: str
    licence: str


_AUTHORS = (
    "https://raw.githubusercontent.com/krennic999/MPI/"
    "071bc1e490180e0bb4046f64795484919dbe89e3/ckpts/"
)
_NO_LICENCE = "no licence file; ask the authors of github.com/krennic999/MPI"

ONLINE: Mapping[str, OnlineWeights] = {
    "mpi-imagenet-30": OnlineWeights(
        _AUTHORS + "imgnet_30_multchannel_skip.pth",
        "f9c2eb87bdd32f17fd4800a8624bb89d8315a906ffdc63f89adc1d5e4961265e",
        "the MPI authors' weights for noise that is independent from pixel to pixel, "
        "RGB, a mask per channel",
        _NO_LICENCE,
    ),
    "mpi-imagenet-80-95": OnlineWeights(
        _AUTHORS + "imgnet_80_95_singlechannel_skip.pth",
        "69d3f84dc9ed915e39f00d1d7f8610b6ab436548f33d35b93156169812e9cf0c",
        "the MPI authors' weights for noise that neighbouring pixels share, RGB, one "
        "mask",
        _NO_LICENCE,
    ),
}
"""Weights that can be downloaded, by name."""


def download_weights(name: str) -> Path:
    """Fetch weights by name, check their hash, and keep them in the weights folder.

    Parameters
    ----------
    name : str
        A name in `ONLINE`.

    Returns
    -------
    Path
        The file. What is there already is not fetched again.

    Raises
    ------
    ValueError
        If there is no such name.
    WeightsError
        If the transfer fails, or what arrived is not what was announced. Nothing is
        left behind then.
    """
    if name not in ONLINE:
        raise ValueError(
            f"No weights named {name!r} to download: choose one of {', '.join(ONLINE)}."
        )
    source = ONLINE[name]
    target = f"{name}{Path(source.url).suffix}"
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=target,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
        )
    except requests.RequestException as error:
        raise WeightsError(
            f"{name} could not be fetched from {source.url} ({error}). Check the "
            "network, or fetch the file with a browser and use 'napari-mpi weights "
            "import'."
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"{name} was discarded: what {source.url} sent is not the file that was "
            "announced (its sha256 differs). Try again; if it happens again, the file "
            "has changed there."
        ) from error
    return Path(path)


def import_weights(file: str | os.PathLike[str]) -> Path:
    """Check a weights file and copy it to the weights folder.

    From then on it is known by its name without the ending.

    Parameters
    ----------
    file : path
        A ``.safetensors`` file of this package or a ``.pth`` file of the MPI authors.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If it cannot be used, or its name is taken by other weights.
    """
    source = Path(file)
    if not source.is_file():
        raise FileNotFoundError(f"There is no file {source}.")
    weights = load_weights(source)
    name = source.stem
    taken = installed_weights().get(name, BUNDLED.get(name))
    if taken is not None:
        if hashlib.sha256(taken.read_bytes()).hexdigest() == weights.sha256:
            return taken
        raise WeightsError(
            f"There are other weights named {name!r} already ({taken}). Rename the "
            "file and import it again."
        )
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    partial = folder / (source.name + ".part")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def installed_weights() -> dict[str, Path]:
    """Return the files in the weights folder, by name."""
    folder = weights_folder()
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return {path.stem: path for path in files}
