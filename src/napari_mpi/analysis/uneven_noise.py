"""Noise that is stronger in some parts of an image than in others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.noise import NoiseEstimate, estimate_noise

__all__ = ["with_strongest"]

# Parts along Y and X, and their shortest side in pixels.
_N_PARTS, _SHORTEST = 3, 64
# Texture has neighbours that correlate more; noise of single pixels has not.
_MOST_CORRELATION = 0.15


def with_strongest(
    noise: NoiseEstimate, plane: NDArray[Any], intensity: NDArray[Any] | None = None
) -> NoiseEstimate:
    """Look for noise that the estimate of a whole image misses.

    A correction of shading makes one side of an image noisier than the other, and in a
    montage each panel has noise of its own. The estimate of the whole is that of the
    quietest places.

    Parameters
    ----------
    noise : NoiseEstimate
        Of the whole image.
    plane : ndarray
        A plane of it, shape (Y, X), real and finite.
    intensity : ndarray, optional
        What the noise depends on, if not the plane's own values; of the same shape.

    Returns
    -------
    NoiseEstimate
        With `strongest` of the part with the strongest noise, of those in which
        neighbours do not share it, if that is stronger than in the whole.
    """
    numbers = [min(_N_PARTS, size // _SHORTEST) for size in plane.shape]
    if max(numbers) < 2:
        return noise
    rows, columns = (
        np.array_split(np.arange(size), max(number, 1))
        for size, number in zip(plane.shape, numbers, strict=True)
    )
    found = [noise.strongest]
    for y in rows:
        for x in columns:
            part = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
            if plane[part].min() == plane[part].max():
                continue
            light = None if intensity is None else intensity[part]
            there = estimate_noise(plane[part], intensity=light)
            if max(there.correlation) < _MOST_CORRELATION:
                found.append(there.rms)
    return replace(noise, strongest=max(found))
