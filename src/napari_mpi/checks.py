"""Checks of the fields of frozen dataclasses, which name the field in their words.

Each leaves a number of Python in the field: those of NumPy fit in no report.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np

__all__ = [
    "require_bool",
    "require_choice",
    "require_positive",
    "require_share",
    "require_whole",
]


def require_whole(config: object, name: str, minimum: int) -> None:
    """Refuse a field that is no whole number of at least `minimum`."""
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(
            f"{name} is {value!r}: expected a whole number, at least {minimum}."
        )
    object.__setattr__(config, name, int(value))


def require_bool(config: object, name: str) -> None:
    """Refuse a field that is neither True nor False."""
    value = getattr(config, name)
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}: expected True or False.")
    object.__setattr__(config, name, bool(value))


def require_positive(config: object, name: str) -> None:
    """Refuse a field that is no finite number above 0."""
    value = getattr(config, name)
    if not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} is {value!r}: expected a finite number above 0.")
    object.__setattr__(config, name, float(value))


def require_share(config: object, name: str) -> None:
    """Refuse a field that is no number from 0 to 1."""
    value = getattr(config, name)
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} is {value!r}: expected a share, 0 to 1.")
    object.__setattr__(config, name, float(value))


def require_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    """Refuse a field that is none of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(choices)}.")
