"""Places that are spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["evenly", "sampled", "spread_evenly"]

_T = TypeVar("_T")


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


def spread_evenly(items: Sequence[_T], number: int) -> list[_T]:
    """Return at most so many of the items, from the first to the last."""
    places = evenly(len(items) - 1, min(len(items), number))
    return [items[place] for place in places]


def sampled(array: NDArray[Any], most: int) -> NDArray[Any]:
    """Return every n-th value of an array of any shape, little more than so many.

    Examples
    --------
    >>> sampled(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    # An odd stride seldom falls into step with rows, whose length is mostly even.
    return array.reshape(-1)[:: array.size // most | 1]
