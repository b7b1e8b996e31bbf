"""Intensities on their way to the network, and back to the input's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.analysis.local_noise import LocalNoise, noise_excess
from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.analysis.noisy_values import (
    combine_with_input,
    error_variance,
    unexplained_variance,
    without_lines,
    without_outliers,
)
from napari_mpi.analysis.stripes import STRIPED
from napari_mpi.analysis.uncertainty import standard_error
from napari_mpi.arrays.intensity import (
    Scaling,
    beyond_range,
    seen,
    without_hot_pixels,
)
from napari_mpi.config import MaskShape
from napari_mpi.engine.fill import Fill
from napari_mpi.engine.neighbours import Estimate, join
from napari_mpi.engine.passes import Passes
from napari_mpi.engine.wiener import wiener_filter
from napari_mpi.pipeline.plan import Plan
from napari_mpi.pipeline.resources import Resources

__all__ = ["Photometry", "PlaneEstimate"]

# Local means are taken with a Gaussian of this standard deviation, in pixels: wide
# enough that hardly any noise is left in them.
_MEAN_SIGMA = 24.0
# So wide a Gaussian is as good over means of blocks, in a tenth of the time: of one of
# these sides in pixels, whichever fits the plane.
_MEAN_BLOCKS = (1, 2, 3, 4)
# Some noise is in any estimate, and more where neighbours share it, as it is predicted
# in part: its variance is taken to be so many times as large.
_CAUTION, _CAUTION_IF_SHARED = 1.15, 1.5
# Noisy values that correct the prediction by so much, as a share of the noise variance,
# leave an estimate that is filtered once before it tells what is signal, in part or
# altogether: it is as noisy as the image there.
_NOISY_IN_PART, _NOISY = 0.1, 0.3
# So much of an estimate's squared error does not become less with the noise, as planes
# that show the same are wrong alike; measured on the sequences of `benchmarks.stacks`.
_IN_COMMON = 1 / 3


@dataclass(frozen=True)
class PlaneEstimate:
    """What is reached of a plane, in the network's range; arrays (C, Y, X), float32.

    Attributes
    ----------
    values : ndarray
        The denoised plane.
    errors : ndarray or None
        Their standard errors, if these are asked for.
    noisy : ndarray
        The noisy plane that they were corrected by, without stripes and hot pixels.
    blind : ndarray
        The prediction of each pixel from others.
    variance : ndarray
        Variance of the noise of each pixel.
    light : ndarray or None
        What the noise depends on, if not the plane's own values.
    """

    values: NDArray[np.float32]
    errors: NDArray[np.float32] | None
    noisy: NDArray[np.float32]
    blind: NDArray[np.float32]
    variance: NDArray[np.float32]
    light: NDArray[np.float32] | None

    def brightened(self, by: NDArray[np.float32]) -> Estimate:
        """Return it as tensors, with what is to be added to its light."""
        light = (self.noisy + by, self.values + by, self.blind + by, self.variance)
        return Estimate(*map(torch.from_numpy, light))


@dataclass(frozen=True)
class Photometry:
    """Takes intensities to the network's range, and results to the input's units.

    Between the two everything is in units of that range, in float32.

    Attributes
    ----------
    scaling : Scaling
        The range of the image, and that of the network.
    keep_mean : bool
        Whether local means are to be those of the input.
    noise : NoiseEstimate or None
        The noise of the pixels in the input's units; None in an image that is constant,
        which nothing is to be done for.
    own_pixel : bool
        Whether each pixel's own noisy value is to count in its result.
    wiener : bool
        Whether the noisy image is to be filtered by the spectrum of the result.
    mask_shape : {"pixels", "rows", "columns"}
        What was hidden as a whole, as it has noise in common.
    """

    scaling: Scaling
    keep_mean: bool
    noise: NoiseEstimate | None
    own_pixel: bool
    wiener: bool
    mask_shape: MaskShape

    @classmethod
    def of(cls, plan: Plan) -> Photometry:
        """Return what the plan asks for."""
        config = plan.config
        return cls(
            plan.scaling,
            config.keep_mean,
            plan.noise,
            config.own_pixel,
            config.wiener,
            config.mask_shape,
        )

    def to_network(self, noisy: NDArray[Any]) -> Tensor:
        """Return a plane (C, Y, X) as the network takes it."""
        return torch.from_numpy(seen(self.scaling.apply(noisy)))

    @property
    def joins(self) -> bool:
        """Whether planes beside each other may tell of each other.

        What is left of stripes would look like a change from plane to plane.
        """
        return self.wiener and self._stripes is None

    def estimate(
        self,
        filling: Fill | Passes,
        noisy: NDArray[Any],
        resources: Resources,
        intensity: NDArray[Any] | None = None,
        *,
        uncertainty: bool,
    ) -> PlaneEstimate:
        """Return what is reached of a plane by itself.

        Parameters
        ----------
        filling : Fill or Passes
            The plane, as far as it is filled.
        noisy : ndarray
            What it was, shape (C, Y, X), in the input's units.
        resources : Resources
            What to compute with.
        intensity : ndarray, optional
            What the noise depends on, if not the plane's own values; of the same shape.
        uncertainty : bool
            Whether to estimate the standard errors.
        """
        scaled = self.scaling.apply(noisy)
        local = self._local_noise(intensity)
        blind, error = _predicted(filling, scaled, local)
        meant = scaled
        if self.keep_mean:
            meant = _without_light_of_hot_pixels(scaled, blind, error, local)
            blind += _local_mean(meant - blind)
        freed: NDArray[Any] = scaled
        stripes = self._stripes
        if stripes is not None:
            freed = without_lines(scaled, blind, stripes)
        if self.own_pixel:
            excess = noise_excess(
                freed, blind, local.variance(blind), local.noise.share
            )
            local = replace(local, excess=excess)
        variance = local.variance(blind)
        unexplained = unexplained_variance(freed, blind, variance)
        error = np.maximum(error, unexplained)
        errors = None
        if uncertainty:
            errors = standard_error(error, variance if self.own_pixel else None)
        # Where neighbours share their noise, single pixels tell little: they only
        # count where the prediction is certainly wrong.
        wrong = error if self.own_pixel else unexplained
        del unexplained, variance
        values = blind
        if self.own_pixel or self.wiener:
            freed = without_outliers(
                freed, blind, error, local.variance(blind), local.gain
            )
            values = combine_with_input(freed, blind, wrong, local.variance(blind))
            if self.wiener:
                values = self._filtered_twice(freed, values, blind, local, resources)
            if self.wiener and stripes is not None:
                # What lines have in common is known better now, and so is the rest.
                freed = without_lines(scaled, values, stripes)
                freed = without_outliers(
                    freed, values, error, local.variance(values), local.gain
                )
                values = self._filtered(freed, values, values, local, resources)
            if self.keep_mean:  # filters of few photons lean towards either side
                values += _local_mean(meant - values)
        return PlaneEstimate(
            values, errors, freed, blind, local.variance(values), local.intensity
        )

    def joined(
        self,
        plane: PlaneEstimate,
        neighbours: Sequence[PlaneEstimate],
        resources: Resources,
    ) -> tuple[PlaneEstimate, float]:
        """Return what a plane and those beside it tell together.

        Parameters
        ----------
        plane : PlaneEstimate
            The plane by itself.
        neighbours : sequence of PlaneEstimate
            Planes beside it.
        resources : Resources
            What to compute with.

        Returns
        -------
        joined : PlaneEstimate
            The plane with less noise.
        n_planes : float
            As how many planes it counts in the mean, see
            `napari_mpi.engine.neighbours.join`.
        """
        # Lamps flicker, and dyes bleach: each plane has its own light.
        others = [
            other.brightened(_local_mean(plane.noisy - other.noisy))
            for other in neighbours
        ]
        own = plane.brightened(np.zeros_like(plane.noisy))
        guide = None if plane.light is None else torch.from_numpy(plane.light)
        assert self.noise is not None
        correlation = self.noise.correlation if self.noise.shared else (0.0, 0.0)

        def work(device: torch.device) -> tuple[NDArray[Any], NDArray[Any], float]:
            joined, n_planes = join(
                own.to(device), [one.to(device) for one in others], correlation
            )
            filtered = wiener_filter(
                joined.noisy,
                joined.values,
                joined.blind,
                joined.variance,
                None if guide is None else guide.to(device),
                # Of independent noise little is left by now; caution would cost detail.
                caution=1.0 if self.own_pixel else self._caution,
                independent=self.own_pixel,
            )
            return filtered.cpu().numpy(), joined.variance.cpu().numpy(), n_planes

        values, variance, n_planes = resources.filtered(work)
        values += _local_mean(plane.values - values)
        errors = plane.errors
        if errors is not None:
            # Where no noise is expected at all, neighbours may have some.
            least = np.finfo(np.float32).tiny
            left = np.minimum(variance / np.maximum(plane.variance, least), 1)
            errors = errors * np.sqrt(_IN_COMMON + (1 - _IN_COMMON) * left)
        return replace(plane, values=values, errors=errors), n_planes

    def to_input(
        self, plane: PlaneEstimate
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return values and standard errors in the input's units, (C, Y, X)."""
        errors = None if plane.errors is None else plane.errors * self.scaling.gain
        return self.scaling.invert(plane.values), errors

    def _local_noise(self, intensity: NDArray[Any] | None) -> LocalNoise:
        """Return the noise in the network's range."""
        assert self.noise is not None
        offset, gain = self.scaling.offset, self.scaling.gain
        if intensity is None:
            return LocalNoise(self.noise.scaled(offset, gain))
        # Light has no part in the offset of a difference.
        light = (intensity / gain).astype(np.float32)
        return LocalNoise(self.noise.scaled(0, gain), light)

    @property
    def _stripes(self) -> Literal["rows", "columns"] | None:
        """What was hidden as a whole because all of its pixels have noise in common."""
        if self.mask_shape == "pixels":
            return None
        noise = self.noise
        # Else each pixel has noise in common with a few beside it.
        striped = noise is None or not noise.shared or max(noise.stripes) > STRIPED
        return self.mask_shape if striped else None

    @property
    def _caution(self) -> float:
        return _CAUTION if self.own_pixel else _CAUTION_IF_SHARED

    def _filtered_twice(
        self,
        noisy: NDArray[Any],
        estimate: NDArray[Any],
        blind: NDArray[Any],
        local: LocalNoise,
        resources: Resources,
    ) -> NDArray[Any]:
        """Filter, and once more by what came out, where the estimate is noisy."""
        filtered = self._filtered(noisy, estimate, blind, local, resources)
        if not self.own_pixel:
            return filtered
        variance = np.maximum(local.variance(blind), np.finfo(np.float32).tiny)
        # Not more than the noise counts, or a few bright spots would decide.
        noisy_share = np.minimum(np.square(estimate - blind) / variance, 1).mean()
        towards = float(np.interp(noisy_share, (_NOISY_IN_PART, _NOISY), (0, 1)))
        if towards == 0:
            return filtered
        filtered = estimate + towards * (filtered - estimate)
        del variance  # of a large plane, filtering needs the memory
        return self._filtered(noisy, filtered, blind, local, resources)

    def _filtered(
        self,
        noisy: NDArray[Any],
        estimate: NDArray[Any],
        blind: NDArray[Any],
        local: LocalNoise,
        resources: Resources,
    ) -> NDArray[Any]:
        planes = [noisy, estimate, blind, local.variance(estimate)]
        if local.intensity is not None:
            # Light shows structure better than a colour difference. Where it is
            # denoised itself, it tells blocks apart that are better taken together.
            planes.append(local.intensity)

        def filtered(device: torch.device) -> Tensor:
            on_device = [torch.from_numpy(plane).to(device) for plane in planes]
            return wiener_filter(
                *on_device, caution=self._caution, independent=self.own_pixel
            ).cpu()

        return resources.filtered(filtered).numpy()


def _predicted(
    filling: Fill | Passes, noisy: NDArray[np.float32], local: LocalNoise
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what is predicted, and the variance of its error."""
    # Predictions lie within 0 and 1; a pixel without one is still the noisy value.
    values = filling.estimate.clamp(0, 1).cpu().numpy()
    # Structure brighter than the network can tell stays what it was, unless noise
    # alone may have brought it there.
    beyond = beyond_range(noisy)
    by_noise = np.sqrt(local.variance(values))
    beyond -= np.clip(beyond, -by_noise, by_noise)
    values += beyond
    spread = filling.spread.cpu().numpy()
    return values, error_variance(np.where(beyond != 0, local.variance(values), spread))


def _without_light_of_hot_pixels(
    noisy: NDArray[np.float32],
    blind: NDArray[Any],
    error: NDArray[Any],
    local: LocalNoise,
) -> NDArray[Any]:
    """Return what local means are to be taken of.

    The light of a hot pixel belongs to no place around it.
    """
    limited = without_outliers(noisy, blind, error, local.variance(blind), local.gain)
    return np.where(noisy != limited, without_hot_pixels(noisy), noisy)


def _local_mean(values: NDArray[Any]) -> NDArray[Any]:
    """Return means of planes (C, Y, X) around each pixel, of the same shape."""
    height, width = values.shape[-2:]
    block = [max(b for b in _MEAN_BLOCKS if side % b == 0) for side in (height, width)]
    blocks = F.avg_pool2d(torch.from_numpy(values), block).numpy()
    sigma = [_MEAN_SIGMA / side for side in block]
    means = ndimage.gaussian_filter(blocks, (0, *sigma), mode="reflect")
    enlarged = F.interpolate(
        torch.from_numpy(means)[None], (height, width), mode="bilinear"
    )
    found: NDArray[Any] = enlarged[0].numpy()
    return found
