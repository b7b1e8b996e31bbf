"""Layers that wait to be denoised one after the other, and what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from napari_mpi._napari.selection import LayerPart

__all__ = ["RunQueue"]


class RunQueue:
    """Layers that wait to be denoised one after the other, and what became of each.

    Parameters
    ----------
    parts : iterable of LayerPart
        What is to be done; each layer fails on its own.

    Attributes
    ----------
    n_done : int
        How many layers are done.
    several : bool
        Whether there was more than one from the beginning.
    """

    def __init__(self, parts: Iterable[LayerPart] = ()) -> None:
        self._waiting = deque(parts)
        self._n_layers = len(self._waiting)
        self.several = self._n_layers > 1
        self._n_begun = 0
        self.n_done = 0
        self._outcomes: list[str] = []
        self._left: list[str] = []

    def next(self) -> LayerPart | None:
        """Take the next one, or None when nothing waits."""
        if not self._waiting:
            return None
        self._n_begun += 1
        return self._waiting.popleft()

    def clear(self) -> None:
        """Let nothing wait any more."""
        self._left += [f"{part.layer.name}: Not begun." for part in self._waiting]
        self._waiting.clear()

    def place(self, name: str) -> str:
        """Return the beginning of a progress text: which of several layers is on."""
        if not self.several:
            return ""
        return f"{name} ({self._n_begun} of {self._n_layers} layers): "

    def note(self, name: str, outcome: str, *, done: bool = False) -> str:
        """Keep what became of a layer, and return what to say of all so far."""
        self.n_done += done
        if not self.several:
            return outcome
        self._outcomes.append(f"{name}: {outcome}")
        total = f"{self.n_done} of {self._n_layers} layers are done."
        return "\n".join([total, *self._outcomes, *self._left])
