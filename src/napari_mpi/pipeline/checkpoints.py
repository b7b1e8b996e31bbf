"""What a run keeps of its finished parts, so that another one can carry on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mpi.engine.adapt import State

__all__ = ["Arrays", "Checkpoints", "KeptParts"]

Arrays = Mapping[str, NDArray[Any]]
Facts = Mapping[str, Any]


class Checkpoints(Protocol):
    """A place where finished parts of one run are kept by name."""

    def save(self, name: str, arrays: Arrays, facts: Facts) -> None:
        """Keep arrays, and facts that JSON can hold, all or nothing."""

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what was kept under a name, or None."""

    def part(self, name: str) -> Checkpoints:
        """Return a place inside this one."""


class KeptParts:
    """The finished parts of one run: adapted networks and planes, by plane number.

    Parameters
    ----------
    place : Checkpoints, optional
        Where they are kept; nowhere, if it is not given.
    """

    def __init__(self, place: Checkpoints | None = None) -> None:
        self._place = place

    def save_plane(self, number: int, arrays: Arrays, facts: Facts) -> None:
        """Keep a finished plane."""
        self._save(f"plane-{number}", arrays, facts)

    def plane(self, number: int) -> tuple[Arrays, dict[str, Any]] | None:
        """Return a finished plane and its facts, if they are there."""
        return self._load(f"plane-{number}")

    def save_networks(self, first: int, states: list[State], facts: Facts) -> None:
        """Keep the networks that are adapted to the planes from `first` on."""
        if self._place is not None:  # or they need not leave their device
            self._save(f"networks-{first}", _arrays_of(states), facts)

    def networks(self, first: int) -> tuple[list[State], dict[str, Any]] | None:
        """Return the adapted networks and their facts, if they are there.

        Of a plane that is finished only the facts are there.
        """
        kept = self._load(f"networks-{first}")
        if kept is None:
            return None
        arrays, facts = kept
        if not arrays and self.plane(first) is None:
            return None
        return _states_of(arrays), facts

    def forget_networks(self, first: int) -> None:
        """Keep no networks of a plane that is finished, only their facts."""
        name = f"networks-{first}"
        kept = self._load(name)
        if kept is not None:
            self._save(name, {}, kept[1])

    def _save(self, name: str, arrays: Arrays, facts: Facts) -> None:
        if self._place is not None:
            self._place.save(name, arrays, facts)

    def _load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        return None if self._place is None else self._place.load(name)


def _arrays_of(states: list[State]) -> Arrays:
    """Return the state dicts of networks as one mapping of arrays."""
    return {
        f"{number}/{key}": np.asarray(value.cpu().numpy())
        for number, state in enumerate(states)
        for key, value in state.items()
    }


def _states_of(arrays: Arrays) -> list[State]:
    """Undo `_arrays_of`."""
    states: dict[int, State] = {}
    for name, array in arrays.items():
        number, _, key = name.partition("/")
        states.setdefault(int(number), {})[key] = torch.from_numpy(np.array(array))
    return [states[number] for number in sorted(states)]
