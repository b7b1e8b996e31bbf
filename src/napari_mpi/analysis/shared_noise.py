"""Whether neighbouring pixels share their noise, or correlate by structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.noise_blocks import (
    Blocks,
    NoiseLevel,
    autocorrelations,
    blurred_share,
    fit_noise_level,
    low_frequencies,
    polynomials,
)
from napari_mpi.analysis.scanned_noise import scanned_correlation
from napari_mpi.analysis.stripes import STRIPED, stripe_variances

__all__ = [
    "COARSE",
    "SHARED",
    "NeighbourCorrelation",
    "high_blocks",
    "image_correlation",
    "residual_correlation",
]

Array = NDArray[np.float64]
_TINY = float(np.finfo(float).tiny)

COARSE = polynomials(16, 1)
"""What large blocks are less of: these hold more than one correlation length."""

_HIGH = low_frequencies(16)  # what high frequencies are what is left of

# Such blocks begin this far apart at most, and closer in small planes: with fewer than
# this, too few have any one intensity, and of noise only the darkest would be seen.
_STRIDE, _FEWEST = 4, 400

_LOW = _HIGH.shape[1] / _HIGH.shape[0]  # share of the degrees of freedom

SHARED = 0.2
"""Below this correlation of neighbours, noise counts as independent."""

# A network that sees few pixels predicts about a fifth of what neighbours share.
_UNPREDICTED = 0.8
# Of the standard deviation of noise that a Gaussian blurs, so much at most is in high
# frequencies, less by the second figure times the correlation of neighbours. White
# noise below structure has more.
_HIGH_SHARE, _HIGH_SHARE_PER_CORRELATION = 1.02, 0.93
# Up to this correlation of neighbours noise has at least so much of that.
_WEAKLY, _LEAST_SHARE = 0.4, 0.6
# Of all blocks, this share is taken to be nearest to white noise. Where neighbours of
# noise correlate at all, they do by more than the first figure even there, and by more
# than the second, with about the high frequencies that go with it, by noise alone. The
# more they do, the more choosing the whitest adds to these, here per correlation.
_WHITEST_SHARE, _FEWEST_WHITEST = 0.1, 8
_WHITE, _NOT_WHITE, _MOST_BEYOND = 0.18, 0.36, 0.45
# If their variance is so many times that of the noise, they have to be whiter: noise
# may be stronger in a part of the image, or compression may have left it nowhere else.
_UNSTEADY, _CLEARLY_WHITE = 3.0, 0.1
# Blocks that hold nothing but noise differ by chance: the logarithm of the 20th over
# the 5th percentile of their variances is 0.8 standard deviations. The less there is in
# high frequencies, the more structure may be in the blocks besides.
_MOST_UNEVEN, _MOST_UNEVEN_PER_SHARE = 1.45, 7.5


@dataclass(frozen=True)
class NeighbourCorrelation:
    """Correlation of neighbouring pixels where there is hardly any structure.

    Attributes
    ----------
    correlation : tuple of float
        Correlation of neighbouring pixels along Y and along X.
    by_noise : bool
        Whether it is noise that they share. Structure that is everywhere correlates,
        too, but is not as even, and leaves all high frequencies to the noise.
    certain : bool
        Whether nothing but noise is in what correlates.
    """

    correlation: tuple[float, float]
    by_noise: bool
    certain: bool = False


@dataclass(frozen=True)
class _Whitest:
    """What is known from the blocks that are nearest to white noise.

    Structure, which has hardly any high frequencies, makes any block less white than
    its noise is. Noise that is blurred is nowhere white.
    """

    correlation: tuple[float, float]  # of neighbours along Y and along X
    beyond: float  # amplitude in high frequencies over that of blurred noise
    striped: bool  # rows or columns share their noise, which correlates, too
    steady: bool  # high frequencies are about as strong elsewhere

    @classmethod
    def of(cls, planes: Array, blocks: Blocks, high_level: NoiseLevel) -> _Whitest:
        """Look at planes, their blocks less a plane each, and high frequencies."""
        flat = blocks.residual.reshape(len(blocks.residual), -1)
        energy = (flat**2).sum(axis=1)
        # The cosines are orthonormal, and the plane is among those that are low.
        high = (energy - ((flat @ _HIGH) ** 2).sum(axis=1)) / (1 - _LOW)
        white = high / np.maximum(energy, _TINY)
        number = max(_FEWEST_WHITEST, int(_WHITEST_SHARE * len(white)))
        chosen = np.argsort(-white)[:number]
        along_y, along_x = autocorrelations(blocks.residual[chosen])
        correlation = float(along_y[1]), float(along_x[1])
        expected = blurred_share(correlation[0]) * blurred_share(correlation[1])
        beyond = float(np.sqrt(white[chosen].mean() / expected))
        stripes = max(stripe_variances(planes))
        striped = stripes > STRIPED * blocks.variance[chosen].mean()
        relative = np.median(blocks.relative(high_level)[chosen])
        return cls(correlation, beyond, bool(striped), bool(relative < _UNSTEADY))

    @property
    def white(self) -> bool:
        """Whether the noise is, whatever correlates elsewhere."""
        return max(self.correlation) < (_WHITE if self.steady else _CLEARLY_WHITE)

    @property
    def patchy(self) -> bool:
        """Whether noise is white in places and has no high frequencies in others."""
        return max(self.correlation) < _WHITE and not self.white

    @property
    def blurred(self) -> bool:
        """Whether it is noise that correlates, beyond doubt."""
        highest = max(self.correlation)
        by_chance = 1 + _MOST_BEYOND * highest
        return highest >= _NOT_WHITE and self.beyond <= by_chance and not self.striped


def image_correlation(
    planes: Array, coarse: Blocks, high: Blocks, flattest: Array, light: Array
) -> NeighbourCorrelation:
    """Measure the correlation of neighbours in an image alone.

    Parameters
    ----------
    planes : ndarray
        Noisy planes, shape (N, Y, X), at least 16 pixels a side.
    coarse, high : Blocks
        Their blocks, less `COARSE`, and those of `high_blocks`.
    flattest : ndarray
        Blocks that hold hardly any structure, shape (N, B, B).
    light : ndarray
        What the noise depends on, of the shape of the planes.
    """
    scanned = scanned_correlation(planes)
    if scanned is not None:
        return NeighbourCorrelation(scanned, by_noise=True, certain=True)
    along_y, along_x = autocorrelations(flattest)
    found = float(along_y[1]), float(along_x[1])
    if max(found) < SHARED:
        return NeighbourCorrelation(found, by_noise=False)
    level, high_level = fit_noise_level(coarse), fit_noise_level(high)
    uneven = _unevenness(coarse, level, along_y, along_x)
    share = high_level.rms(light) / max(level.rms(light), _TINY)
    whitest = _Whitest.of(planes, coarse, high_level)
    return _found(found, share, uneven, whitest)


def high_blocks(planes: Array, intensity: Array | None = None) -> Blocks:
    """Cut planes (N, Y, X) into blocks of which high frequencies are left.

    Their means are those of `intensity`, if that is given.
    """
    size = int(np.sqrt(len(_HIGH)))
    n_planes, height, width = planes.shape
    n_places = n_planes * (height - size + 1) * (width - size + 1)
    stride = int(np.clip(np.sqrt(n_places / _FEWEST), 1, _STRIDE))
    return Blocks.of(planes, _HIGH, intensity=intensity, stride=stride)


def residual_correlation(
    planes: NDArray[Any], predicted: NDArray[Any], most: tuple[float, float]
) -> NeighbourCorrelation:
    """Measure the correlation of neighbours in what a prediction left of an image.

    Parameters
    ----------
    planes : ndarray
        Noisy planes, shape (N, Y, X), at least 16 pixels a side.
    predicted : ndarray
        Their prediction by a network that did not adapt to them and saw few of their
        pixels.
    most : tuple of float
        Correlations along Y and X of the flattest blocks of the image. Those of noise
        are not above them; what the network cannot predict besides noise may be.
    """
    noisy = planes.astype(np.float64)
    scanned = scanned_correlation(noisy)
    if scanned is not None:
        return NeighbourCorrelation(scanned, by_noise=True, certain=True)
    blocks = Blocks.of(noisy, COARSE, noisy - predicted)
    level = fit_noise_level(blocks)
    along_y, along_x = autocorrelations(blocks.flattest(level))
    y, x = (
        min(float(lags[1]) / _UNPREDICTED, limit)
        for lags, limit in zip((along_y, along_x), most, strict=True)
    )
    uneven = _unevenness(blocks, level, along_y, along_x)
    blocks = high_blocks(noisy)
    high_level = fit_noise_level(blocks)
    share = high_level.rms(noisy) / max(level.rms(noisy), _TINY)
    whitest = _Whitest.of(noisy, Blocks.of(noisy, COARSE), high_level)
    return _found((y, x), share, uneven, whitest)


def _found(
    along: tuple[float, float], high_share: float, uneven: float, whitest: _Whitest
) -> NeighbourCorrelation:
    """Return how neighbours correlate, and whether by noise, from all that is known."""
    if max(along) < SHARED:
        return NeighbourCorrelation(along, by_noise=False)
    if whitest.white:
        return NeighbourCorrelation((0.0, 0.0), by_noise=False)
    if whitest.blurred:
        return NeighbourCorrelation(whitest.correlation, by_noise=True, certain=True)
    by_noise = _is_noise(along, high_share, uneven, whitest.patchy)
    return NeighbourCorrelation(along, by_noise)


def _is_noise(
    along: tuple[float, float], high_share: float, uneven: float, patchy: bool
) -> bool:
    """Return whether it is noise by which neighbours correlate along Y and X."""
    correlation = max(along)
    least = _LEAST_SHARE * np.sqrt(blurred_share(along[0]) * blurred_share(along[1]))
    if correlation < _WEAKLY and high_share < least and not patchy:
        return False  # structure outweighs the noise
    most = _HIGH_SHARE - _HIGH_SHARE_PER_CORRELATION * correlation
    margin = most - high_share
    evenly = uneven < _MOST_UNEVEN + _MOST_UNEVEN_PER_SHARE * margin
    return margin >= 0 and evenly


def _unevenness(
    blocks: Blocks, level: NoiseLevel, along_y: Array, along_x: Array
) -> float:
    """Return how much more the flatter blocks differ than noise lets them."""
    low, high = np.quantile(blocks.relative(level), (0.05, 0.2))
    # Of n values that correlate, the mean square scatters as that of fewer (Bartlett).
    repeated = np.prod([2 * (lags**2).sum() - 1 for lags in (along_y, along_x)])
    scatter = np.sqrt(2 * max(repeated, 1.0) / blocks.residual[0].size)
    return float(np.log(max(high, _TINY) / max(low, _TINY)) / scatter)
