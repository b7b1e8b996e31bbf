"""Noise that pixels share along one axis only, as a fast scanner's lines make it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from napari_mpi.analysis.noise_blocks import Blocks, autocorrelations

__all__ = ["scanned_correlation"]

Array = NDArray[np.float64]

_SIZE, _STRIDE = 8, 3  # of blocks, in pixels
# Of all blocks, the share in which a band holds hardly anything but noise.
_QUIET = 0.05
# In planes of 56 and fewer pixels a side that share is a few blocks, which differ by
# chance.
_FEWEST_BLOCKS = 300
# Noise is blurred along an axis if so many times as much of it is in low frequencies
# along that axis as in high ones.
_BLURRED = 2.5
# It is white along the other if high and low frequencies along that have as much of
# it, within these ratios.
_WHITE = 0.75, 1.5


def scanned_correlation(planes: Array) -> tuple[float, float] | None:
    """Return how neighbours along Y and X correlate, if noise is blurred along one.

    Parameters
    ----------
    planes : ndarray
        Noisy planes, shape (N, Y, X).

    Returns
    -------
    tuple of float or None
        None if the noise is not white along one axis and blurred along the other, or
        the planes are too small to tell.

    Notes
    -----
    Structure has less in high frequencies than in low ones along either axis, also
    where those along the other axis are high. What has as much in both along Y, where
    frequencies along X are high, is noise that is white along Y; and if more is found
    where they are low along X, it is blurred along X.
    """
    waves = dct(np.eye(_SIZE), axis=0, norm="ortho")
    blocks = Blocks.of(planes, np.empty((_SIZE**2, 0)), stride=_STRIDE).residual
    if len(blocks) < _FEWEST_BLOCKS:
        return None
    for turned in (False, True):
        if turned:
            blocks = blocks.swapaxes(1, 2)
        coefficients = waves @ blocks @ waves.T
        rows = coefficients[:, _SIZE // 2 :]  # of high frequencies along Y
        low, high = rows[..., 1 : _SIZE // 2], rows[..., _SIZE // 2 :]
        low_along_y = coefficients[:, 1 : _SIZE // 2, _SIZE // 2 :]
        blurred, both, white = (
            np.quantile((band**2).mean(axis=(1, 2)), _QUIET)
            for band in (low, high, low_along_y)
        )
        if blurred > _BLURRED * white > 0 and (
            _WHITE[0] * white < both < _WHITE[1] * white
        ):
            quiet = np.argsort((low**2).mean(axis=(1, 2)))
            quiet = quiet[: max(1, int(2 * _QUIET * len(quiet)))]
            _, along_x = autocorrelations(rows[quiet] @ waves)
            correlation = 0.0, float(along_x[1])
            return correlation[::-1] if turned else correlation
    return None
