"""The weights that are here or can be had: list, download, import, delete."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pooch
import requests

from napari_mpi.io.atomic import staged
from napari_mpi.weights.loading import (
    BUNDLED,
    SUFFIXES,
    WeightsError,
    load_weights,
    weights_folder,
)

__all__ = [
    "ONLINE",
    "DownloadCancelledError",
    "OnlineWeights",
    "WeightsFacts",
    "delete_weights",
    "download_weights",
    "files_of_weights",
    "import_weights",
    "installed_weights",
    "weights_facts",
]

_TIMEOUT = 30  # seconds without an answer
_CHUNK = 64 * 1024  # bytes
# What a training leaves beside its weights.
_COMPANIONS = (".ckpt", ".loss.csv", ".loss.png")


class DownloadCancelledError(Exception):
    """Raised by a `report` to end a download; nothing is left behind."""


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
    size : int
        Bytes.
    """

    url: str
    sha256: str
    description: str
    licence: str
    size: int


@dataclass(frozen=True)
class WeightsFacts:
    """What is known of some weights.

    Attributes
    ----------
    name : str
        What they are chosen by.
    place : {"bundled", "installed", "online"}
        Whether they ship with the package, lie in the weights folder, or can be
        downloaded.
    origin : str
        Who made them, and from what.
    licence : str
        What is known of the terms of use.
    sha256 : str
        Hash of the file, hexadecimal.
    size : int
        Bytes.
    steps : int, optional
        Steps of training.
    verdict : str
        What held-out images said when they were trained; empty if nothing.
    path : Path, optional
        The file, if it is here.
    """

    name: str
    place: Literal["bundled", "installed", "online"]
    origin: str
    licence: str
    sha256: str
    size: int
    steps: int | None = None
    verdict: str = ""
    path: Path | None = None


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
        3_074_477,
    ),
    "mpi-imagenet-80-95": OnlineWeights(
        _AUTHORS + "imgnet_80_95_singlechannel_skip.pth",
        "69d3f84dc9ed915e39f00d1d7f8610b6ab436548f33d35b93156169812e9cf0c",
        "the MPI authors' weights for noise that neighbouring pixels share, RGB, one "
        "mask",
        _NO_LICENCE,
        3_069_357,
    ),
}
"""Weights that can be downloaded, by name."""


class _Bar:
    """Passes on how much has arrived, as pooch tells a progress bar."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report = report
        self.total = self._done = 0

    def update(self, n_bytes: int) -> None:
        self._done = min(self._done + n_bytes, self.total)
        self._report(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def download_weights(
    name: str, report: Callable[[int, int], None] | None = None
) -> Path:
    """Fetch weights by name, check their hash, and keep them in the weights folder.

    Parameters
    ----------
    name : str
        A name in `ONLINE`.
    report : callable, optional
        Called with the bytes that have arrived and those that are announced. What it
        raises ends the download, and nothing is left behind.

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
            downloader=pooch.HTTPDownloader(
                progressbar=_Bar(report) if report else False,
                chunk_size=_CHUNK,
                timeout=_TIMEOUT,
            ),
        )
    except requests.RequestException as error:
        raise WeightsError(
            f"{name} could not be fetched from {source.url}: {_what_failed(error)}. "
            "Check the network, or fetch the file with a browser and use 'napari-mpi "
            "weights import'."
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"{name} was discarded: what {source.url} sent is not the file that was "
            "announced (its sha256 differs). Try again; if it happens again, the file "
            "has changed there."
        ) from error
    return Path(path)


def _what_failed(error: requests.RequestException) -> str:
    """Put what went wrong with a transfer into words; the libraries' are for makers."""
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"there was no answer within {_TIMEOUT} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the server"
    return str(error)


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
    if name == "bundled":
        raise WeightsError(
            "'bundled' stands for the weights that come with the program: rename the "
            "file and import it again."
        )
    taken = installed_weights().get(name, BUNDLED.get(name))
    if taken is not None:
        if hashlib.sha256(taken.read_bytes()).hexdigest() == weights.sha256:
            return taken
        instead = "" if name in BUNDLED else ", or delete the other weights first"
        raise WeightsError(
            f"There are other weights named {name!r} already ({taken}). Rename the "
            f"file and import it again{instead}."
        )
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    with staged(target) as partial:
        shutil.copyfile(source, partial)
    return target


def installed_weights() -> dict[str, Path]:
    """Return the files in the weights folder, by name."""
    folder = weights_folder()
    if not folder.is_dir():
        return {}
    files = sorted(
        path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()
    )
    return {path.stem: path for path in files}


def files_of_weights(name: str) -> list[Path]:
    """Return the installed file of this name, and what its training left beside it.

    Parameters
    ----------
    name : str
        A key of `installed_weights`.

    Raises
    ------
    ValueError
        If these weights are bundled, or there are none of this name.
    """
    installed = installed_weights()
    if name not in installed:
        if name in BUNDLED:
            raise ValueError(
                f"The weights {name!r} are part of napari-mpi and cannot be deleted."
            )
        known = f"choose from {', '.join(installed)}" if installed else "none are here"
        raise ValueError(f"No weights named {name!r} to delete: {known}.")
    path = installed[name]
    beside = (path.with_suffix(suffix) for suffix in _COMPANIONS)
    return [path, *(companion for companion in beside if companion.is_file())]


def delete_weights(name: str) -> list[Path]:
    """Delete installed weights, with what their training left beside them.

    Parameters
    ----------
    name : str
        A key of `installed_weights`; bundled weights stay.

    Returns
    -------
    list of Path
        The files that are gone.

    Raises
    ------
    ValueError
        If these weights are bundled, or there are none of this name.
    """
    files = files_of_weights(name)
    for path in files:
        path.unlink()
    return files


def weights_facts() -> list[WeightsFacts]:
    """Return what is known of all weights that are here or can be downloaded.

    A file in the weights folder that cannot be used is listed too; its origin says why.
    """
    facts = [_facts(name, "bundled", path) for name, path in BUNDLED.items()]
    installed = installed_weights()
    facts += [_facts(name, "installed", path) for name, path in installed.items()]
    facts += [
        WeightsFacts(
            name,
            "online",
            f"{online.description}; {online.url}",
            online.licence,
            online.sha256,
            online.size,
        )
        for name, online in ONLINE.items()
        if name not in installed
    ]
    return facts


def _facts(
    name: str, place: Literal["bundled", "installed"], path: Path
) -> WeightsFacts:
    size = 0
    try:
        size = path.stat().st_size
        weights = load_weights(path)
    except (WeightsError, OSError) as error:
        return WeightsFacts(name, place, str(error), "unknown", "", size, path=path)
    known = {online.sha256: online for online in ONLINE.values()}
    card = weights.card
    if place == "bundled":
        origin, licence = "trained for napari-mpi from nothing", "BSD-3-Clause"
    elif weights.sha256 in known:
        online = known[weights.sha256]
        origin, licence = f"{online.description}; {online.url}", online.licence
    elif "config" in card:
        start = card.get("initial_weights") or "nothing"
        origin, licence = f"trained with napari-mpi, from {start}", "its makers'"
    else:
        origin, licence = "a file that was imported", "unknown; ask its makers"
    steps = card.get("steps")
    return WeightsFacts(
        name,
        place,
        origin,
        licence,
        weights.sha256,
        size,
        steps if isinstance(steps, int) else None,
        _verdict(card.get("held_out"), name),
        path,
    )


def _verdict(held_out: Any, name: str) -> str:
    """Put what a card says of held-out images into words."""
    try:
        other = held_out["compared_with"]
        other = "before its last training" if other == name else other
        comparison = f"than {other} on held-out images ({held_out['gain_db']:+.2f} dB)"
        return f"{'better' if held_out['better'] else 'not better'} {comparison}"
    except (TypeError, LookupError, ValueError):  # a card may come from anywhere
        return ""
