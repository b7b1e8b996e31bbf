"""Trained weights: the bundled ones, a lab's own, and the authors' files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_save
from torch import Tensor

from napari_mpi.engine.network import N_LEVELS, Hourglass
from napari_mpi.io.atomic import write_bytes

__all__ = [
    "BUNDLED",
    "SUFFIXES",
    "Weights",
    "WeightsError",
    "load_weights",
    "prefer_weights_folder",
    "read_tensors",
    "save_weights",
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

_FORMAT = "napari-mpi-1"
# A network of this kind has 3 MB of weights; far more than that is something else.
_MAX_BYTES = 256 * 2**20
_MAX_CHANNELS = 64


class WeightsError(ValueError):
    """A weights file that cannot be used, and why."""


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
    path = _find(name)
    label = name if name in BUNDLED else path.name
    _require_small(path, path.stat().st_size)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".safetensors":
        state, card = _read_safetensors(path)
    elif path.suffix in SUFFIXES:
        state, card = _read_official(path), {"origin": "official MPI weights"}
    else:
        raise WeightsError(f"{path}: expected a .safetensors, .pth or .pt file.")
    # A file counts for more than a name in the weights folder, see `_find`.
    is_file = name not in BUNDLED and Path(name).is_file()
    found_by = str(path.resolve()) if is_file else name
    return replace(_checked(state, label, sha256, card, path), source=found_by)


def _require_small(path: Path, n_bytes: int) -> None:
    if n_bytes > _MAX_BYTES:
        raise WeightsError(
            f"{path} is {n_bytes / 2**20:.0f} MiB large: weights of this network take "
            "about 3 MiB, so this is another kind of file."
        )


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


def _find(name: str) -> Path:
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
    _require_small(path, path.stat().st_size)
    content = io.BytesIO(path.read_bytes())
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                # A little can unpack into a lot.
                _require_small(path, sum(one.file_size for one in archive.infolist()))
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


def _read_official(path: Path) -> dict[str, Tensor]:
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


def _checked(
    state: dict[str, Tensor], name: str, sha256: str, card: dict[str, Any], path: Path
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
    return Weights(state, image_channels, mask_channels, name, sha256, card)
