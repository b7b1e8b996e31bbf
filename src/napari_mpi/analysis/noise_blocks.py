"""Small blocks of an image, which tell its noise where they hold no structure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dct
from scipy.linalg import toeplitz
from scipy.optimize import nnls
from scipy.stats import norm

from napari_mpi.arrays.intensity import in_floats
from napari_mpi.arrays.spread import sampled

__all__ = [
    "Blocks",
    "NoiseLevel",
    "autocorrelations",
    "blurred_share",
    "fit_noise_level",
    "low_frequencies",
    "polynomials",
    "share_left",
    "step_of",
    "still_pixels",
]

Array = NDArray[np.float64]

# Of the blocks of like intensity, this share is taken to be flat.
_FLAT_SHARE = 0.05
_N_BINS, _FEWEST_BINS, _LEAST_BLOCKS = 12, 3, 60
# Means of blocks that differ by no more than so many standard deviations in all may be
# of one intensity, and differ by noise.
_BY_NOISE = 8.0
_MAX_BLOCKS = 20_000
# Share of pixels at the ends of the range that a block may have.
_MOST_AT_END = 0.1
# Those with more, but no more than this, still tell if the variance is so many times
# what it is in blocks of like intensity, the nearest third, that are not cut off.
_MOST_CUT, _NEAREST, _NOISIER = 0.6, 3, 1.4
# Noise of so few steps of the values, as a standard deviation, is that of counts.
_MOST_COUNTED = 2.0
# The variance of counts is their mean; it is no less than this share of it.
_LEAST_COUNTED = 0.3
_SMOOTHING = 9  # pixels
_LAGS = range(4)
# Enough values to know how far apart they are.
_MAX_VALUES = 2_000_000
_TINY = float(np.finfo(float).tiny)
# Of pixels that differ by 1e-30 at least; its inverse can be squared.
_LEAST_VARIANCE = 1e-100
# Another curve is taken where a line misses the points by more than this in the mean,
# as a share of each, or so many times what chance does, and the other by much less.
_MOST_MISSED, _MOST_BY_CHANCE, _MUCH_CLOSER = 0.05, 1.5, 0.6
# The noise at the offset may be so many times as strong as in any block, inverted.
_LEAST_OF_DARKEST = 0.5


@dataclass(frozen=True)
class NoiseLevel:
    """Variance of the noise in dependence on the intensity: a noise level function.

    Attributes
    ----------
    offset : float
        Intensity from which on the variance grows.
    floor, slope, bend : float
        Its variance there, and the factors of the intensity above and of its square.
    fall : float
        The variance falls by the square of one and so many times the intensity above.
    """

    offset: float
    floor: float
    slope: float = 0.0
    bend: float = 0.0
    fall: float = 0.0

    def variance(self, intensity: NDArray[Any]) -> NDArray[Any]:
        """Return the variance where the clean image has an intensity."""
        above = np.maximum(in_floats(intensity) - self.offset, 0)
        variance: NDArray[Any] = self.floor + (self.slope + self.bend * above) * above
        return variance / (1 + self.fall * above) ** 2 if self.fall else variance

    def rms(self, planes: Array, inside: NDArray[np.bool_] | None = None) -> float:
        """Return the standard deviation over whole planes (N, Y, X), or some pixels."""
        if inside is not None:
            planes = np.where(inside, planes, np.median(planes[inside]))
        # Smoothed, as noise would make dark places brighter in the mean.
        smooth = ndimage.uniform_filter(planes, (0, _SMOOTHING, _SMOOTHING))
        variance = self.variance(smooth)
        chosen = True if inside is None else inside
        return float(np.sqrt(np.mean(variance, where=chosen)))


@dataclass(frozen=True)
class Blocks:
    """Square blocks, each less what a basis spans."""

    residual: Array  # (N, B, B)
    mean: Array  # (N,)
    variance: Array  # (N,), per remaining degree of freedom
    removed: Array  # (B * B, n), orthonormal columns that span what was removed

    @classmethod
    def of(
        cls,
        planes: Array,
        removed: Array,
        residual: Array | None = None,
        *,
        intensity: Array | None = None,
        stride: int | None = None,
    ) -> Blocks:
        """Cut planes (N, Y, X), or what is left of them, into blocks.

        Their means are those of `intensity`, if that is given.
        """
        size = int(np.sqrt(len(removed)))
        stride = stride or size // 2
        n_all = planes.size // stride**2
        stride = int(stride * max(1.0, np.sqrt(n_all / _MAX_BLOCKS)))
        noisy, still, blocks, means = (
            sliding_window_view(array, (size, size), axis=(1, 2))[
                :, ::stride, ::stride
            ].reshape(-1, size * size)
            for array in (
                planes,
                still_pixels(planes).astype(np.float64),
                planes if residual is None else residual,
                planes if intensity is None else intensity,
            )
        )
        residual = blocks - (blocks @ removed) @ removed.T
        degrees_of_freedom = size * size - removed.shape[1]
        variance = (residual**2).sum(axis=1) / degrees_of_freedom
        # Blocks at the ends of the range are cut off there and look too quiet. Where
        # photons are counted one by one, though, many pixels have none.
        at_low, at_high = (
            (noisy == end).mean(axis=1) for end in (planes.min(), planes.max())
        )
        # So do those that reach into a frame without any noise, which was put around.
        in_frame = still.mean(axis=1)
        if in_frame.max() < 1:
            in_frame[:] = 0  # single pixels are still by chance
        if max(at_low.max(), in_frame.max()) >= _MOST_AT_END:
            step = step_of(planes)
            counted = variance < (_MOST_COUNTED * step) ** 2
            # A part of a frame and a part of a bright image have less than counts have.
            light = noisy.mean(axis=1) - planes.min()
            counted &= variance > _LEAST_COUNTED * step * light
            at_low[counted] = 0
            in_frame[counted] = 0
        mean = means.mean(axis=1)
        whole = at_low + at_high < _MOST_AT_END
        # Of a constant, rounding leaves more than nothing.
        usable = (variance > 0) & (noisy != noisy[:, :1]).any(axis=1)
        usable &= in_frame < _MOST_AT_END
        cut = usable & ~whole & (at_high < _MOST_AT_END) & (at_low < _MOST_CUT)
        usable &= whole
        if cut.any() and usable.any():
            distance = np.abs(mean - np.median(mean[cut]))
            near = usable & (distance <= np.quantile(distance[usable], 1 / _NEAREST))
            in_cut, in_near = (
                np.quantile(variance[some], _FLAT_SHARE) for some in (cut, near)
            )
            if in_cut > _NOISIER * in_near:
                usable |= cut
        if usable.sum() < 4:
            usable = np.ones(len(blocks), bool)
        return cls(
            residual[usable].reshape(-1, size, size),
            mean[usable],
            variance[usable],
            removed,
        )

    def relative(self, level: NoiseLevel) -> Array:
        """Return the variance of each block over that of noise of its intensity."""
        return self._relative(self.variance, level)

    def flattest(self, level: NoiseLevel) -> Array:
        """Return the blocks with the least variance for their intensity."""
        # What rows and columns share is left out: choosing by it would hide stripes.
        rest = self.residual - self.residual.mean(axis=1, keepdims=True)
        rest = rest - rest.mean(axis=2, keepdims=True)
        variance = (rest**2).mean(axis=(1, 2))
        excess = self._relative(variance, level)
        n_flat = max(min(4, len(excess)), len(excess) // 10)
        return self.residual[np.argsort(excess)[:n_flat]]

    def _relative(self, variance: Array, level: NoiseLevel) -> Array:
        expected = level.variance(self.mean)
        # A shift keeps an expected variance of 0 from dividing by nothing.
        relative: Array = variance / (expected + 1e-9 * variance.max() + _TINY)
        return relative


def still_pixels(planes: Array) -> NDArray[np.bool_]:
    """Return whether pixels equal all four neighbours, for planes (N, Y, X)."""
    padded = np.pad(planes, [(0, 0), (1, 1), (1, 1)], mode="edge")
    still = np.ones(planes.shape, bool)
    for shifted in (
        padded[:, :-2, 1:-1],
        padded[:, 2:, 1:-1],
        padded[:, 1:-1, :-2],
        padded[:, 1:-1, 2:],
    ):
        still &= planes == shifted
    return still


def polynomials(size: int, degree: int) -> Array:
    """Return an orthonormal basis of polynomials over a block, in columns."""
    t = np.linspace(-1, 1, size)
    terms = [
        np.outer(t**i, t**j).ravel()
        for i in range(degree + 1)
        for j in range(degree + 1 - i)
    ]
    q: Array = np.linalg.qr(np.stack(terms, axis=1))[0]
    return q


def low_frequencies(size: int) -> Array:
    """Return the cosines over a block that are low along Y or along X, in columns.

    What they leave, high frequencies in both directions, is hardly ever structure.
    """
    waves = dct(np.eye(size), axis=0, norm="ortho")  # a row each, the lowest first
    high = np.arange(size) >= size // 2
    low = ~np.logical_and.outer(high, high).ravel()
    basis: Array = np.kron(waves, waves)[low].T
    return basis


def fit_noise_level(
    blocks: Blocks, *, left: float = 1.0, may_bend: bool = False
) -> NoiseLevel:
    """Fit the variance of the flattest blocks of each intensity.

    Parameters
    ----------
    blocks : Blocks
        Of the image.
    left : float
        Share of the noise's variance that is left in the blocks' residual.
    may_bend : bool
        Whether there may be speckle, which grows with the intensity itself and not
        with its root as photon noise does, or noise that falls with the intensity, as
        it does after a gamma correction or a logarithm. So does structure.
    """
    n_bins = int(np.clip(len(blocks.mean) // _LEAST_BLOCKS, 1, _N_BINS))
    deviation = np.sqrt(np.median(blocks.variance) / blocks.residual[0].size)
    if n_bins < _FEWEST_BINS or np.ptp(blocks.mean) < _BY_NOISE * deviation:
        n_bins = 1
    degrees_of_freedom = blocks.residual[0].size - blocks.removed.shape[1]
    means, variances = [], []
    for members in np.array_split(np.argsort(blocks.mean), n_bins):
        n_flat = int(np.ceil(_FLAT_SHARE * len(members)))
        flat = members[np.argsort(blocks.variance[members])[:n_flat]]
        # The lowest of so many values of a normal distribution (Blom 1958).
        place = (np.arange(1, n_flat + 1) - 0.375) / (len(members) + 0.25)
        bias = 1 + np.sqrt(2 / degrees_of_freedom) * norm.ppf(place).mean()
        means.append(blocks.mean[flat].mean())
        variances.append(blocks.variance[flat].mean() / (bias * left))
    offset = float(np.percentile(blocks.mean, 1))
    variance = np.asarray(variances)
    above = np.maximum(np.asarray(means) - offset, 0)
    if n_bins == 1:
        above = np.zeros(1)  # one point says nothing of a slope
    line, missed = _fitted([np.ones(n_bins), above], variance)
    level = NoiseLevel(offset, *line)
    by_chance = np.sqrt(2 / degrees_of_freedom / n_flat)
    if not may_bend or missed <= max(_MOST_MISSED, _MOST_BY_CHANCE * by_chance):
        return level
    bent, missed_by_bent = _fitted([np.ones(n_bins), above, above**2], variance)
    falling, missed_by_falling = _fitted([np.ones(n_bins), above], variance, power=-2)
    at_offset, growth = falling
    # The darkest blocks lie close to the offset; the noise does not soar below them.
    if at_offset < _LEAST_OF_DARKEST / np.sqrt(variance.max()):
        missed_by_falling = np.inf
    if min(missed_by_bent, missed_by_falling) >= _MUCH_CLOSER * missed:
        return level
    if missed_by_bent <= missed_by_falling:
        return NoiseLevel(offset, *bent)
    return NoiseLevel(offset, at_offset**-2, fall=growth / at_offset)


def _fitted(
    columns: list[Array], variance: Array, power: int = 1
) -> tuple[list[float], float]:
    """Return positive factors of the columns, and how far their sum misses.

    The power of the sum is the variance.
    """
    terms = np.stack(columns, axis=1)
    variance = np.maximum(variance, max(float(variance.max()) * 1e-9, _LEAST_VARIANCE))
    points = variance ** (1 / power)
    weight = 1 / points
    for _ in range(20):
        factors, _ = nnls(terms * weight[:, None], points * weight)
        fitted = np.maximum(terms @ factors, points.min() * 1e-9)
        # Points above the line hold structure besides noise: they pull less.
        trust = np.minimum(fitted**power / variance, 1.0) ** 2
        weight = np.maximum(trust, 0.01) / fitted
    return factors.tolist(), float(np.abs(np.log(variance / fitted**power)).mean())


def autocorrelations(blocks: Array) -> tuple[Array, Array]:
    """Return the mean correlations along Y and along X, at lags of 0 to 3 pixels."""
    return _autocorrelation(blocks), _autocorrelation(blocks.swapaxes(1, 2))


def _autocorrelation(residual: Array) -> Array:
    """Return the mean correlation along Y at each of the lags."""
    size = residual.shape[1]
    power = np.maximum((residual**2).mean(axis=(1, 2)), _TINY)
    products = [residual[:, lag:] * residual[:, : size - lag] for lag in _LAGS]
    found = [(product.mean(axis=(1, 2)) / power).mean() for product in products]
    return np.clip(np.asarray(found, np.float64), -1, 1)


def blurred_share(correlation: float) -> float:
    """Return how much noise that a Gaussian blurs has in high frequencies.

    Parameters
    ----------
    correlation : float
        Of neighbours along one axis.

    Returns
    -------
    float
        Its power above half of the highest frequency along that axis, over that of
        white noise of the same variance.
    """
    return float(np.interp(max(correlation, 0), *_blurred()))


@cache
def _blurred() -> tuple[Array, Array]:
    """Return correlations of neighbours, and the shares that go with them."""
    frequency = np.linspace(0, np.pi, 513)[1:]
    widths = np.linspace(0, 3, 61)[:, None]  # of the Gaussian, in pixels
    power = np.exp(-((widths * frequency) ** 2))
    power /= power.mean(axis=1, keepdims=True)
    shares = power[:, frequency > np.pi / 2].mean(axis=1)
    return (power * np.cos(frequency)).mean(axis=1), shares


def step_of(planes: Array) -> float:
    """Return the smallest distance of two values that occur, 0 if all are equal."""
    values = np.unique(sampled(planes, _MAX_VALUES))
    return float(np.diff(values).min()) if len(values) > 1 else 0.0


def share_left(blocks: Blocks, along_y: Array, along_x: Array) -> float:
    """Return what the polynomial leaves of the variance of noise that correlates."""
    size = blocks.residual.shape[1]
    rows, columns = (
        toeplitz(np.concatenate([lags, np.zeros(size - len(lags))]))
        for lags in (along_y, along_x)
    )
    covariance = np.kron(rows, columns)  # (B * B, B * B)
    lost = float(np.einsum("in,ij,jn->", blocks.removed, covariance, blocks.removed))
    degrees_of_freedom = len(covariance) - blocks.removed.shape[1]
    return float(max((len(covariance) - lost) / degrees_of_freedom, 0.1))
