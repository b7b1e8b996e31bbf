"""Several processes that train the same weights, one on each graphics card."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch

from napari_mpi.engine.devices import resolve_device
from napari_mpi.engine.network import Hourglass

__all__ = ["Processes", "join_processes"]

# Reading images can take one process minutes longer than another.
_TIMEOUT = timedelta(minutes=10)

T = TypeVar("T")


class Processes:
    """The processes that train together, seen by one of them; usually it is alone.

    Each draws crops of its own. Nothing but gradients and figures is shared: batch norm
    has the statistics of a single crop, so there is none to synchronise.

    Parameters
    ----------
    device : torch.device
        What this process computes on.
    rank, count : int
        Which of how many processes this is.
    """

    def __init__(self, device: torch.device, rank: int = 0, count: int = 1) -> None:
        self.device, self.rank, self.count = device, rank, count

    @property
    def is_main(self) -> bool:
        """Whether this process writes what comes of the training."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Return a seed that no other process has; the first one keeps the run's."""
        if self.is_main:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def mean(self, *figures: float) -> list[float]:
        """Return the means over all processes, the same to the last bit in each."""
        if self.count == 1:
            return list(figures)
        means: list[float] = self._mean(
            torch.tensor(figures, dtype=torch.float64)
        ).tolist()
        return means

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        return self.mean(float(flag))[0] > 0

    def average_gradients(self, network: Hourglass) -> None:
        """Replace each gradient by its mean over all processes."""
        if self.count == 1:
            return
        gradients = [
            parameter.grad
            for parameter in network.parameters()
            if parameter.grad is not None
        ]
        # One message costs less than one for each parameter.
        own = torch.cat([gradient.flatten() for gradient in gradients]).cpu()
        means = self._mean(own)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(means, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def require_same(self, facts: dict[str, Any]) -> None:
        """Wait until all processes are here, and check that they are at the same.

        Raises
        ------
        ValueError
            If the facts differ between processes.
        """
        if self.count == 1:
            return
        from accelerate.utils import gather_object

        everyone = _together(lambda: gather_object([facts]))
        different = sorted(
            {key for other in everyone for key in facts if other[key] != facts[key]}
        )
        if different:
            raise ValueError(
                f"The {self.count} processes do not train the same weights; they "
                f"differ in {', '.join(different)}. Give all of them the same images, "
                "settings and checkpoint."
            )

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.mean(0.0)

    def _mean(self, tensor: torch.Tensor) -> torch.Tensor:
        from accelerate.utils import reduce

        mean: torch.Tensor = _together(lambda: reduce(tensor, "mean"))
        return mean


def join_processes(device: str = "auto") -> Processes:
    """Meet the other processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda" or "mps". Of several processes, each takes a card of its
        own.

    Raises
    ------
    ImportError
        If there are several processes, but no package through which they could talk.
    ValueError
        If the device is not present, or no device for several processes.
    ConnectionError
        If the other processes do not come.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(resolve_device(device))
    if "LOCAL_RANK" not in os.environ:
        raise ValueError(
            f"WORLD_SIZE is {count}, but LOCAL_RANK is not set: start several "
            "processes with torchrun, or unset WORLD_SIZE."
        )
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ImportError(
            "Training in several processes needs Accelerate: run "
            "`pip install 'napari-mpi[multi-gpu]'`."
        ) from error
    own_device = _own_device(device, int(os.environ["LOCAL_RANK"]))
    if own_device.type == "cuda":
        torch.cuda.set_device(own_device)
    # Through main memory: a step's message is 3 MB only, and a process that waits for
    # one that is gone gets an error at once, which it does not from card to card.
    state = _together(lambda: PartialState(cpu=True, timeout=_TIMEOUT))
    atexit.register(state.destroy_process_group)
    return Processes(own_device, state.process_index, state.num_processes)


def _own_device(name: str, local_rank: int) -> torch.device:
    kind = resolve_device(name).type
    if kind == "cuda" and ":" not in name:
        return resolve_device(f"cuda:{local_rank}")
    if kind == "cpu":
        return torch.device("cpu")
    raise ValueError(
        f"The device {name!r} is for one process: give cuda, for a graphics card each, "
        "or cpu."
    )


def _together(exchange: Callable[[], T]) -> T:
    """Do what needs all processes, and say so in plain words if one is missing."""
    try:
        return exchange()
    except RuntimeError as error:
        cause, _, _ = str(error).partition(". ")  # what follows is advice to developers
        raise ConnectionError(
            "Another process of this training ended, or did not answer for "
            f"{_TIMEOUT.total_seconds() / 60:g} minutes ({cause}). See what it said; "
            "if there is a checkpoint, --resume carries on from it."
        ) from error
