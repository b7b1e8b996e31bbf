"""What the noise of an image is like, estimated from the image alone.

Small blocks that hold hardly any structure tell the noise: its variance in dependence
on the intensity, and how much neighbouring pixels share of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import toeplitz
from scipy.optimize import nnls
from scipy.stats import norm

from napari_mpi.arrays.intensity import without_hot_pixels

__all__ = [
    "NoiseEstimate",
    "combine_with_input",
    "correlation_left",
    "error_variance",
    "estimate_noise",
    "is_shared",
    "without_outliers",
]

Array = NDArray[np.float64]

# Variance is read from small blocks, which find flat places between structures;
# correlation from larger ones, which hold more than one correlation length.
_VARIANCE_BLOCK, _CORRELATION_BLOCK = 8, 16
_VARIANCE_DEGREE, _CORRELATION_DEGREE = 2, 1
# Of the blocks of like intensity, this share is taken to be flat.
_FLAT_SHARE = 0.05
_N_BINS = 12
_MAX_BLOCKS = 20_000
# Enough of a large stack to know its noise within a second.
_MAX_PLANES, _MAX_PIXELS, _MAX_VALUES = 5, 4_000_000, 2_000_000
_LAGS = range(4)
# Below this correlation of neighbours, noise counts as independent.
_SHARED = 0.2
# A network that sees few pixels predicts about a fifth of what neighbours share.
_UNPREDICTED = 0.8
# Noise of any correlation varies less than so much more over the larger blocks.
_STRUCTURED = 5.0
_SMOOTHING = 2.0  # pixels
# What all predictions of a pixel have wrong in common does not show in their spread.
# On synthetic images with known truth (benchmarks/own_pixel.py) this serves best.
_ERROR_PER_SPREAD = 2.0
# Standard deviations; Gaussian noise exceeds them in one of two thousand pixels.
_OUTLYING = 3.5
_TINY = float(np.finfo(float).tiny)


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

    coarse = _Blocks.of(sample, _CORRELATION_BLOCK, _CORRELATION_DEGREE)
    fine = _Blocks.of(sample, _VARIANCE_BLOCK, _VARIANCE_DEGREE)
    flattest = coarse.flattest(_fit_line(coarse, 1.0))
    flattest_fine = fine.flattest(_fit_line(fine, 1.0))
    if (flattest**2).mean() > _STRUCTURED * (flattest_fine**2).mean():
        flattest = flattest_fine  # no large block is flat
    along_y = _autocorrelation(flattest, _LAGS)
    along_x = _autocorrelation(flattest.swapaxes(1, 2), _LAGS)
    # A block's polynomial also takes away noise, the more the longer it correlates.
    left = _share_left(fine, along_y, along_x)
    offset, gain, floor = _fit_line(fine, left)
    mean_above = float(np.maximum(sample - offset, 0).mean())
    return NoiseEstimate(
        offset=offset,
        read_noise=float(np.sqrt(floor)),
        gain=gain,
        rms=float(np.sqrt(floor + gain * mean_above)),
        signal_range=float(np.median(ends[1] - ends[0])),
        correlation=(float(along_y[1]), float(along_x[1])),
        stripes=(_common(flattest.swapaxes(1, 2)), _common(flattest)),
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
    blocks = _Blocks.of(
        noisy, _CORRELATION_BLOCK, _CORRELATION_DEGREE, noisy - predicted
    )
    flattest = blocks.flattest(_fit_line(blocks, 1.0))
    y, x = (
        float(_autocorrelation(along, _LAGS)[1]) / _UNPREDICTED
        for along in (flattest, flattest.swapaxes(1, 2))
    )
    return min(y, 1.0), min(x, 1.0)


def combine_with_input(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    spread: NDArray[Any],
    noise: NoiseEstimate,
) -> Array:
    """Let each pixel's own noisy value correct a prediction that was blind to it.

    Parameters
    ----------
    noisy, estimate : ndarray
        The image and its prediction from other pixels, shape (C, Y, X), in the input's
        units.
    spread : ndarray
        Variance of the predictions that were averaged, of the same shape, in units
        squared.
    noise : NoiseEstimate
        The noise, which has to be independent from pixel to pixel.

    Returns
    -------
    ndarray
        The mean of both, each weighted by the inverse of its error variance, float64.
    """
    error = error_variance(spread)
    weight = error / np.maximum(error + noise.variance(estimate), _TINY)
    combined: Array = estimate + weight * (noisy - np.asarray(estimate, np.float64))
    return combined


def without_outliers(
    noisy: NDArray[Any],
    estimate: NDArray[Any],
    spread: NDArray[Any],
    noise: NoiseEstimate,
) -> Array:
    """Bring values that neither noise nor structure explains closer to the estimate.

    A hot pixel or a cosmic ray would count as structure otherwise.

    Parameters
    ----------
    noisy, estimate, spread, noise
        As for `combine_with_input`.

    Returns
    -------
    ndarray
        The noisy image, no farther from the estimate than 3.5 standard deviations of
        what is expected, float64. Photons come one by one, so that few of them scatter
        farther upwards: the limit there is the Cornish-Fisher quantile, whose skewness
        is that of the gain.
    """
    variance = error_variance(spread) + noise.variance(estimate)
    limit = _OUTLYING * np.sqrt(np.maximum(variance, 0))
    skewed = (_OUTLYING**2 - 1) / 6 * noise.gain
    limited: Array = np.clip(noisy, estimate - limit, estimate + limit + skewed)
    return limited


def error_variance(spread: NDArray[Any]) -> Array:
    """Return the expected squared error of predictions that scatter so much.

    Parameters
    ----------
    spread : ndarray
        Variance of the predictions that were averaged, shape (C, Y, X).
    """
    # Neighbours are about as hard to predict; together they tell more reliably.
    smooth: Array = ndimage.gaussian_filter(
        np.asarray(spread, np.float64), (0, _SMOOTHING, _SMOOTHING), mode="nearest"
    )
    return _ERROR_PER_SPREAD * smooth


@dataclass(frozen=True)
class _Blocks:
    """Square blocks, each less its mean and a fitted polynomial."""

    residual: Array  # (N, B, B)
    mean: Array  # (N,)
    variance: Array  # (N,), per remaining degree of freedom
    removed: Array  # (B * B, n), orthonormal columns that span the polynomials

    @classmethod
    def of(
        cls, planes: Array, size: int, degree: int, residual: Array | None = None
    ) -> _Blocks:
        """Cut planes (N, Y, X), or what is left of them, into blocks."""
        stride = size // 2
        n_all = planes.size // stride**2
        stride = int(stride * max(1.0, np.sqrt(n_all / _MAX_BLOCKS)))
        noisy, blocks = (
            sliding_window_view(array, (size, size), axis=(1, 2))[
                :, ::stride, ::stride
            ].reshape(-1, size * size)
            for array in (planes, planes if residual is None else residual)
        )
        removed = _polynomials(size, degree)
        residual = blocks - (blocks @ removed) @ removed.T
        freedom = size * size - removed.shape[1]
        variance = (residual**2).sum(axis=1) / freedom
        # Blocks at the ends of the range are cut off there and look too quiet.
        at_end = (noisy == planes.min()) | (noisy == planes.max())
        usable = (at_end.mean(axis=1) < 0.1) & (variance > 0)
        if usable.sum() < 4:
            usable = np.ones(len(blocks), bool)
        return cls(
            residual[usable].reshape(-1, size, size),
            noisy[usable].mean(axis=1),
            variance[usable],
            removed,
        )

    def flattest(self, line: tuple[float, float, float]) -> Array:
        """Return the blocks with the least variance for their intensity."""
        offset, gain, floor = line
        expected = floor + gain * np.maximum(self.mean - offset, 0)
        # What rows and columns share is left out: choosing by it would hide stripes.
        rest = self.residual - self.residual.mean(axis=1, keepdims=True)
        rest = rest - rest.mean(axis=2, keepdims=True)
        variance = (rest**2).mean(axis=(1, 2))
        # A shift keeps an expected variance of 0 from dividing by nothing.
        excess = variance / (expected + 1e-9 * variance.max() + _TINY)
        n_flat = max(min(4, len(excess)), len(excess) // 10)
        return self.residual[np.argsort(excess)[:n_flat]]


def _polynomials(size: int, degree: int) -> Array:
    t = np.linspace(-1, 1, size)
    terms = [
        np.outer(t**i, t**j).ravel()
        for i in range(degree + 1)
        for j in range(degree + 1 - i)
    ]
    q: Array = np.linalg.qr(np.stack(terms, axis=1))[0]
    return q


def _fit_line(blocks: _Blocks, left: float) -> tuple[float, float, float]:
    """Return offset, slope and floor of the variance over the intensity."""
    n_bins = int(np.clip(len(blocks.mean) // 100, 1, _N_BINS))
    freedom = blocks.residual[0].size - blocks.removed.shape[1]
    # The mean of the lowest share of a normal distribution.
    lowest = norm.pdf(norm.ppf(_FLAT_SHARE)) / _FLAT_SHARE
    bias = 1 - np.sqrt(2 / freedom) * lowest
    means, variances = [], []
    for members in np.array_split(np.argsort(blocks.mean), n_bins):
        n_flat = int(np.ceil(_FLAT_SHARE * len(members)))
        flat = members[np.argsort(blocks.variance[members])[:n_flat]]
        means.append(blocks.mean[flat].mean())
        variances.append(blocks.variance[flat].mean() / (bias * left))
    offset = float(np.percentile(blocks.mean, 1))
    variance = np.asarray(variances)
    terms = np.stack([np.maximum(np.asarray(means) - offset, 0), np.ones(n_bins)], 1)
    smallest = max(float(variance.max()) * 1e-9, _TINY)
    weight = 1 / np.maximum(variance, smallest)
    for _ in range(20):
        (slope, floor), _ = nnls(terms * weight[:, None], variance * weight)
        fitted = terms @ np.array([slope, floor])
        # Points above the line hold structure besides noise: they pull less.
        trust = np.minimum(fitted / np.maximum(variance, smallest), 1.0) ** 2
        weight = np.maximum(trust, 0.01) / np.maximum(fitted, smallest)
    return offset, float(slope), float(floor)


def _autocorrelation(residual: Array, lags: range) -> Array:
    """Return the mean correlation along Y at each of the lags."""
    size = residual.shape[1]
    power = np.maximum((residual**2).mean(axis=(1, 2)), _TINY)
    products = [residual[:, lag:] * residual[:, : size - lag] for lag in lags]
    found = [(product.mean(axis=(1, 2)) / power).mean() for product in products]
    return np.clip(np.asarray(found, np.float64), -1, 1)


def _common(residual: Array) -> float:
    """Return the correlation along Y far beyond that of neighbours."""
    size = residual.shape[1]
    far = _autocorrelation(residual, range(size // 2, size - 1))
    return max(float(far.mean()), 0.0)


def _share_left(blocks: _Blocks, along_y: Array, along_x: Array) -> float:
    """Return what the polynomial leaves of the variance of noise that correlates."""
    size = blocks.residual.shape[1]
    rows, columns = (
        toeplitz(np.concatenate([lags, np.zeros(size - len(lags))]))
        for lags in (along_y, along_x)
    )
    covariance = np.kron(rows, columns)  # (B * B, B * B)
    lost = float(np.einsum("in,ij,jn->", blocks.removed, covariance, blocks.removed))
    freedom = len(covariance) - blocks.removed.shape[1]
    return float(max((len(covariance) - lost) / freedom, 0.1))
