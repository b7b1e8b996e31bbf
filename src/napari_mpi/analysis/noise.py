"""What the noise of an image is like, estimated from the image alone.

Small blocks that hold hardly any structure tell the noise: its variance in dependence
on the intensity, and how much neighbouring pixels share of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.blocks import (
    Blocks,
    autocorrelation,
    common,
    fit_line,
    share_left,
)
from napari_mpi.arrays.intensity import without_hot_pixels

__all__ = [
    "NoiseEstimate",
    "correlation_left",
    "estimate_noise",
    "is_shared",
]

Array = NDArray[np.float64]

# Variance is read from small blocks, which find flat places between structures;
# correlation from larger ones, which hold more than one correlation length.
_VARIANCE_BLOCK, _CORRELATION_BLOCK = 8, 16
_VARIANCE_DEGREE, _CORRELATION_DEGREE = 2, 1
# Enough of a large stack to know its noise within a second.
_MAX_PLANES, _MAX_PIXELS, _MAX_VALUES = 5, 4_000_000, 2_000_000
_LAGS = range(4)
# Below this correlation of neighbours, noise counts as independent.
_SHARED = 0.2
# A network that sees few pixels predicts about a fifth of what neighbours share.
_UNPREDICTED = 0.8
# Noise of any correlation varies less than so much more over the larger blocks.
_STRUCTURED = 5.0


@dataclass(frozen=True)
class NoiseEstimate:
    """The noise of an image, in the image's units.

    Attributes
    ----------
    offset : float
        Intensity of the darkest regions.
    read_noise : float
        Standard deviation of the noise at `offset`.
    gain : float
        Growth of the noise variance per unit of intensity above `offset`: for photon
        noise, the counts that one photo-electron gives.
    rms : float
        Standard deviation of the noise over the whole image.
    signal_range : float
        Distance of the 0.1 and 99.9 percentiles, hot pixels aside; of several planes,
        the median.
    correlation : tuple of float
        Correlation of the noise of neighbouring pixels along Y and along X.
    stripes : tuple of float
        Shares of the noise variance that all pixels of a row, and of a column, have
        in common.
    saturated : float
        Share of pixels at the highest value that occurs, 0 if it occurs just once.
    step : float
        Smallest distance of two values that occur: the quantisation.
    """

    offset: float
    read_noise: float
    gain: float
    rms: float
    signal_range: float
    correlation: tuple[float, float]
    stripes: tuple[float, float]
    saturated: float
    step: float

    @property
    def relative(self) -> float:
        """Standard deviation of the noise in units of the signal range."""
        return self.rms / self.signal_range if self.signal_range > 0 else 0.0

    def variance(self, intensity: NDArray[Any]) -> Array:
        """Return the variance of the noise where the clean image has an intensity."""
        above = np.maximum(np.asarray(intensity, np.float64) - self.offset, 0)
        return self.read_noise**2 + self.gain * above


def estimate_noise(planes: NDArray[Any]) -> NoiseEstimate:
    """Estimate the noise of one plane, or of planes that have their noise in common.

    Parameters
    ----------
    planes : ndarray
        Shape (Y, X) or (N, Y, X), real and finite, at least 16 pixels a side. Of many
        planes, a few that are spread evenly are looked at.

    Returns
    -------
    NoiseEstimate
        Standard deviations are right to about a tenth where the image has some flat
        places. Where there is structure everywhere, it counts as noise in part.

    Notes
    -----
    After a low polynomial is subtracted, the flattest blocks of each intensity give
    the variance; choosing the flattest makes it too small by a factor that is known
    for Gaussian noise. A line through the lower edge of these points, with both
    coefficients positive, is the Poisson-Gaussian model of Foi et al. (IEEE TIP 2008).

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi.analysis.noise import estimate_noise
    >>> noisy = 100 + 5 * np.random.default_rng(0).standard_normal((128, 128))
    >>> round(estimate_noise(noisy).rms)
    5
    """
    stack = np.asarray(planes).reshape(-1, *np.shape(planes)[-2:])
    n_planes = min(len(stack), _MAX_PLANES, max(1, _MAX_PIXELS // stack[0].size))
    chosen = np.linspace(0, len(stack) - 1, n_planes).round()
    sample = stack[chosen.astype(int)].astype(np.float64)  # (N, Y, X)
    # An odd stride does not fall into step with rows of an even length.
    stride = sample.size // _MAX_VALUES | 1
    some = sample.reshape(-1)[::stride]
    ends = np.percentile(without_hot_pixels(sample), (0.1, 99.9), axis=(1, 2))
    values, counts = np.unique(some, return_counts=True)

    coarse = Blocks.of(sample, _CORRELATION_BLOCK, _CORRELATION_DEGREE)
    fine = Blocks.of(sample, _VARIANCE_BLOCK, _VARIANCE_DEGREE)
    flattest = coarse.flattest(fit_line(coarse, 1.0))
    flattest_fine = fine.flattest(fit_line(fine, 1.0))
    if (flattest**2).mean() > _STRUCTURED * (flattest_fine**2).mean():
        flattest = flattest_fine  # no large block is flat
    along_y = autocorrelation(flattest, _LAGS)
    along_x = autocorrelation(flattest.swapaxes(1, 2), _LAGS)
    # A block's polynomial also takes away noise, the more the longer it correlates.
    left = share_left(fine, along_y, along_x)
    offset, gain, floor = fit_line(fine, left)
    mean_above = float(np.maximum(sample - offset, 0).mean())
    return NoiseEstimate(
        offset=offset,
        read_noise=float(np.sqrt(floor)),
        gain=gain,
        rms=float(np.sqrt(floor + gain * mean_above)),
        signal_range=float(np.median(ends[1] - ends[0])),
        correlation=(float(along_y[1]), float(along_x[1])),
        stripes=(common(flattest.swapaxes(1, 2)), common(flattest)),
        saturated=float(counts[-1] / some.size) if counts[-1] > 1 else 0.0,
        step=float(np.diff(values).min()) if len(values) > 1 else 0.0,
    )


def is_shared(noise: NoiseEstimate) -> bool:
    """Return whether neighbours share more noise than independent pixels would.

    Parameters
    ----------
    noise : NoiseEstimate
        The noise of the image.
    """
    return max(noise.correlation) >= _SHARED


def correlation_left(
    planes: NDArray[Any], predicted: NDArray[Any]
) -> tuple[float, float]:
    """Estimate the correlation of noise in what a prediction left of an image.

    Parameters
    ----------
    planes : ndarray
        Noisy planes, shape (N, Y, X), at least 16 pixels a side.
    predicted : ndarray
        Their prediction by a network that did not adapt to them and saw few of their
        pixels.

    Returns
    -------
    tuple of float
        Correlation of neighbouring pixels along Y and along X.
    """
    noisy = planes.astype(np.float64)
    blocks = Blocks.of(
        noisy, _CORRELATION_BLOCK, _CORRELATION_DEGREE, noisy - predicted
    )
    flattest = blocks.flattest(fit_line(blocks, 1.0))
    y, x = (
        float(autocorrelation(along, _LAGS)[1]) / _UNPREDICTED
        for along in (flattest, flattest.swapaxes(1, 2))
    )
    return min(y, 1.0), min(x, 1.0)
