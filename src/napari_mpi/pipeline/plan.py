"""What is decided before a run begins: noise, settings, scaling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mpi.analysis.auto import Choice, choose, for_unaware_weights
from napari_mpi.analysis.noise import TOO_COARSE, NoiseEstimate, estimate_noise
from napari_mpi.analysis.uneven_noise import with_strongest
from napari_mpi.arrays.intensity import Scaling
from napari_mpi.config import (
    MEASURING,
    PRESETS,
    FillConfig,
    Precision,
    fill_config,
)
from napari_mpi.engine.devices import prefers_bfloat16
from napari_mpi.pipeline.measuring import measure_noise
from napari_mpi.pipeline.plane_store import PlaneStore, planes_to_look_at
from napari_mpi.weights.loading import Weights

__all__ = ["LARGEST_EXACT", "Correction", "Plan", "Request"]

LARGEST_EXACT = 2**24
"""Whole numbers up to this are the same in float32."""

Correction = Callable[[NoiseEstimate, NDArray[Any]], NoiseEstimate]
"""Takes what planes (N, Y, X) tell of their noise, and corrects it by what is known."""

_NOT_BY_NOISE = ("pixel_type", "precision")  # of settings, they do not depend on it
_BEYOND = 0.5  # by so much noise may take scaled values beyond 0 and 1
# Crops that a pixel is in while the network learns, in the mean. After more of them it
# knows the noise of a small plane by heart; planes of 256x256 pixels have so many.
_MOST_CROPS = 120


@dataclass(frozen=True)
class Request:
    """The settings as they were asked for."""

    preset: str | FillConfig
    noise: str | None
    settings: dict[str, Any]

    @property
    def measures(self) -> bool:
        """Whether settings are chosen by the noise that is found."""
        return self.preset in MEASURING and self.noise is None

    @property
    def fixes_n_iter(self) -> bool:
        """Whether there are so many iterations, however much there is to learn from."""
        return self.preset not in MEASURING or "n_iter" in self.settings

    @property
    def fills_stuck(self) -> bool:
        """Whether stuck pixels are filled before the noise is measured."""
        return fill_config(self.preset, self.noise, **self.settings).fill_stuck

    def config(
        self, found: NoiseEstimate | None, weights: Weights, device: torch.device
    ) -> tuple[FillConfig, Choice | None]:
        """Return the settings in full, and what was made of the noise."""
        config, choice = self._config(found, weights)
        return replace(config, precision=_precision(config, device)), choice

    def _config(
        self, found: NoiseEstimate | None, weights: Weights
    ) -> tuple[FillConfig, Choice | None]:
        if self.preset not in MEASURING:
            return fill_config(self.preset, self.noise, **self.settings), None
        if not self.measures or found is None:
            config = fill_config(self.preset, self.noise)
            if not weights.know_noise:
                config = for_unaware_weights(config, PRESETS[self.preset])
            return fill_config(config, **self.settings), None
        choice = choose(
            found, PRESETS[self.preset], weights_know_noise=weights.know_noise
        )
        config = fill_config(choice.config, None, **self.settings)
        set_otherwise = [
            field.name
            for field in fields(config)
            if field.name not in _NOT_BY_NOISE
            and getattr(config, field.name) != getattr(choice.config, field.name)
        ]
        if set_otherwise and not choice.clean:
            reason = f"{choice.reason} Set otherwise: {', '.join(set_otherwise)}."
            choice = replace(choice, reason=reason)
        return config, choice


@dataclass(frozen=True)
class Plan:
    """What is decided before a run begins, and holds until its end.

    Attributes
    ----------
    request : Request
        What was asked for.
    weights : Weights
        The weights to start from.
    seed : int
        Seed of the run.
    noise : NoiseEstimate or None
        The noise that was measured; None in a constant image.
    config : FillConfig
        The settings in full.
    choice : Choice or None
        What was made of the noise, if it was chosen by that.
    scaling : Scaling
        To the network's range and back, the same for all planes.
    n_iter : int
        Iterations where there is enough to learn from.
    """

    request: Request
    weights: Weights
    seed: int
    noise: NoiseEstimate | None
    config: FillConfig
    choice: Choice | None
    scaling: Scaling
    n_iter: int

    @property
    def clean(self) -> bool:
        """Whether noise was looked for, and there is none to remove."""
        return self.choice is not None and self.choice.clean

    @classmethod
    def make(
        cls,
        store: PlaneStore,
        request: Request,
        weights: Weights,
        *,
        device: torch.device,
        seed: int,
        correct: Correction | None = None,
    ) -> Plan:
        """Measure the noise of the planes and decide on the rest.

        Raises
        ------
        ValueError
            If `pixel_shuffle` is too large for the planes, or values are said to need
            no scaling and lie far outside of 0 to 1.
        """
        noise = None
        if not store.constant:
            noise = _measured(store, request, weights, device, seed, correct)
        config, choice = request.config(noise, weights, device)
        n_iter = config.n_iter
        if not request.fixes_n_iter:
            config = _not_by_heart(config, store.grid.plane_shape, len(store.varying))
        side = min(store.grid.plane_shape[:2])
        if config.crop_size is not None:
            side = min(side, config.crop_size)
        if 2 * config.pixel_shuffle > side:
            raise ValueError(
                f"pixel_shuffle is {config.pixel_shuffle}: expected at most half of "
                f"{side} pixels, the shortest side of a plane or crop."
            )
        scaling = Scaling.fit(store.sample, config.scaling)
        if config.scaling == "none":
            _require_scaled(store.sample)
        return cls(request, weights, seed, noise, config, choice, scaling, n_iter)

    def config_for(self, n_planes: int, plane_shape: tuple[int, ...]) -> FillConfig:
        """Return the settings for so many planes like these."""
        if self.request.fixes_n_iter:
            return self.config
        full = replace(self.config, n_iter=self.n_iter)
        return _not_by_heart(full, plane_shape, n_planes)

    def in_float(self, dtype: np.dtype[Any]) -> bool:
        """Whether the result is to be float32 instead of the input's type."""
        if self.config.pixel_type != "auto":
            return self.config.pixel_type == "float32" != dtype.name
        if dtype.kind not in "ui" or self.noise is None or self.clean:
            return False
        largest = abs(self.noise.offset) + self.noise.signal_range
        exact = largest < LARGEST_EXACT
        return exact and self.noise.rounding > TOO_COARSE

    def plane_seed(self, number: int) -> int:
        """Derive a seed from the plane's place only, not from what ran before."""
        sequence = np.random.SeedSequence([self.seed, number])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _measured(
    store: PlaneStore,
    request: Request,
    weights: Weights,
    device: torch.device,
    seed: int,
    correct: Correction | None,
) -> NoiseEstimate:
    # Empty frames would only widen the range.
    chosen = planes_to_look_at(store.varying, store.grid)
    planes, intensity = store.waiting(chosen), store.intensities(chosen)
    if request.measures and weights.know_noise:
        scaling = Scaling.fit(store.sample, "percentile")
        noise = measure_noise(
            planes, scaling, weights, intensity=intensity, device=device, seed=seed
        )
    else:
        # Whoever names the kind of noise knows better.
        named = request.noise is not None
        noise = estimate_noise(
            planes,
            shared=request.noise != "independent" if named else None,
            intensity=intensity,
        )
    if correct is not None and request.measures:
        noise = correct(noise, planes)
    _, choice = request.config(noise, weights, device)
    if choice is not None and choice.clean:  # a part of it may not be
        some = len(planes) // 2
        light = None if intensity is None else intensity[some]
        noise = with_strongest(noise, planes[some], light)
    return noise


def _not_by_heart(
    config: FillConfig, plane_shape: tuple[int, ...], n_planes: int
) -> FillConfig:
    """Return settings with fewer iterations where there is little to learn from."""
    if config.crop_size is None or config.n_iter == 0:
        return config
    n_together = n_planes if config.adapt_to == "stack" else 1
    places = [side / min(side, config.crop_size) for side in plane_shape[:2]]
    most = math.ceil(_MOST_CROPS * n_together * math.prod(places) / config.batch_size)
    return replace(config, n_iter=min(config.n_iter, max(most, 1)))


def _require_scaled(sample: NDArray[Any]) -> None:
    """Refuse values that the network cannot give back."""
    low, high = np.percentile(sample, (0.1, 99.9))
    if low < -_BEYOND or high > 1 + _BEYOND:
        raise ValueError(
            f"scaling is 'none', and pixels reach from {low:.3g} to {high:.3g}: "
            "expected about 0 to 1. Choose the scaling 'percentile'."
        )


def _precision(config: FillConfig, device: torch.device) -> Precision:
    """Return the precision that pays on a device."""
    if config.precision == "auto":
        return "bfloat16" if prefers_bfloat16(device) else "float32"
    # Graphics cards multiply float32 fast enough, rounded to TF32 by torch's default.
    if config.precision == "mixed" and not (
        device.type == "cpu" and prefers_bfloat16(device)
    ):
        return "float32"
    return config.precision
