"""Pixels that tell nothing: dead ones, saturated ones, salt and pepper.

They stand at the lowest or highest value of an image with nothing of it around them.
Neither photons nor what a lens images do so: photons come in all numbers, and the light
of a point reaches its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.intensity import to_dtype

__all__ = ["fill_stuck", "stuck_pixels"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Fewer may be what they seem, and of more the surroundings do not tell.
_LEAST_NUMBER, _LEAST_SHARE, _HIGHEST_SHARE = 8, 5e-4, 0.2
# Counts of few photons have fewer different values than this.
_N_VALUES, _N_SAMPLES = 32, 100_000
# Between a pixel that is certainly stuck and its surroundings lie so many of their
# median deviations, and this share of the range of all values. Where there are such,
# less is enough for others.
_FAR, _FAR_ENOUGH, _FAR_IN_RANGE = 9.0, 1.0, 0.05
# Of eight neighbours and of twenty-four, those at the same value and those at another.
_MOST_ALIKE, _LEAST_SOUND = 3, 12
# Stuck pixels neighbour each other by chance, which allows this multiple, and do not
# lift their direct neighbours towards them by more than this share of their height.
_GATHERED, _LIFTED = 3.0, 0.05
# Photons and speckle that leave the range come close to its end as often: within this
# share of the range no more than this share of those at the end.
_CLOSE, _MOST_CLOSE = 0.1, 0.2
_CHUNK = 100_000  # pixels that are looked at together

_RING = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if (y, x) != (0, 0)]
_NEAR = np.array([max(abs(y), abs(x)) == 1 for y, x in _RING])
_DIRECT = np.array([abs(y) + abs(x) == 1 for y, x in _RING])


def stuck_pixels(plane: NDArray[Any]) -> Flags:
    """Find pixels that are stuck at the lowest or at the highest value.

    Parameters
    ----------
    plane : ndarray
        Shape (Y, X), real and finite, at least 3 pixels a side.

    Returns
    -------
    ndarray
        True where a pixel is stuck, shape (Y, X). None is if there are but a few, if
        they gather in places, or if light of theirs reaches their neighbours.

    Notes
    -----
    This finds salt-and-pepper noise of up to a tenth of the pixels. Pixels that are
    stuck each at a value of its own are not found: of hot ones that are few, noise lets
    `napari_mpi.analysis.noisy_values.without_outliers` limit what they add.
    """
    flags = np.zeros(plane.shape, bool)
    for value in (plane.min(), plane.max()):
        flags |= _stuck_at(value, plane)
    return flags


def fill_stuck(planes: NDArray[Any], *, of_one_image: bool = False) -> NDArray[Any]:
    """Replace stuck pixels by what those around them tell that are not.

    Parameters
    ----------
    planes : ndarray
        Shape (N, Y, X), real and finite, at least 3 pixels a side.
    of_one_image : bool
        Whether the planes are the colours of one image. What one differs from another
        then often varies less from pixel to pixel than it does itself.

    Returns
    -------
    ndarray
        A copy of the same shape and type. A stuck pixel is the median of its
        neighbours, or that of their difference from another colour, added to that,
        whichever these agree about better.
    """
    flags = [stuck_pixels(plane) for plane in planes]
    filled = planes.copy()
    for number, stuck in enumerate(flags):
        others = [n for n in range(len(planes)) if of_one_image and n != number]
        for chunk in _chunks(np.argwhere(stuck)) if stuck.any() else ():
            ring = _sound_around(planes[number], stuck, chunk)
            values, disagreement = _told_by(ring)
            for other in others:
                at_place = planes[other][tuple(chunk.T)].astype(np.float64)
                at_place[flags[other][tuple(chunk.T)]] = np.nan
                around = _sound_around(planes[other], flags[other], chunk)
                difference, differing = _told_by(ring - around)
                better = (differing < disagreement) & ~np.isnan(at_place)
                values[better] = (at_place + difference)[better]
                disagreement[better] = differing[better]
            filled[number][tuple(chunk.T)] = to_dtype(values, planes.dtype)
    return filled


def _told_by(ring: Array) -> tuple[Array, Array]:
    """Return a median of what is around places (N, 24), and how much that scatters."""
    nearest, wider = _median(ring[:, _NEAR]), _median(ring)
    values = np.where(np.isnan(nearest), wider, nearest)
    return values, _median(np.abs(ring - values[:, None]))


def _sound_around(plane: NDArray[Any], stuck: Flags, places: NDArray[np.intp]) -> Array:
    """Return the values around places as `_around` does, NaN where they are stuck."""
    return np.where(_around(stuck, places), np.nan, _around(plane, places))


def _stuck_at(value: Any, plane: NDArray[Any]) -> Flags:
    """Find the pixels that are stuck at an extreme value."""
    none = np.zeros(plane.shape, bool)
    at_value = plane == value
    n_at_value = np.count_nonzero(at_value)
    least = max(_LEAST_NUMBER, _LEAST_SHARE * plane.size)
    if not least <= n_at_value <= _HIGHEST_SHARE * plane.size:
        return none
    if _may_be_counts(float(value), plane[~at_value]):
        return none
    certain, likely, lift = _standing_alone(plane, at_value)
    n_certain = int(np.count_nonzero(certain))
    if n_certain < least or lift > _LIFTED:
        return none
    n_pairs = sum(
        np.count_nonzero(_around(certain, chunk)[:, _NEAR])
        for chunk in _chunks(np.argwhere(certain))
    )
    by_chance = n_certain * 8 * n_certain / plane.size
    if n_pairs > _GATHERED * by_chance + _LEAST_NUMBER:
        return none
    margin = _CLOSE * (float(plane.max()) - float(plane.min()))
    close = np.abs(plane.astype(np.float64) - float(value)) < margin
    also, _, _ = _standing_alone(plane, close)
    if np.count_nonzero(also & ~at_value) > _MOST_CLOSE * n_certain:
        return none
    return likely


def _standing_alone(plane: NDArray[Any], chosen: Flags) -> tuple[Flags, Flags, float]:
    """Tell which of some pixels stand alone: certainly, or likely, shape (Y, X).

    The third is by how much the direct neighbours of the certain ones are lifted
    towards them, as a share of their height, in the mean.
    """
    certain, likely = np.zeros((2, *plane.shape), bool)
    extent = float(plane.max()) - float(plane.min())
    lifts = []
    for chunk in _chunks(np.argwhere(chosen)):
        alike = _around(chosen, chunk).astype(bool)
        sound = np.where(alike, np.nan, _around(plane, chunk))
        middle = _median(sound)
        height = plane[tuple(chunk.T)].astype(np.float64) - middle
        deviation = _median(np.abs(sound - middle[:, None]))
        is_likely = np.abs(height) > _FAR_IN_RANGE * extent
        is_likely &= np.abs(height) > _FAR_ENOUGH * deviation
        is_likely &= alike[:, _NEAR].sum(axis=1) <= _MOST_ALIKE
        is_likely &= (~alike).sum(axis=1) >= _LEAST_SOUND
        is_certain = is_likely & (np.abs(height) > _FAR * deviation)
        likely[tuple(chunk[is_likely].T)] = True
        certain[tuple(chunk[is_certain].T)] = True
        lift = (_median(sound[:, _DIRECT]) - middle)[is_certain] / height[is_certain]
        lifts.append(lift[np.isfinite(lift)])
    known = np.concatenate(lifts)
    return certain, likely, float(known.mean()) if len(known) else 0.0


def _may_be_counts(value: float, others: NDArray[Any]) -> bool:
    """Tell whether an extreme value may be one of a few photon counts."""
    low, high = float(others.min()), float(others.max())
    gap = max(low - value, value - high)
    if low == high or gap > high - low:
        return low == high
    sample = others[:: max(1, others.size // _N_SAMPLES)]
    return len(np.unique(sample)) < _N_VALUES


def _chunks(places: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for start in range(0, max(len(places), 1), _CHUNK):
        yield places[start : start + _CHUNK]


def _around(plane: NDArray[Any], places: NDArray[np.intp]) -> Array:
    """Return the 24 values around each of N places, shape (N, 24), float64."""
    last = np.array(plane.shape) - 1
    values = np.empty((len(places), len(_RING)))
    for number, shift in enumerate(_RING):
        # Beyond the border comes what is mirrored in it.
        y, x = (last - np.abs(last - np.abs(places + shift))).T
        values[:, number] = plane[y, x]
    return values


def _median(values: Array) -> Array:
    """Return the median of each row of (N, K) without NaN; of nothing, NaN."""
    ordered = np.sort(values, axis=1)  # NaN come last
    n_known = np.count_nonzero(~np.isnan(values), axis=1)
    rows = np.arange(len(values))
    below, above = np.maximum(n_known - 1, 0) // 2, n_known // 2
    above = np.minimum(above, values.shape[1] - 1)
    median: Array = (ordered[rows, below] + ordered[rows, above]) / 2
    return median
