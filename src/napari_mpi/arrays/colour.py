"""Colours taken apart for gray weights, which fill one component after the other.

Noise that is independent in red, green and blue stays so under an orthonormal change of
the colour axes. But structure that the three have in common gathers in the brightness,
where it stands out from the noise. The colour version of BM3D (Dabov et al., ICIP 2007)
does the same. Where red, green and blue are three stains, nothing would gather: each
component would hold the structure of all and the noise of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "BRIGHTNESS_FIRST",
    "ONE_BY_ONE",
    "ColourAxes",
    "have_structure_in_common",
    "light_in_difference",
]

_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
# Structure is looked at between these widths of a Gaussian, in pixels of each half.
_FINE, _COARSE = 1.0, 4.0
# Photographs and stained tissue have 0.7 or more of it in the brightness, three stains
# that have nothing to do with each other a third.
_MUCH = 0.6


def have_structure_in_common(planes: Iterable[NDArray[Any]]) -> bool:
    """Tell whether red, green and blue show the same structure, as photographs do.

    Parameters
    ----------
    planes : iterable of ndarray
        RGB planes, shape (Y, X, 3 or more), which are looked at one by one.

    Notes
    -----
    Two halves of the pixels, whose noise is independent, are multiplied: what is left
    is the covariance of structure alone.
    """
    covariance = np.zeros((3, 3))
    # What is not finite, or too large, is refused when the planes are read.
    with np.errstate(invalid="ignore", over="ignore"):
        for plane in planes:
            height, width = (size // 2 * 2 for size in plane.shape[:2])
            one, other = (
                _band(plane[start:height:2, start:width:2, :3]).reshape(-1, 3)
                for start in (0, 1)
            )
            covariance += one.T @ other
    total = float(np.trace(covariance))
    return total > 0 and float(covariance.sum()) / 3 > _MUCH * total


def _band(rgb: NDArray[Any]) -> NDArray[np.float64]:
    values = rgb.astype(np.float64)
    fine, coarse = (
        ndimage.gaussian_filter(values, (sigma, sigma, 0)) for sigma in (_FINE, _COARSE)
    )
    band: NDArray[np.float64] = fine - coarse
    return band


@dataclass(frozen=True)
class ColourAxes:
    """A way to take colours apart, and to put them together again.

    Attributes
    ----------
    names : tuple of str
        Of the three components.
    split : callable
        Takes RGB in the last axis to components in the first axis, float64.
    join : callable
        Undoes `split`.
    join_errors : callable
        Takes the standard errors of components, which are taken to err independently,
        to those of red, green and blue.
    """

    names: tuple[str, str, str]
    split: Callable[[NDArray[Any]], NDArray[np.float64]]
    join: Callable[[NDArray[Any]], NDArray[np.float64]]
    join_errors: Callable[[NDArray[Any]], NDArray[np.float64]]


def _to_opponent(rgb: NDArray[Any]) -> NDArray[np.float64]:
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.float64), -1, 0)
    # Differences first: of a gray image they are 0 exactly.
    sums = (red + green + blue, red - blue, (red - green) - (green - blue))
    lengths = np.sqrt([3, 2, 6]).reshape(3, *[1] * (rgb.ndim - 1))
    components: NDArray[np.float64] = np.stack(sums) / lengths
    return components


def _from_opponent(components: NDArray[Any]) -> NDArray[np.float64]:
    rgb: NDArray[np.float64] = np.moveaxis(components, 0, -1) @ _AXES
    return rgb


def _opponent_errors_to_rgb(errors: NDArray[Any]) -> NDArray[np.float64]:
    variances = np.moveaxis(np.asarray(errors, np.float64) ** 2, 0, -1) @ _AXES**2
    rgb: NDArray[np.float64] = np.sqrt(variances)
    return rgb


def light_in_difference(number: int, rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Return the light that a colour difference of `BRIGHTNESS_FIRST` is made of.

    Parameters
    ----------
    number : int
        Of the component: 1 or 2.
    rgb : ndarray
        Shape (..., 3 or more).

    Returns
    -------
    ndarray
        Shape (...): the sum of red, green and blue, each times its squared share in the
        difference, as the variance of photon noise adds up.
    """
    light: NDArray[np.float64] = rgb[..., :3].astype(np.float64) @ _AXES[number] ** 2
    return light


def _to_channels(rgb: NDArray[Any]) -> NDArray[np.float64]:
    return np.moveaxis(rgb[..., :3].astype(np.float64), -1, 0)


def _from_channels(channels: NDArray[Any]) -> NDArray[np.float64]:
    return np.moveaxis(np.asarray(channels, np.float64), 0, -1)


BRIGHTNESS_FIRST = ColourAxes(
    ("brightness", "red-blue", "green-magenta"),
    _to_opponent,
    _from_opponent,
    _opponent_errors_to_rgb,
)
"""For colours that have structure in common: photographs, stained tissue."""

ONE_BY_ONE = ColourAxes(
    ("red", "green", "blue"), _to_channels, _from_channels, _from_channels
)
"""For colours that are stains of their own."""
