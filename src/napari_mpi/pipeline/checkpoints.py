"""What a run keeps of its finished parts, so that another one can carry on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mpi.engine.adapt import State

__all__ = ["Arrays", "Checkpoints", "arrays_of", "states_of"]

Arrays = Mapping[str, NDArray[Any]]


class Checkpoints(Protocol):
    """A place where finished parts of one run are kept by name."""

    def save(self, name: str, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Keep arrays, and facts that JSON can hold, all or nothing."""

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what was kept under a name, or None."""

    def part(self, name: str) -> Checkpoints:
        """Return a place inside this one."""


def arrays_of(states: list[State]) -> Arrays:
    """Return the state dicts of networks as one mapping of arrays."""
    return {
        f"{number}/{key}": np.asarray(value.cpu().numpy())
        for number, state in enumerate(states)
        for key, value in state.items()
    }


def states_of(arrays: Arrays) -> list[State]:
    """Undo `arrays_of`."""
    states: dict[int, State] = {}
    for name, array in arrays.items():
        number, _, key = name.partition("/")
        states.setdefault(int(number), {})[key] = torch.from_numpy(np.array(array))
    return [states[number] for number in sorted(states)]
