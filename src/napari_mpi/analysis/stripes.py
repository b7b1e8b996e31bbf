"""Noise that all pixels of a row, or of a column, have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRIPED", "stripe_variances"]

STRIPED = 0.05
"""Stripes count that hold more of the noise's variance than this."""

Array = NDArray[np.float64]

# Stripes are sought in so many parts of each row, and may be so many times as strong
# as the median one.
_N_PARTS = 4
_MOST_TYPICAL = 4.5


def stripe_variances(planes: Array) -> tuple[float, float]:
    """Return the variances of what rows, and columns, have in common, over planes.

    Parameters
    ----------
    planes : ndarray
        Shape (N, Y, X).
    """
    return _common_to_rows(planes), _common_to_rows(planes.swapaxes(1, 2))


def _common_to_rows(planes: Array) -> float:
    """Return the variance of what all pixels of a row have in common, over planes.

    Each row is compared with its neighbours in several parts of its length. What the
    parts agree on is common to the row; structure seldom goes on so far. Where it does,
    as gratings do, it changes from row to row as gently as optics let it, whereas rows
    have values of their own.

    Parameters
    ----------
    planes : ndarray
        Shape (N, Y, X).
    """
    difference = planes[:, 1:-1] - (planes[:, :-2] + planes[:, 2:]) / 2
    n_parts = min(_N_PARTS, planes.shape[2])
    found = []
    for plane in difference:
        parts = np.stack(
            [np.median(part, axis=1) for part in np.array_split(plane, n_parts, axis=1)]
        )
        # A few rows that differ, as at the edge of something straight, are no stripes.
        typical = np.median(np.abs(parts), axis=1, keepdims=True)
        parts = np.clip(parts, -_MOST_TYPICAL * typical, _MOST_TYPICAL * typical)
        others = ~np.eye(n_parts, dtype=bool)
        same = (parts @ parts.T / parts.shape[1])[others]
        next_row = (parts[:, 1:] @ parts[:, :-1].T / (parts.shape[1] - 1))[others]
        # A row's own value, and half of the two beside it: 1.5 times the variance, and
        # with the same of the next row, minus once.
        found.append(min(np.quantile(same, 0.25) / 1.5, np.quantile(-next_row, 0.25)))
    return max(float(np.mean(found)), 0.0)
