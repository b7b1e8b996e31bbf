"""What a training carries on with after an interruption."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from napari_mpi.engine.network import Hourglass
from napari_mpi.io.atomic import write_bytes
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.corpus import Source
from napari_mpi.weights.loading import Weights
from napari_mpi.weights.tensors import WeightsError, read_tensors

__all__ = ["Checkpoint", "settings_of"]


# What may differ: how long to train, and in how many processes. The rest decides what
# is trained, and on what.
_BUDGET = ("steps", "minutes")
_FREE = (*_BUDGET, "checkpoint_every", "processes")
# What reading a checkpoint of another kind can end in.
_FOREIGN: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError)
_FOREIGN += (RuntimeError, TypeError, ValueError)

Settings = dict[str, Any]


class Checkpoint:
    """Where a training stands, in memory and in a ``.ckpt`` file.

    Parameters
    ----------
    network, optimizer
        What is trained; `load` changes both.
    config : PretrainConfig
        The budget.
    settings : dict
        As `settings_of` returns them; they travel in the file.
    """

    def __init__(
        self,
        network: Hourglass,
        optimizer: torch.optim.Optimizer,
        config: PretrainConfig,
        settings: Settings,
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._config, self._settings = config, settings
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []

    def progress(self) -> float:
        """Return the share of the budget that is spent."""
        if self._config.steps is not None:
            return self.step / self._config.steps
        assert self._config.minutes is not None
        return self.seconds / (60 * self._config.minutes)

    def took(self, loss: float, seconds: float) -> None:
        """Count a step."""
        self.step += 1
        self.seconds += seconds
        self.losses.append(loss)

    def save(self, path: Path) -> None:
        """Write the file; it appears under its name only when it is complete."""
        content = {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "settings": self._settings,
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        # torch would tell a full disk in words of its own.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Carry on from a file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        WeightsError
            If it is no checkpoint, or one of a training with other settings.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no checkpoint {path}.")
        saved = read_tensors(path)
        try:
            if not isinstance(saved, dict):
                raise TypeError(f"expected a dict, got a {type(saved).__name__}")
            _require_same(dict(saved["settings"]), self._settings, path)
            self._network.load_state_dict(saved["network"])
            # How large Adam's steps are is for this run to say.
            groups = self._optimizer.state_dict()["param_groups"]
            moments = saved["optimizer"]["state"]
            self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
            self.step = int(saved["step"])
            self.seconds = float(saved["seconds"])
            self.losses = [float(loss) for loss in saved["losses"]]
            self._check()
        except WeightsError:
            raise
        except _FOREIGN as error:
            raise WeightsError(
                f"{path} is no checkpoint of this training ({error}). Give the .ckpt "
                "file that an interrupted run left."
            ) from error

    def _check(self) -> None:
        if self.step < 0 or not 0 <= self.seconds < math.inf:
            raise ValueError(f"it counts {self.step} steps in {self.seconds} s")
        if len(self.losses) != self.step:
            raise ValueError(f"it has {len(self.losses)} losses of {self.step} steps")
        tensors = list(self._network.state_dict().values())
        for parameter in self._network.parameters():
            moments = self._optimizer.state[parameter]
            tensors.append(moments["step"])
            for key in ("exp_avg", "exp_avg_sq"):
                if moments[key].shape != parameter.shape:
                    raise ValueError(f"{key} has the shape {tuple(moments[key].shape)}")
                tensors.append(moments[key])
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise ValueError("it holds NaN or infinite numbers")


def settings_of(
    config: PretrainConfig,
    initial: Weights | None,
    corpus: list[list[Source]],
    n_processes: int,
) -> Settings:
    """Return all that decides what a training makes: settings, start and images."""
    images = hashlib.sha256()
    for folder in corpus:
        for source in folder:
            facts = (source.name, source.planes.shape, source.scaling)
            images.update(repr(facts).encode())
        images.update(b"|")
    start = None if initial is None else initial.sha256 or initial.name
    return {
        **asdict(config),
        # Chosen by the program or by hand, the same rate trains the same weights.
        "learning_rate": config.first_learning_rate(from_weights=initial is not None),
        "initial_weights": start,
        "images": images.hexdigest(),
        "processes": n_processes,
    }


def _require_same(saved: Settings, new: Settings, path: Path) -> None:
    different = [
        key for key in sorted({*saved, *new}) if saved.get(key) != new.get(key)
    ]
    refused = [key for key in different if key not in _FREE]
    if refused:
        raise WeightsError(
            f"{path} was left by a training with other settings: "
            f"{_in_words(refused, saved, new)}. Give the same settings and images, or "
            "start anew without the checkpoint."
        )
    budget = [key for key in different if key in _BUDGET]
    if budget:
        warnings.warn(
            "The training goes on with another budget, and the learning rate follows "
            f"it: {_in_words(budget, saved, new)}.",
            stacklevel=2,
        )
    if "processes" in different:
        warnings.warn(
            "The training goes on in another number of processes. From here on it "
            "draws other crops, and another number of them for each step: "
            f"{_in_words(['processes'], saved, new)}.",
            stacklevel=2,
        )


def _in_words(keys: list[str], saved: Settings, new: Settings) -> str:
    return "; ".join(
        "the images are not the same"
        if key == "images"
        else f"{key} was {_short(saved.get(key))}, now {_short(new.get(key))}"
        for key in keys
    )


def _short(value: Any) -> str:
    return (
        f"{value[:12]}…" if isinstance(value, str) and len(value) > 40 else str(value)
    )
