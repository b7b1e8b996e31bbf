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

from napari_mpi.analysis.kurtosis import noise_share
from napari_mpi.analysis.noise_blocks import (
    Blocks,
    NoiseLevel,
    autocorrelations,
    blurred_share,
    fit_noise_level,
    polynomials,
    share_left,
    step_of,
    still_pixels,
)
from napari_mpi.analysis.shared_noise import (
    COARSE,
    SHARED,
    NeighbourCorrelation,
    high_blocks,
    image_correlation,
)
from napari_mpi.analysis.stripes import STRIPED, stripe_variances
from napari_mpi.arrays.intensity import without_hot_pixels
from napari_mpi.arrays.spread import evenly

__all__ = ["TOO_COARSE", "NoiseEstimate", "estimate_noise"]

TOO_COARSE = 0.1
"""Error by rounding, as a share of the noise, that costs a decibel or more where a
fifth of the noise is left."""

Array = NDArray[np.float64]
_TINY = float(np.finfo(float).tiny)

# Variance is read from small blocks, which find flat places between structures;
# correlation from larger ones, which hold more than one correlation length.
_FINE = polynomials(8, 2)
# Enough of a large stack, or of a plane in strips, to know its noise within a second.
_MAX_PLANES, _MAX_PIXELS = 5, 4_000_000
_N_STRIPS, _LEAST_STRIP = 4, 64
# Hot is what sticks out by more than so many typical differences of neighbours.
_HOT = 10.0
# A frame that was put around an image is so many steps from all its values.
_FRAME = 2.0
# Less than this share of the signal range is what rounding leaves of no noise.
_NEGLIGIBLE = 1e-6
# Noise of any correlation varies less than so much more over the larger blocks.
_STRUCTURED = 5.0
# With less of the power in high frequencies, these do not tell how strong noise is.
_ENOUGH_HIGH = 0.04
# Counts of so few steps, as a standard deviation, are not distributed normally.
_FEWEST_STEPS = 2.0
# There surely is noise if its share of what was found is known to so much, and is not
# above one by more than chance.
_MOST_ERROR, _MOST_SHARE = 0.1, 1.15


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
    told_apart : bool
        Whether noise is in the image beyond doubt, as it was told from texture (see
        `napari_mpi.analysis.kurtosis`).
    share : float
        Standard deviation of the noise over that of noise and texture together, where
        the latter is weakest, if they were told apart; by its standard error more.
    confirmed : bool
        Whether there is noise beyond doubt, however weak, because something besides
        the image tells so (see `napari_mpi.analysis.colour_noise`).
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
    told_apart: bool = False
    share: float = 1.0
    confirmed: bool = False

    @property
    def neighbours_correlate(self) -> bool:
        """Whether neighbouring pixels correlate, by noise or by structure."""
        return max(self.correlation) >= SHARED

    @property
    def negligible(self) -> bool:
        """Whether there is none."""
        return self.relative < _NEGLIGIBLE

    @property
    def relative(self) -> float:
        """Standard deviation of the noise in units of the signal range."""
        return self.rms / self.signal_range if self.signal_range > 0 else 0.0

    @property
    def texture(self) -> float:
        """Standard deviation of texture where it is weakest; 0 if it was not found."""
        return float(self.rms * np.sqrt(1 / self.share**2 - 1))

    @property
    def of_few_steps(self) -> bool:
        """Whether it is about as strong as values are apart, as counts of photons."""
        return self.rms < _FEWEST_STEPS * self.step

    @property
    def rounding(self) -> float:
        """The error by rounding to whole numbers, as a share of the noise."""
        # A number between two whole ones is off by the root of a twelfth in the mean.
        return 0.0 if self.negligible else float(12**-0.5 / self.rms)

    def times(self, factor: float) -> NoiseEstimate:
        """Return noise that is so many times as strong as what was found.

        Of a fixed sum, stripes then have another share, and so has texture.
        """
        rows, columns = (min(share / factor**2, 1.0) for share in self.stripes)
        return replace(
            self,
            read_noise=self.read_noise * factor,
            gain=self.gain * factor**2,
            speckle=self.speckle * factor,
            rms=self.rms * factor,
            strongest=self.strongest * factor,
            stripes=(rows, columns),
            share=min(self.share * factor, 1.0),
        )

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
        places, and mostly below texture, too. Where it cannot be told from noise, it
        counts as noise in part.

    Notes
    -----
    The blocks of each intensity in which least is going on tell the variance; choosing
    them makes it too small by a factor that is known for Gaussian noise. What is going
    on is measured in the high frequencies of a block, and where neighbours share their
    noise, which has hardly any of these, in what a low polynomial leaves. A line
    through the lower edge of these points, with both coefficients positive, is the
    Poisson-Gaussian model of Foi et al. (IEEE TIP 2008); where it misses them, there is
    speckle, or noise that falls with the intensity. Texture that is everywhere is told
    from independent noise by the kurtosis (see `napari_mpi.analysis.kurtosis`).

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

    coarse = Blocks.of(sample, COARSE, intensity=depends_on)
    fine = Blocks.of(sample, _FINE, intensity=depends_on)
    high = high_blocks(sample, depends_on)
    flattest = coarse.flattest(fit_noise_level(coarse))
    flattest_fine = fine.flattest(fit_noise_level(fine))
    if (flattest**2).mean() > _STRUCTURED * (flattest_fine**2).mean():
        flattest = flattest_fine  # no large block is flat
    along_y, along_x = autocorrelations(flattest)
    if shared is not None and neighbours is None:
        found = float(along_y[1]), float(along_x[1])
        neighbours = NeighbourCorrelation(found, shared)
    elif neighbours is None:
        neighbours = image_correlation(sample, coarse, high, flattest, depends_on)
    y, x = neighbours.correlation
    left_high = blurred_share(y) * blurred_share(x)
    if neighbours.by_noise:
        # A block's polynomial takes away noise too, the more the longer it correlates.
        left = share_left(fine, along_y, along_x)
        levels = [fit_noise_level(fine, left=left)]
        if neighbours.certain and left_high > _ENOUGH_HIGH:
            levels.append(fit_noise_level(high, left=left_high))
        # What is more than the noise is structure, in either of them.
        found_level = min(levels, key=lambda level: level.rms(depends_on, inside))
    else:
        found_level = fit_noise_level(high, may_bend=True)
    lines = stripe_variances(sample)
    whole = found_level.rms(depends_on, inside) ** 2 + sum(lines)
    estimate = NoiseEstimate(
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
    return _told_apart(estimate, found_level, sample, depends_on)


def _told_apart(
    found: NoiseEstimate, level: NoiseLevel, planes: Array, intensity: Array
) -> NoiseEstimate:
    """Return noise without the texture that was taken for noise, if that shows."""
    unlike = found.shared or found.speckle > 0 or max(found.stripes) > STRIPED
    if unlike or found.of_few_steps:
        return found
    told = noise_share(planes, level, intensity)
    if told is None:
        return found
    share, error = told
    sure = error < min(_MOST_ERROR, share / 2) and share < _MOST_SHARE
    return replace(found.times(min(share + error, 1.0)), told_apart=sure)


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
            if not frame.any():
                continue
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
