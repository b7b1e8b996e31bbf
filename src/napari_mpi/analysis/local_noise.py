"""The noise of each pixel of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.arrays.intensity import without_hot_pixels

__all__ = ["LocalNoise", "noise_excess"]

# Noise is compared with what is expected in blocks of so many pixels a side, by the
# median of so many of them along Y and X. Up to the lower ratio of variances it may be
# texture that is stronger, from the higher one on it is noise.
_BLOCK, _N_BLOCKS, _MAYBE, _SURELY = 8, 5, 2.5, 4.0
# White noise is as strong in high frequencies as in all. What is not predicted is
# texture up to the lower share of its variance in these, noise from the higher one on.
_TEXTURE, _WHITE = 0.75, 0.9
# Differences of differences along Y and X, as strong as the white noise they are of.
_HIGH_PASS = np.outer([1, -2, 1], [1, -2, 1]) / 6
# The mean absolute value of a standard normal number.
_MEAN_ABSOLUTE = np.sqrt(2 / np.pi)
# Where less than this share of the mean variance is expected, so much is.
_LEAST_SHARE = 0.01
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class LocalNoise:
    """The noise of each pixel of a plane.

    Attributes
    ----------
    noise : NoiseEstimate
        The noise in dependence on the intensity.
    intensity : ndarray or None
        What it depends on, if not the plane's own values.
    excess : ndarray or float
        How many times as strong its variance is in places.
    """

    noise: NoiseEstimate
    intensity: NDArray[Any] | None = None
    excess: NDArray[Any] | float = 1.0

    def variance(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the variance of the noise where the clean plane has values."""
        depends_on = values if self.intensity is None else self.intensity
        return self.excess * self.noise.variance(depends_on)

    @property
    def gain(self) -> float:
        """What one photo-electron gives; 0 for what is a difference of photon counts.

        These scatter as far downwards as upwards.
        """
        if self.intensity is not None:
            return 0.0
        # Counts of few photons are skewed, whether or not they are seen to scatter more
        # where there is more light.
        few = self.noise.of_few_steps
        return max(self.noise.gain, self.noise.step if few else 0.0)


def noise_excess(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    variance: NDArray[Any],
    share: float = 1.0,
) -> NDArray[Any]:
    """Return how many times stronger than expected independent noise is locally.

    Shading that was corrected, or a stitched image, has more noise in some places than
    in others of the same intensity.

    Parameters
    ----------
    noisy, estimate : ndarray
        The image and its prediction from other pixels, shape (C, Y, X).
    variance : ndarray
        Variance of the noise that is expected, of the same shape.
    share : float
        Its standard deviation over that of noise and texture where texture is weakest,
        see `napari_mpi.analysis.noise.NoiseEstimate`.

    Returns
    -------
    ndarray
        Ratio of variances over some tens of pixels, 1 where the noise is as expected;
        of shape (C, 1, 1) if it is that everywhere, as large planes take much memory.
        It is measured in high frequencies along Y and X, where hardly ever is
        structure. Fine texture that the estimate misses altogether is there, too, but
        stronger in low ones.
    """
    height, width = noisy.shape[1:]
    as_expected = np.ones((len(noisy), 1, 1), variance.dtype)
    least = _LEAST_SHARE * float(variance.mean())
    if min(height, width) < _BLOCK * _N_BLOCKS or least == 0:
        return as_expected
    scale = np.sqrt(np.maximum(variance, least))
    difference = (without_hot_pixels(noisy) - estimate) / scale
    high = np.abs(ndimage.convolve(difference, _HIGH_PASS[np.newaxis], mode="mirror"))
    ratio = (_typical(high) / _MEAN_ABSOLUTE) ** 2
    maybe, surely = (limit / share**2 for limit in (_MAYBE, _SURELY))
    if ratio.max() <= maybe:
        return as_expected
    white = ratio / np.maximum(_typical(difference**2), _TINY)
    white = ndimage.uniform_filter(white, (0, 5, 5))
    by_noise = np.clip((white - _TEXTURE) / (_WHITE - _TEXTURE), 0, 1)
    ratio = 1 + by_noise * (ratio - 1)
    ratio = ratio.astype(variance.dtype)
    found = np.stack([_enlarged(one, (height, width)) for one in ratio])
    rise = (surely - 1) / (surely - maybe)
    excess: NDArray[Any] = np.maximum(1, np.minimum(found, 1 + rise * (found - maybe)))
    return excess


def _typical(values: NDArray[Any]) -> NDArray[Any]:
    """Return the median of blocks' means around each block, shape (C, Y, X)."""
    rows, columns = (np.arange(_BLOCK // 2, n, _BLOCK) for n in values.shape[1:])
    means = ndimage.uniform_filter(values, (0, _BLOCK, _BLOCK))
    blocks = means[:, rows[:, None], columns]
    typical: NDArray[Any] = ndimage.median_filter(
        blocks, (1, _N_BLOCKS, _N_BLOCKS), mode="reflect"
    )
    return typical


def _enlarged(blocks: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Interpolate between the centres of blocks, shape (Y, X)."""
    centre = -(_BLOCK // 2) / _BLOCK
    enlarged: NDArray[Any] = ndimage.affine_transform(
        blocks, [1 / _BLOCK] * 2, centre, output_shape=shape, order=1, mode="nearest"
    )
    return enlarged
