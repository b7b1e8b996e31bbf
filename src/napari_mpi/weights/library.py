"""The weights that are here or can be had: list, import, delete."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_mpi.io.atomic import staged
from napari_mpi.weights.download import ONLINE
from napari_mpi.weights.folder import BUNDLED, SUFFIXES, weights_folder
from napari_mpi.weights.loading import load_weights
from napari_mpi.weights.tensors import WeightsError

__all__ = [
    "WeightsFacts",
    "delete_weights",
    "files_of_weights",
    "import_weights",
    "installed_weights",
    "weights_facts",
]

# What a training leaves beside its weights.
_COMPANIONS = (".ckpt", ".loss.csv", ".loss.png")


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
