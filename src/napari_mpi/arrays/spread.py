"""Places that are spread evenly."""

from __future__ import annotations

import numpy as np

__all__ = ["evenly"]


def evenly(last: int, number: int) -> list[int]:
    """Return so many whole numbers from 0 to the last; a single one is in the middle.

    Examples
    --------
    >>> evenly(9, 4), evenly(9, 1)
    ([0, 3, 6, 9], [4])
    """
    if number == 1:
        return [last // 2]
    places: list[int] = np.linspace(0, last, number).round().astype(int).tolist()
    return places
