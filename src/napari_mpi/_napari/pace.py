"""How often a panel follows what is going on, and how long that still takes."""

from __future__ import annotations

import time

__all__ = ["Pace"]


class Pace:
    """Keeps a panel from following each step of a fast run.

    Parameters
    ----------
    interval : float
        Seconds between two looks.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last = 0.0
        self._begun: tuple[float, float] | None = None  # when, and how much was done

    def restart(self) -> None:
        """Measure the time that is left from the next look on."""
        self._begun = None

    def due(self) -> bool:
        """Whether it is time for another look, which is counted from now."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return False
        self._last = now
        return True

    def left(self, fraction: float) -> float | None:
        """Return the seconds that are left, when so much of 1 is done.

        None as long as nothing was done since the first look.
        """
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, fraction)
        since, already = self._begun
        if fraction <= already:
            return None
        return (now - since) * (1 - fraction) / (fraction - already)
