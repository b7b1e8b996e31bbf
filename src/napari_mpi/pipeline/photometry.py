"""Intensities on their way to the network, and back to the input's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_mpi.analysis.noise import NoiseEstimate, combine_with_input
from napari_mpi.analysis.uncertainty import standard_error
from napari_mpi.arrays.intensity import Scaling
from napari_mpi.engine.fill import Fill
from napari_mpi.engine.passes import Passes
from napari_mpi.pipeline.plan import Plan

__all__ = ["Photometry"]

# Local means are taken with a Gaussian of this standard deviation, in pixels: wide
# enough that hardly any noise is left in them.
_MEAN_SIGMA = 24.0


@dataclass(frozen=True)
class Photometry:
    """Takes intensities to the network's range, and results to the input's units.

    Attributes
    ----------
    scaling : Scaling
        The range of the image, and that of the network.
    keep_mean : bool
        Whether local means are to be those of the input.
    own_noise : NoiseEstimate or None
        The noise of the pixels, if their own values are to count in the result.
    """

    scaling: Scaling
    keep_mean: bool
    own_noise: NoiseEstimate | None

    @classmethod
    def of(cls, plan: Plan) -> Photometry:
        """Return what the plan asks for."""
        config = plan.config
        own_noise = plan.noise if config.own_pixel else None
        return cls(plan.scaling, config.keep_mean, own_noise)

    def to_network(self, noisy: NDArray[Any]) -> Tensor:
        """Return a plane (C, Y, X) as the network takes it."""
        return torch.from_numpy(np.ascontiguousarray(self.scaling.apply(noisy)))

    def to_input(
        self, filling: Fill | Passes, noisy: NDArray[Any], uncertainty: bool
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return what is reached of a plane in the input's units.

        Parameters
        ----------
        filling : Fill or Passes
            The plane, as far as it is filled.
        noisy : ndarray
            What it was, shape (C, Y, X).
        uncertainty : bool
            Whether to estimate the standard errors.

        Returns
        -------
        values : ndarray
            Shape (C, Y, X).
        errors : ndarray or None
            Their standard errors, if these are asked for.
        """
        values = self.scaling.invert(filling.estimate.cpu().numpy())
        if self.keep_mean:
            values += ndimage.gaussian_filter(
                noisy - values, (0, _MEAN_SIGMA, _MEAN_SIGMA), mode="reflect"
            )
        errors = None
        if self.own_noise is not None or uncertainty:
            spread = filling.spread.cpu().double().numpy() * self.scaling.gain**2
            if uncertainty:
                errors = standard_error(spread, values, self.own_noise)
            if self.own_noise is not None:
                values = combine_with_input(noisy, values, spread, self.own_noise)
        return values, errors
