"""Brightness and colour differences, which gray weights fill one after the other.

Noise that is independent in red, green and blue stays so, and stays as strong, under
an orthonormal change of the colour axes. But structure, which the three have in common
for the most part, gathers in the brightness, where it stands out from the noise. The
colour version of BM3D (Dabov et al., ICIP 2007) does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_opponent", "opponent_errors_to_rgb", "to_opponent"]

_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def to_opponent(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Return brightness, red-blue and green-magenta.

    Parameters
    ----------
    rgb : ndarray
        Colour in the last axis, red, green and blue first.

    Returns
    -------
    ndarray
        float64, the three components in the first axis.
    """
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.float64), -1, 0)
    # Differences first: of a gray image they are 0 exactly.
    sums = (red + green + blue, red - blue, (red - green) - (green - blue))
    lengths = np.sqrt([3, 2, 6]).reshape(3, *[1] * (rgb.ndim - 1))
    components: NDArray[np.float64] = np.stack(sums) / lengths
    return components


def from_opponent(components: NDArray[Any]) -> NDArray[np.float64]:
    """Undo `to_opponent`."""
    rgb: NDArray[np.float64] = np.moveaxis(components, 0, -1) @ _AXES
    return rgb


def opponent_errors_to_rgb(errors: NDArray[Any]) -> NDArray[np.float64]:
    """Return the standard errors of red, green and blue from those of components.

    Parameters
    ----------
    errors : ndarray
        Standard errors of the three components, in the first axis, which are taken to
        err independently.
    """
    variances = np.moveaxis(np.asarray(errors, np.float64) ** 2, 0, -1) @ _AXES**2
    rgb: NDArray[np.float64] = np.sqrt(variances)
    return rgb
