"""Can the result be trusted? What the noise map tells after a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi.analysis.noise import TOO_COARSE, NoiseEstimate, estimate_noise
from napari_mpi.analysis.shared_noise import NeighbourCorrelation

__all__ = ["Verdict", "judge"]

Array = NDArray[np.float64]

# Fine structure is what lies between these widths of a Gaussian, in pixels; noise of
# single pixels is finer.
_FINE, _COARSE = 1.0, 3.0
_STRONGEST = 0.02  # share of pixels with the strongest fine structure
# Where hardly any structure is, noise that is left is the strongest, and the noise map
# holds the rest of it there: up to so many standard deviations of its fine part, and
# more of noise that neighbours share.
_BY_CHANCE, _BY_CHANCE_IF_SHARED = 1.3, 1.6
# Of the noise of few photons, a trace is left in the very places where it was strong:
# the mean of the strongest 2 % of normal numbers.
_BY_CHANCE_IF_FEW = 2.42
# In small planes few places decide, and those are the strongest that have noise left in
# them: structure has to stand out by so many standard deviations of what noise does.
_BEYOND_DOUBT = 7.0
# Of a normal distribution, over the median of absolute values.
_STD_PER_MEDIAN = 1.4826
# Limits beyond which the user is warned.
_MOST_STRUCTURE = 0.37
_MOST_NOISE_LEFT = 0.3
_MOST_CORRELATION = 0.15
_MOST_DRIFT = 0.05
_MOST_CLIPPED = 0.01


@dataclass(frozen=True)
class Verdict:
    """What was found in the noise map, and in words what it means.

    Attributes
    ----------
    std : float
        Standard deviation of the noise map, in the image's units.
    noise_left : float
        Noise of the denoised image as a share of the noise that was there.
    structure_removed : float
        Share of the contrast of the strongest fine structures that is in the noise
        map instead of the denoised image.
    correlation : float
        How much more neighbouring pixels of the noise map correlate than the noise.
    drift : float
        Mean of the noise map as a share of the noise's standard deviation.
    clipped : float
        Share of denoised pixels at an end of the range that the noisy ones were not
        at.
    rounding : float
        Error by rounding to whole numbers as a share of the noise, 0 for floating
        types.
    warnings : tuple of str
        What to be careful about, in plain words; empty if nothing was found.
    """

    std: float
    noise_left: float
    structure_removed: float
    correlation: float
    drift: float
    clipped: float
    rounding: float
    warnings: tuple[str, ...]


def judge(
    noisy: NDArray[Any],
    denoised: NDArray[Any],
    noise: NoiseEstimate,
    *,
    intensity: NDArray[Any] | None = None,
) -> Verdict:
    """Test a noise map for what should not be there.

    Parameters
    ----------
    noisy, denoised : ndarray
        Planes of shape (N, Y, X) before and after, in the same units.
    noise : NoiseEstimate
        The noise as it was estimated before.
    intensity : ndarray, optional
        What the noise depends on, if not the planes' own values; of the same shape.

    Notes
    -----
    A good noise map looks like noise all over. Where it is a faint copy of the image,
    structure was removed; the regression of its fine structure on that of the denoised
    image, at the strongest places, tells how much. How weak a loss can be found is
    limited by the noise itself.
    """
    limits = _limits(denoised.dtype)
    after = denoised.astype(np.float64)
    difference = noisy - after
    drift = left = 0.0
    if not noise.negligible:
        drift = float(difference.mean()) / noise.rms
        # What is left of noise that neighbours share is shared, too.
        neighbours = NeighbourCorrelation(noise.correlation, noise.shared)
        remaining = estimate_noise(after, neighbours=neighbours, intensity=intensity)
        before = noise.rms
        if noise.shared:  # with fine noise gone, coarse noise may stay
            known = estimate_noise(noisy, neighbours=neighbours, intensity=intensity)
            before = known.rms
        left = remaining.rms
        if not remaining.told_apart:  # there may be texture in it
            left = math.sqrt(max(left**2 - noise.texture**2, 0))
        left /= before
    at_end = np.isin(denoised, limits) & ~np.isin(noisy, limits)
    expected = _expected(after if intensity is None else intensity, noise)
    found = {
        "std": float(difference.std()),
        "noise_left": left,
        "structure_removed": _structure_removed(after, difference, expected, noise),
        "correlation": _excess_correlation(difference / expected, noise),
        "drift": drift,
        "clipped": float(at_end.mean()),
        "rounding": noise.rounding if denoised.dtype.kind in "ui" else 0.0,
    }
    return Verdict(**found, warnings=tuple(_in_words(found)))


def _in_words(found: dict[str, float]) -> list[str]:
    said = []
    if found["structure_removed"] > _MOST_STRUCTURE:
        said.append(
            "Structure was removed: the noise map holds about "
            f"{100 * found['structure_removed']:.0f} % of the contrast of fine "
            "detail. Look at it before you measure small things."
        )
    elif found["correlation"] > _MOST_CORRELATION:
        said.append(
            "Structure was removed: neighbours are more alike in the noise map than "
            "they are in the noise. Look at it before you measure small things."
        )
    if found["noise_left"] > _MOST_NOISE_LEFT:
        said.append(
            f"Noise remains: about {100 * found['noise_left']:.0f} % of it is still "
            "there. Longer filling or another noise kind may remove more."
        )
    if abs(found["drift"]) > _MOST_DRIFT:
        said.append(
            "The mean intensity has changed by "
            f"{100 * abs(found['drift']):.0f} % of the noise's standard deviation: do "
            "not compare absolute intensities with those of the input."
        )
    # What is rounded to an end of the range is not cut off.
    if found["clipped"] > _MOST_CLIPPED and found["rounding"] <= TOO_COARSE:
        said.append(
            f"{100 * found['clipped']:.1f} % of the denoised pixels are cut off at an "
            "end of the range: convert the image to float32 first."
        )
    if found["rounding"] > TOO_COARSE:
        said.append(
            "The denoised image is rounded to whole numbers like the input, whose "
            "noise is hardly larger than one: choose the pixel type float32 to keep "
            "what lies between."
        )
    return said


def _expected(intensity: NDArray[Any], noise: NoiseEstimate) -> Array:
    """Return the standard deviation of each pixel's noise, which is nowhere 0."""
    if noise.negligible:
        return np.ones(intensity.shape)
    variance = np.maximum(noise.variance(intensity), (1e-3 * noise.rms) ** 2)
    deviation: Array = np.sqrt(variance)
    return deviation


def _structure_removed(
    after: Array, difference: Array, expected: Array, noise: NoiseEstimate
) -> float:
    kept, removed = _band(after), _band(difference)
    strong = np.abs(kept) >= np.quantile(np.abs(kept), 1 - _STRONGEST)
    strongest = kept * strong
    energy = float((strongest**2).sum())
    if energy == 0:
        return 0.0
    product = float((strongest * removed).sum())
    typical = _STD_PER_MEDIAN * float(np.median(np.abs(removed)))
    by_chance = typical * (_BY_CHANCE_IF_SHARED if noise.shared else _BY_CHANCE)
    if noise.of_few_steps:
        by_chance = typical * _BY_CHANCE_IF_FEW
    # The band of a sum is the sum of bands: this is how noise makes the product vary.
    deviation = float(np.linalg.norm(_band(strongest) * expected))
    if product <= max(
        by_chance * math.sqrt(energy * strong.sum()), _BEYOND_DOUBT * deviation
    ):
        return 0.0
    ratio = product / energy
    return ratio / (1 + ratio)


def _band(planes: Array) -> Array:
    fine = ndimage.gaussian_filter(planes, (0, _FINE, _FINE))
    band: Array = fine - ndimage.gaussian_filter(planes, (0, _COARSE, _COARSE))
    return band


def _excess_correlation(scaled: Array, noise: NoiseEstimate) -> float:
    """Return how much more neighbours correlate than the noise does.

    Bright noise would drown the rest: each pixel counts in units of its own noise.
    """
    if noise.negligible:
        return 0.0
    scaled = scaled - scaled.mean()
    power = float((scaled**2).mean())
    if power == 0:
        return 0.0
    along_y = float((scaled[:, 1:] * scaled[:, :-1]).mean()) / power
    along_x = float((scaled[..., 1:] * scaled[..., :-1]).mean()) / power
    y, x = noise.correlation if noise.shared else (0.0, 0.0)
    # What rows have in common makes neighbours along X alike, and the other way round.
    of_rows, of_columns = noise.stripes
    return max(along_y - max(y, of_columns), along_x - max(x, of_rows))


def _limits(dtype: np.dtype[Any]) -> list[float]:
    if dtype.kind not in "ui":
        return []
    info = np.iinfo(dtype)
    return [float(info.min), float(info.max)]
