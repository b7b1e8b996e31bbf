"""Trained weights: the bundled ones, a lab's own, and the authors' files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_save
from torch import Tensor

from napari_mpi.engine.network import Hourglass
from napari_mpi.io.atomic import write_bytes
from napari_mpi.weights.folder import BUNDLED, SUFFIXES, find_weights
from napari_mpi.weights.official import read_official
from napari_mpi.weights.tensors import WeightsError, require_small

__all__ = ["Weights", "load_weights", "save_weights"]

_FORMAT = "napari-mpi-1"
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class Weights:
    """The parameters of one network, with where they came from.

    Attributes
    ----------
    state : mapping of str to Tensor
        The state dict of `napari_mpi.engine.network.Hourglass`.
    image_channels, mask_channels : int
        Shape of the network.
    name : str
        Bundled name or file name.
    sha256 : str
        Hash of the file that was read, hexadecimal; empty if it was never a file.
    card : dict
        What is known of the training: data, steps, seed, loss.
    source : str
        What `load_weights` finds them by again: a name, or the path of a file.
    """

    state: Mapping[str, Tensor]
    image_channels: int
    mask_channels: int
    name: str
    sha256: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def know_noise(self) -> bool:
        """Whether they were trained on images with simulated noise."""
        config = self.card.get("config")
        return isinstance(config, dict) and bool(config.get("noise_share"))

    def build(self) -> Hourglass:
        """Return a new network that holds a copy of these weights."""
        # Its first values are drawn; torch's global generator is the user's.
        with torch.random.fork_rng(devices=[]):
            network = Hourglass(self.image_channels, self.mask_channels)
        network.load_state_dict(self.state)
        return network


def load_weights(source: str | os.PathLike[str] | Weights = "universal") -> Weights:
    """Load weights by bundled name or from a file.

    Parameters
    ----------
    source : str or path or Weights
        A name in `BUNDLED` ("bundled" means the default one), the name of a file in
        the weights folder, a ``.safetensors`` file written by this package, or one of
        the MPI authors' ``.pth`` files.

    Raises
    ------
    FileNotFoundError
        If there is neither such a name nor such a file.
    WeightsError
        If the file is damaged, holds anything but tensors, or does not fit.

    Examples
    --------
    >>> weights = load_weights("universal")
    >>> weights.image_channels
    1
    """
    if isinstance(source, Weights):
        return source
    name = os.fspath(source)
    if name == "bundled":
        name = "universal"
    path = find_weights(name)
    # A file counts for more than a name in the weights folder, see `find_weights`.
    is_file = name not in BUNDLED and Path(name).is_file()
    found_by = str(path.resolve()) if is_file else name
    label = name if name in BUNDLED else path.name
    stat = path.stat()
    loaded = _loaded(path.absolute(), stat.st_size, stat.st_mtime_ns)
    return replace(loaded, name=label, source=found_by)


# A batch asks for the same weights again and again.
@lru_cache(maxsize=4)
def _loaded(path: Path, size: int, mtime_ns: int) -> Weights:
    """Read and check a file of this size, that was written last at this time."""
    require_small(path, size)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".safetensors":
        state, card = _read_safetensors(path)
    elif path.suffix in SUFFIXES:
        state, card = read_official(path), {"origin": "official MPI weights"}
    else:
        raise WeightsError(f"{path}: expected a .safetensors, .pth or .pt file.")
    return _checked(state, sha256, card, path)


def save_weights(
    path: str | os.PathLike[str],
    network: Hourglass,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write a network's weights and card to a ``.safetensors`` file.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Where to write.
    network : Hourglass
        The network; its shape is stored with the weights.
    card : mapping, optional
        JSON-serialisable facts about the training.
    """
    path = Path(path)
    metadata = {
        "format": _FORMAT,
        "image_channels": str(network.image_channels),
        "mask_channels": str(network.mask_channels),
        "card": json.dumps(dict(card or {}), sort_keys=True),
    }
    state = {
        key: value.detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    write_bytes(path, safetensors_save(state, metadata))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        card = json.loads(metadata.get("card", "{}"))
    except (SafetensorError, ValueError, RecursionError, OSError, KeyError) as error:
        raise WeightsError(
            f"{path} is damaged or no safetensors file ({error}). Copy it again, or "
            "choose other weights."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} was not written by napari-mpi (expected the format {_FORMAT!r}, "
            f"found {metadata.get('format')!r}). Choose weights made by "
            "'napari-mpi pretrain'."
        )
    return state, card if isinstance(card, dict) else {}


def _checked(
    state: dict[str, Tensor], sha256: str, card: dict[str, Any], path: Path
) -> Weights:
    """Infer the network's shape from its first and last layer and compare the rest."""
    first = state.get("levels.skip.conv.weight")
    head = state.get("head.weight")
    if first is None or head is None or first.ndim != 4 or head.ndim != 4:
        raise WeightsError(
            f"{path} does not describe the MPI network: its first or last layer is "
            "missing or misshapen."
        )
    image_channels = head.shape[0]
    mask_channels = first.shape[1] - image_channels
    if not 1 <= image_channels <= _MAX_CHANNELS:
        raise WeightsError(
            f"{path} is for images of {image_channels} channels: expected 1 to "
            f"{_MAX_CHANNELS}."
        )
    if mask_channels not in (1, image_channels):
        raise WeightsError(
            f"{path} has {first.shape[1]} input and {image_channels} output channels: "
            "expected image channels plus one mask, or a mask per channel."
        )
    with torch.device("meta"):  # shapes only: nothing is drawn
        expected = Hourglass(image_channels, mask_channels).state_dict()
    wrong = sorted(set(expected) ^ set(state)) or [
        key
        for key, value in expected.items()
        if (value.shape, value.dtype) != (state[key].shape, state[key].dtype)
    ]
    if wrong:
        raise WeightsError(
            f"{path} does not fit the MPI network: {len(wrong)} entries are missing, "
            f"unknown, misshapen or of another type, the first is {wrong[0]!r}."
        )
    if any(not torch.isfinite(value).all() for value in state.values()):
        raise WeightsError(f"{path} contains NaN or infinite weights.")
    return Weights(state, image_channels, mask_channels, path.name, sha256, card)
