"""What the noise of an image is like, estimated from the image alone.

Small blocks that hold hardly any structure tell the noise: its variance in dependence
on the intensity, and how much neighbouring pixels share of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.analysis.noise_blocks import (
    Blocks,
    NoiseLevel,
    autocorrelation,
    blurred_share,
    common_to_lines,
    fit_noise_level,
    low_frequencies,
    polynomials,
    share_left,
    step_of,
    still_pixels,
)
from napari_mpi.arrays.intensity import without_hot_pixels
from napari_mpi.arrays.spread import evenly

__all__ = [
    "NeighbourCorrelation",
    "NoiseEstimate",
    "estimate_noise",
    "residual_correlation",
]

Array = NDArray[np.float64]
_TINY = float(np.finfo(float).tiny)

# Variance is read from small blocks, which find flat places between structures;
# correlation from larger ones, which hold more than one correlation length.
_FINE = polynomials(8, 2)
_COARSE = polynomials(16, 1)
_HIGH, _HIGH_STRIDE = low_frequencies(16), 4
_HIGH_REMOVED = _HIGH.shape[1] / _HIGH.shape[0]  # of the degrees of freedom
# Enough of a large stack, or of a plane in strips, to know its noise within a second.
_MAX_PLANES, _MAX_PIXELS = 5, 4_000_000
_N_STRIPS, _LEAST_STRIP = 4, 64
_LAGS = range(4)
_SMOOTHING = 9  # pixels
# Hot is what sticks out by more than so many typical differences of neighbours.
_HOT = 10.0
# A frame that was put around an image is so many steps from all its values.
_FRAME = 2.0
# Less than this share of the signal range is what rounding leaves of no noise.
_NEGLIGIBLE = 1e-6
# Below this correlation of neighbours, noise counts as independent.
_SHARED = 0.2
# A network that sees few pixels predicts about a fifth of what neighbours share.
_UNPREDICTED = 0.8
# Noise of any correlation varies less than so much more over the larger blocks.
_STRUCTURED = 5.0
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
# Their variance is less than so many times that of the noise.
_UNSTEADY = 3.0
# With less of the power in high frequencies, these do not tell how strong noise is.
_ENOUGH_HIGH = 0.04
# Stripes that hold more of the noise's variance than this correlate, too.
_STRIPED = 0.05
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
        high = (energy - ((flat @ _HIGH) ** 2).sum(axis=1)) / (1 - _HIGH_REMOVED)
        white = high / np.maximum(energy, _TINY)
        number = max(_FEWEST_WHITEST, int(_WHITEST_SHARE * len(white)))
        chosen = np.argsort(-white)[:number]
        along_y, along_x = _autocorrelations(blocks.residual[chosen])
        correlation = float(along_y[1]), float(along_x[1])
        expected = blurred_share(correlation[0]) * blurred_share(correlation[1])
        beyond = float(np.sqrt(white[chosen].mean() / expected))
        stripes = max(common_to_lines(turned) for turned in _both_ways(planes))
        striped = stripes > _STRIPED * blocks.variance[chosen].mean()
        # Compression to JPEG leaves them in some blocks only.
        relative = np.median(blocks.relative(high_level)[chosen])
        return cls(correlation, beyond, bool(striped), bool(relative < _UNSTEADY))

    @property
    def white(self) -> bool:
        """Whether the noise is, whatever correlates elsewhere."""
        return max(self.correlation) < _WHITE and self.steady

    @property
    def patchy(self) -> bool:
        """Whether noise is white in places and has no high frequencies in others."""
        return max(self.correlation) < _WHITE and not self.steady

    @property
    def blurred(self) -> bool:
        """Whether it is noise that correlates, beyond doubt."""
        highest = max(self.correlation)
        by_chance = 1 + _MOST_BEYOND * highest
        return highest >= _NOT_WHITE and self.beyond <= by_chance and not self.striped


@dataclass(frozen=True)
class NoiseEstimate:
    """The noise of an image, in the image's units.

    Attributes
    ----------
    offset : float
        Intensity of the darkest regions, or of what the noise depends on there.
    read_noise : float
        Standard deviation of the noise at `offset`.
    gain : float
        Growth of the noise variance per unit of intensity above `offset`: for photon
        noise, the counts that one photo-electron gives.
    speckle : float
        Standard deviation of noise in proportion to the intensity above `offset`, as a
        share of that: of coherent light, of flicker, of pixels that differ.
    compression : float
        Fall of the noise with the intensity, as a gamma correction or a logarithm makes
        it: its standard deviation is `read_noise` over one and so many times the
        intensity above `offset`.
    rms : float
        Standard deviation of the noise over the whole image.
    strongest : float
        Standard deviation of the noise in the part of the image where it is strongest,
        where that was looked for (see `napari_mpi.analysis.uneven_noise`); else `rms`.
    signal_range : float
        Distance of the 0.1 and 99.9 percentiles, hot pixels and a frame of one value
        aside; of several planes that are not empty, the median.
    correlation : tuple of float
        Correlation of neighbouring pixels along Y and along X in the flattest places.
    shared : bool
        Whether neighbouring pixels share their noise.
    certain : bool
        Whether nothing but noise is in what they share.
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
    speckle: float
    compression: float
    rms: float
    strongest: float
    signal_range: float
    correlation: tuple[float, float]
    shared: bool
    certain: bool
    stripes: tuple[float, float]
    saturated: float
    step: float

    @property
    def neighbours_correlate(self) -> bool:
        """Whether neighbouring pixels correlate, by noise or by structure."""
        return max(self.correlation) >= _SHARED

    @property
    def negligible(self) -> bool:
        """Whether there is none."""
        return self.relative < _NEGLIGIBLE

    @property
    def relative(self) -> float:
        """Standard deviation of the noise in units of the signal range."""
        return self.rms / self.signal_range if self.signal_range > 0 else 0.0

    def scaled(self, offset: float, gain: float) -> NoiseEstimate:
        """Return the noise of the image less an offset, divided by a gain."""
        return replace(
            self,
            offset=(self.offset - offset) / gain,
            read_noise=self.read_noise / gain,
            gain=self.gain / gain,
            compression=self.compression * gain,
            rms=self.rms / gain,
            strongest=self.strongest / gain,
            signal_range=self.signal_range / gain,
            step=self.step / gain,
        )

    def variance(self, intensity: NDArray[Any]) -> NDArray[Any]:
        """Return the variance of the noise where the clean image has an intensity."""
        level = NoiseLevel(
            self.offset,
            self.read_noise**2,
            self.gain,
            self.speckle**2,
            self.compression,
        )
        return level.variance(intensity)


def estimate_noise(
    planes: NDArray[Any],
    *,
    neighbours: NeighbourCorrelation | None = None,
    shared: bool | None = None,
    intensity: NDArray[Any] | None = None,
) -> NoiseEstimate:
    """Estimate the noise of one plane, or of planes that have their noise in common.

    Parameters
    ----------
    planes : ndarray
        Shape (Y, X) or (N, Y, X), real and finite, at least 16 pixels a side. Of many
        planes, a few that are spread evenly are looked at, and of a large one as many
        strips of rows.
    neighbours : NeighbourCorrelation, optional
        What is known better than from the image alone.
    shared : bool, optional
        Whether neighbouring pixels share their noise, if nothing but that is known.
    intensity : ndarray, optional
        What the noise depends on, if not the planes' own values; of the same shape.
        The offset is that of this.

    Returns
    -------
    NoiseEstimate
        Standard deviations are right to about a tenth where the image has some flat
        places. Where there is structure everywhere, it counts as noise in part.

    Notes
    -----
    The blocks of each intensity in which least is going on tell the variance; choosing
    them makes it too small by a factor that is known for Gaussian noise. What is going
    on is measured in the high frequencies of a block, and where neighbours share their
    noise, which has hardly any of these, in what a low polynomial leaves. A line
    through the lower edge of these points, with both coefficients positive, is the
    Poisson-Gaussian model of Foi et al. (IEEE TIP 2008); where it misses them, there is
    speckle, or noise that falls with the intensity.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi.analysis.noise import estimate_noise
    >>> noisy = 100 + 5 * np.random.default_rng(0).standard_normal((128, 128))
    >>> round(estimate_noise(noisy).rms)
    5
    """
    stack = np.asarray(planes).reshape(-1, *np.shape(planes)[-2:])
    sample = _sample(stack)
    at_highest = float((sample == sample.max()).mean())
    limited = without_hot_pixels(sample)
    step = step_of(sample)
    inside = _inside(limited, step)
    widths = _signal_ranges(limited, inside)
    typical = float(np.median(np.abs(np.diff(sample))))
    if typical > 0:  # else most pixels have the same value, and nothing is usual
        sample = np.where(np.abs(sample - limited) > _HOT * typical, limited, sample)
    depends_on = sample
    if intensity is not None:
        depends_on = _sample(np.asarray(intensity).reshape(stack.shape))

    coarse = Blocks.of(sample, _COARSE, intensity=depends_on)
    fine = Blocks.of(sample, _FINE, intensity=depends_on)
    high = Blocks.of(sample, _HIGH, intensity=depends_on, stride=_HIGH_STRIDE)
    level, high_level = fit_noise_level(coarse), fit_noise_level(high)
    flattest = coarse.flattest(level)
    flattest_fine = fine.flattest(fit_noise_level(fine))
    if (flattest**2).mean() > _STRUCTURED * (flattest_fine**2).mean():
        flattest = flattest_fine  # no large block is flat
    along_y, along_x = _autocorrelations(flattest)
    if neighbours is None:
        found = float(along_y[1]), float(along_x[1])
        uneven = _unevenness(coarse, level, along_y, along_x)
        share = _rms(depends_on, high_level) / max(_rms(depends_on, level), _TINY)
        if shared is None:
            whitest = _Whitest.of(sample, coarse, high_level)
            neighbours = _found(found, share, uneven, whitest)
        else:
            neighbours = NeighbourCorrelation(found, shared)
    left_high = blurred_share(neighbours.correlation[0]) * blurred_share(
        neighbours.correlation[1]
    )
    if not neighbours.by_noise:
        found_level = fit_noise_level(high, may_bend=True)
    elif neighbours.certain and left_high > _ENOUGH_HIGH:
        found_level = fit_noise_level(high, left=left_high, may_bend=True)
    else:
        # A block's polynomial takes away noise too, the more the longer it correlates.
        left = share_left(fine, along_y, along_x)
        found_level = fit_noise_level(fine, left=left)
    lines = [common_to_lines(turned) for turned in _both_ways(sample)]
    whole = _rms(depends_on, found_level, inside) ** 2 + sum(lines)
    return NoiseEstimate(
        offset=found_level.offset,
        read_noise=float(np.sqrt(found_level.floor)),
        gain=found_level.slope,
        speckle=float(np.sqrt(found_level.bend)),
        compression=found_level.fall,
        rms=float(np.sqrt(whole)),
        strongest=float(np.sqrt(whole)),
        signal_range=float(np.median(widths)) if widths else 0.0,
        correlation=neighbours.correlation,
        shared=neighbours.by_noise,
        certain=neighbours.certain,
        stripes=(lines[0] / max(whole, _TINY), lines[1] / max(whole, _TINY)),
        saturated=at_highest if at_highest > 1 / sample.size else 0.0,
        step=step,
    )


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
    blocks = Blocks.of(noisy, _COARSE, noisy - predicted)
    level = fit_noise_level(blocks)
    along_y, along_x = _autocorrelations(blocks.flattest(level))
    y, x = (
        min(float(lags[1]) / _UNPREDICTED, limit)
        for lags, limit in zip((along_y, along_x), most, strict=True)
    )
    uneven = _unevenness(blocks, level, along_y, along_x)
    blocks = Blocks.of(noisy, _HIGH, stride=_HIGH_STRIDE)
    high_level = fit_noise_level(blocks)
    share = _rms(noisy, high_level) / max(_rms(noisy, level), _TINY)
    whitest = _Whitest.of(noisy, Blocks.of(noisy, _COARSE), high_level)
    return _found((y, x), share, uneven, whitest)


def _sample(stack: NDArray[Any]) -> Array:
    """Return some planes of a stack (N, Y, X), or of a large plane some strips."""
    n_planes = min(len(stack), _MAX_PLANES, max(1, _MAX_PIXELS // stack[0].size))
    sample = stack[evenly(len(stack) - 1, n_planes)]
    if n_planes == 1:
        plane, length = sample[0], len(sample[0])
        n_rows = max(_LEAST_STRIP, _MAX_PIXELS // plane[0].size // _N_STRIPS)
        if n_rows * _N_STRIPS < length:
            starts = evenly(length - n_rows, _N_STRIPS)
            sample = np.stack([plane[start : start + n_rows] for start in starts])
    return sample.astype(np.float64)


def _inside(planes: Array, step: float) -> NDArray[np.bool_]:
    """Return which pixels of planes (N, Y, X) are not in a frame of one value."""
    inside = np.ones(planes.shape, bool)
    for number, (plane, still) in enumerate(
        zip(planes, still_pixels(planes), strict=True)
    ):
        for end, percent in ((plane.min(), 0.1), (plane.max(), 99.9)):
            at_end = plane == end
            frame = ndimage.binary_dilation(still & at_end) & at_end
            rest = plane[~frame]
            # Dark places of an image have more values near their own than that.
            if rest.size and abs(np.percentile(rest, percent) - end) > _FRAME * step:
                inside[number] &= ~frame
    return inside if inside.any() else np.ones(planes.shape, bool)


def _signal_ranges(planes: Array, inside: NDArray[np.bool_]) -> list[float]:
    """Return the distance of the 0.1 and 99.9 percentiles of each plane, if any."""
    ranges = []
    for plane, chosen in zip(planes, inside, strict=True):
        if chosen.any():
            low, high = np.percentile(plane[chosen], (0.1, 99.9))
            ranges.append(float(high - low))
    return [one for one in ranges if one > 0]


def _autocorrelations(blocks: Array) -> tuple[Array, Array]:
    """Return the correlation along Y and along X at each of the lags."""
    along_y, along_x = (
        autocorrelation(turned, _LAGS) for turned in (blocks, blocks.swapaxes(1, 2))
    )
    return along_y, along_x


def _unevenness(
    blocks: Blocks, level: NoiseLevel, along_y: Array, along_x: Array
) -> float:
    """Return how much more the flatter blocks differ than noise lets them."""
    low, high = np.quantile(blocks.relative(level), (0.05, 0.2))
    # Of n values that correlate, the mean square scatters as that of fewer (Bartlett).
    repeated = np.prod([2 * (lags**2).sum() - 1 for lags in (along_y, along_x)])
    scatter = np.sqrt(2 * max(repeated, 1.0) / blocks.residual[0].size)
    return float(np.log(max(high, _TINY) / max(low, _TINY)) / scatter)


def _both_ways(planes: Array) -> tuple[Array, Array]:
    """Return planes as they are, and with rows and columns exchanged."""
    return planes, planes.swapaxes(1, 2)


def _found(
    along: tuple[float, float], high_share: float, uneven: float, whitest: _Whitest
) -> NeighbourCorrelation:
    """Return how neighbours correlate, and whether by noise, from all that is known."""
    if max(along) >= _SHARED and whitest.white:
        return NeighbourCorrelation((0.0, 0.0), by_noise=False)
    if max(along) >= _SHARED and whitest.blurred:
        return NeighbourCorrelation(whitest.correlation, by_noise=True, certain=True)
    by_noise = _is_noise(along, high_share, uneven, whitest.patchy)
    return NeighbourCorrelation(along, by_noise)


def _is_noise(
    along: tuple[float, float], high_share: float, uneven: float, patchy: bool
) -> bool:
    """Return whether it is noise by which neighbours correlate along Y and X."""
    correlation = max(along)
    if correlation < _SHARED:
        return False
    least = _LEAST_SHARE * np.sqrt(blurred_share(along[0]) * blurred_share(along[1]))
    if correlation < _WEAKLY and high_share < least and not patchy:
        return False  # structure outweighs the noise
    most = _HIGH_SHARE - _HIGH_SHARE_PER_CORRELATION * correlation
    margin = most - high_share
    evenly = uneven < _MOST_UNEVEN + _MOST_UNEVEN_PER_SHARE * margin
    return margin >= 0 and evenly


def _rms(
    planes: Array, level: NoiseLevel, inside: NDArray[np.bool_] | None = None
) -> float:
    """Return the standard deviation of noise over whole planes, or chosen pixels."""
    if inside is not None:
        planes = np.where(inside, planes, np.median(planes[inside]))
    # Smoothed, as noise would make dark places brighter in the mean.
    smooth = ndimage.uniform_filter(planes, (0, _SMOOTHING, _SMOOTHING))
    variance = level.variance(smooth)
    return float(np.sqrt(np.mean(variance, where=True if inside is None else inside)))
