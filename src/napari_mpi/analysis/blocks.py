"""Small blocks of an image, which tell its noise where they hold no structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.linalg import toeplitz
from scipy.optimize import nnls
from scipy.stats import norm

__all__ = [
    "Blocks",
    "autocorrelation",
    "common_to_lines",
    "fit_line",
    "low_cosines",
    "polynomials",
    "share_left",
]

Array = NDArray[np.float64]

# Of the blocks of like intensity, this share is taken to be flat.
_FLAT_SHARE = 0.05
_N_BINS, _FEWEST_BINS, _LEAST_BLOCKS = 12, 3, 60
_MAX_BLOCKS = 20_000
# Stripes are sought in so many parts of each row, and may be so many times as strong
# as the median one.
_N_PARTS = 4
_MOST_TYPICAL = 4.5
_TINY = float(np.finfo(float).tiny)


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
        stride: int | None = None,
    ) -> Blocks:
        """Cut planes (N, Y, X), or what is left of them, into blocks."""
        size = int(np.sqrt(len(removed)))
        stride = stride or size // 2
        n_all = planes.size // stride**2
        stride = int(stride * max(1.0, np.sqrt(n_all / _MAX_BLOCKS)))
        noisy, blocks = (
            sliding_window_view(array, (size, size), axis=(1, 2))[
                :, ::stride, ::stride
            ].reshape(-1, size * size)
            for array in (planes, planes if residual is None else residual)
        )
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

    def relative(self, line: tuple[float, float, float]) -> Array:
        """Return the variance of each block over what a line says of its intensity."""
        return self._relative(self.variance, line)

    def flattest(self, line: tuple[float, float, float]) -> Array:
        """Return the blocks with the least variance for their intensity."""
        # What rows and columns share is left out: choosing by it would hide stripes.
        rest = self.residual - self.residual.mean(axis=1, keepdims=True)
        rest = rest - rest.mean(axis=2, keepdims=True)
        variance = (rest**2).mean(axis=(1, 2))
        excess = self._relative(variance, line)
        n_flat = max(min(4, len(excess)), len(excess) // 10)
        return self.residual[np.argsort(excess)[:n_flat]]

    def _relative(self, variance: Array, line: tuple[float, float, float]) -> Array:
        offset, gain, floor = line
        expected = floor + gain * np.maximum(self.mean - offset, 0)
        # A shift keeps an expected variance of 0 from dividing by nothing.
        relative: Array = variance / (expected + 1e-9 * variance.max() + _TINY)
        return relative


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


def low_cosines(size: int) -> Array:
    """Return the cosines over a block that are slow along Y or along X, in columns.

    What they leave, quick in both directions, is hardly ever structure.
    """
    waves = dct(np.eye(size), axis=0, norm="ortho")  # a row each, the slowest first
    quick = np.arange(size) >= size // 2
    slow = ~np.logical_and.outer(quick, quick).ravel()
    basis: Array = np.kron(waves, waves)[slow].T
    return basis


def fit_line(blocks: Blocks, left: float) -> tuple[float, float, float]:
    """Return offset, slope and floor of the variance over the intensity."""
    n_bins = int(np.clip(len(blocks.mean) // _LEAST_BLOCKS, 1, _N_BINS))
    if n_bins < _FEWEST_BINS:
        n_bins = 1
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
    above = np.maximum(np.asarray(means) - offset, 0)
    if n_bins == 1:
        above = np.zeros(1)  # one point says nothing of a slope
    terms = np.stack([above, np.ones(n_bins)], 1)
    smallest = max(float(variance.max()) * 1e-9, _TINY)
    weight = 1 / np.maximum(variance, smallest)
    for _ in range(20):
        (slope, floor), _ = nnls(terms * weight[:, None], variance * weight)
        fitted = terms @ np.array([slope, floor])
        # Points above the line hold structure besides noise: they pull less.
        trust = np.minimum(fitted / np.maximum(variance, smallest), 1.0) ** 2
        weight = np.maximum(trust, 0.01) / np.maximum(fitted, smallest)
    return offset, float(slope), float(floor)


def autocorrelation(residual: Array, lags: range) -> Array:
    """Return the mean correlation along Y at each of the lags."""
    size = residual.shape[1]
    power = np.maximum((residual**2).mean(axis=(1, 2)), _TINY)
    products = [residual[:, lag:] * residual[:, : size - lag] for lag in lags]
    found = [(product.mean(axis=(1, 2)) / power).mean() for product in products]
    return np.clip(np.asarray(found, np.float64), -1, 1)


def common_to_lines(planes: Array) -> float:
    """Return the variance of what all pixels of a row have in common, over planes.

    Each row is compared with its neighbours in several parts of its length. What the
    parts agree on is common to the row; structure seldom goes on so far.

    Parameters
    ----------
    planes : ndarray
        Shape (N, Y, X).
    """
    difference = planes[:, 1:-1] - (planes[:, :-2] + planes[:, 2:]) / 2
    n_parts = min(_N_PARTS, planes.shape[2])
    found = []
    for plane in difference:
        parts = np.stack(
            [np.median(part, axis=1) for part in np.array_split(plane, n_parts, axis=1)]
        )
        # A few rows that differ, as at the edge of something straight, are no stripes.
        typical = np.median(np.abs(parts), axis=1, keepdims=True)
        parts = np.clip(parts, -_MOST_TYPICAL * typical, _MOST_TYPICAL * typical)
        products = parts @ parts.T / parts.shape[1]
        pairs = products[np.triu_indices(n_parts, 1)]
        # A row's own value, and half of the two beside it: 1.5 times the variance.
        found.append(np.quantile(pairs, 0.25) / 1.5)
    return max(float(np.mean(found)), 0.0)


def share_left(blocks: Blocks, along_y: Array, along_x: Array) -> float:
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
