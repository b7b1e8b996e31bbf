"""Noise told from structure that is everywhere, by how their values are distributed.

Of noise, cosine coefficients of a block are normally distributed, whatever its pixels
are. Of structure most are small and some large: they have a high kurtosis, which is
about the same in all frequencies. The less structure a frequency holds beside the
noise, the lower is the kurtosis of both together. So the strength of white noise
follows without a flat place anywhere (Lyu, Pan and Zhang, IJCV 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from napari_mpi.analysis.noise_blocks import Blocks, NoiseLevel

__all__ = ["noise_share"]

Array = NDArray[np.float64]

_SIZE, _STRIDE = 8, 2  # of blocks, in pixels
# The lowest frequencies, counted along Y and X together, differ in their kurtosis.
_LOWEST = 4
# Parts that are left out in turn, to see how much the result depends on them.
_N_PARTS = 16
# A kurtosis is not known from fewer blocks.
_FEWEST_BLOCKS = 400
# Where less than this share of the mean variance is expected, so much is.
_LEAST_SHARE = 0.01
# Frequencies that fit badly pull by the root of their distance, which is no less than
# this share of the median.
_N_FITS, _LEAST_DISTANCE = 10, 0.3
_NORMAL = 3.0  # the kurtosis of a normal distribution


def noise_share(
    planes: Array, level: NoiseLevel, intensity: Array
) -> tuple[float, float] | None:
    """Return how much of what was taken for white noise is noise, and how surely.

    Parameters
    ----------
    planes : ndarray
        Noisy planes, shape (N, Y, X).
    level : NoiseLevel
        What was found.
    intensity : ndarray
        What the noise depends on, of the shape of the planes.

    Returns
    -------
    tuple of float or None
        The standard deviation of the noise over what was found, and the standard error
        of that share; None where the image does not tell, as with hardly any structure.
    """
    nothing = np.empty((_SIZE**2, 0))
    blocks = Blocks.of(planes, nothing, intensity=intensity, stride=_STRIDE)
    waves = dct(np.eye(_SIZE), axis=0, norm="ortho")
    high = np.add.outer(range(_SIZE), range(_SIZE)).ravel() >= _LOWEST
    flat = blocks.residual.reshape(len(blocks.residual), -1)
    squares = (flat @ np.kron(waves, waves)[high].T) ** 2  # (N, frequencies)
    expected = level.variance(blocks.mean)
    least = _LEAST_SHARE * expected.mean()
    if len(squares) < _FEWEST_BLOCKS or least == 0:
        return None
    squares /= np.maximum(expected, least)[:, np.newaxis]
    parts = np.array_split(squares, _N_PARTS)
    moments = np.stack(
        [[(part**power).sum(axis=0) for part in parts] for power in (1, 2)]
    )  # (2, parts, frequencies)
    lengths = np.array([len(part) for part in parts])
    whole = _variance_of_noise(moments.sum(axis=1) / len(squares))
    without = [
        _variance_of_noise((moments.sum(axis=1) - moments[:, part]) / n_others)
        for part, n_others in enumerate(len(squares) - lengths)
    ]
    if whole is None or None in without:
        return None
    # The jackknife's standard error (Tukey 1958), carried over to the root.
    error = np.sqrt((_N_PARTS - 1) * np.array(without, float).var())
    return float(np.sqrt(whole)), float(error / (2 * np.sqrt(whole)))


def _variance_of_noise(moments: Array) -> float | None:
    """Return the variance that all frequencies have in common, None if there is none.

    Parameters
    ----------
    moments : ndarray
        Second and fourth moment of the coefficients of each frequency, shape (2, F).

    Notes
    -----
    Structure of variance x and excess kurtosis k beside noise of variance v has the
    excess kurtosis ``k * (x / (x + v))**2``, whose root is linear in ``1 / (x + v)``.
    """
    second, fourth = moments
    if second.min() <= 0:
        return None
    root = np.sqrt(np.maximum(fourth / second**2 - _NORMAL, 0))
    terms = np.stack([np.ones_like(second), -1 / second], axis=1)
    weight = np.ones_like(second)
    for _ in range(_N_FITS):
        weighted = terms * weight[:, np.newaxis]
        factors = np.linalg.lstsq(weighted, root * weight, rcond=None)[0]
        distance = np.abs(root - terms @ factors)
        least = max(_LEAST_DISTANCE * float(np.median(distance)), 1e-9)
        weight = 1 / np.sqrt(np.maximum(distance, least))
    return float(factors[1] / factors[0]) if factors.min() > 0 else None
