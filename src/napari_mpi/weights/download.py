"""Weights from public addresses, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from napari_mpi.weights.folder import weights_folder
from napari_mpi.weights.tensors import WeightsError

__all__ = ["ONLINE", "DownloadCancelledError", "OnlineWeights", "download_weights"]

_TIMEOUT = 30  # seconds without an answer
_CHUNK = 64 * 1024  # bytes


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
