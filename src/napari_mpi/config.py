"""Settings of a run, as frozen dataclasses that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from napari_mpi.checks import (
    require_bool,
    require_choice,
    require_positive,
    require_whole,
)

__all__ = [
    "CORRELATED_RATIO",
    "MEASURING",
    "NOISE_KINDS",
    "PRESETS",
    "AdaptTo",
    "FillConfig",
    "MaskShape",
    "PixelType",
    "Precision",
    "ScalingMode",
    "checked_seed",
    "fill_config",
    "given_settings",
]

AdaptTo = Literal["stack", "plane"]
MaskShape = Literal["pixels", "rows", "columns"]
Precision = Literal["auto", "float32", "mixed", "bfloat16"]
PixelType = Literal["auto", "input", "float32"]
ScalingMode = Literal["range", "percentile", "none"]


@dataclass(frozen=True, kw_only=True)
class FillConfig:
    """How one image is filled: Algorithm 1 of Ma et al. (NeurIPS 2024).

    Attributes
    ----------
    n_iter : int
        Iterations T: per plane, or in all where `crop_size` is given. 0 fills with the
        weights as they are; it needs a `crop_size`.
    crop_size : int, optional
        Side in pixels of random crops to adapt the network on, after which planes are
        filled by passes alone. Without it, each plane is iterated over as a whole and
        its estimate is the average along the way, as in the paper.
    batch_size : int
        Crops in each iteration, with `crop_size`.
    n_passes : int
        Passes over each plane after adapting on crops, rounded up to the next pair for
        each of the networks that were kept.
    adapt_to : {"stack", "plane"}
        Whether all planes share one adaptation on crops.
    neighbours : int
        Join each plane of a stack with so many on either side, as far as these show
        the same, see `napari_mpi.engine.neighbours`. It takes effect where `wiener`
        does, `mask_shape` is "pixels", and all planes share one adaptation.
    mask_ratio : float
        Share p of pixels that are hidden in each iteration, between 0 and 1.
    mask_shape : {"pixels", "rows", "columns"}
        What is hidden as a whole. A row whose pixels share their noise has to be
        hidden from end to end.
    mask_per_channel : bool
        Draw a mask for each colour channel. It takes effect for RGB images and a
        network that sees a mask per channel; gray images always have one mask.
    pixel_shuffle : int
        Split each plane into this factor squared sub-images first, which breaks
        noise that neighbouring pixels share. 1 leaves the plane whole.
    averaging : float
        Without `crop_size`: weight β of the past in the running average of predictions,
        0 to below 1.
    bias_corrected : bool
        Without `crop_size`: average predictions only. If not, the noisy image is the
        average's first value, as in the paper, and stays in it for about 1 / (1 - β)
        updates.
    own_pixel : bool
        Combine the prediction, which is blind to a pixel's own noisy value, with that
        value. It is meant for noise that is independent from pixel to pixel. Without
        it, `wiener` takes that value where noise cannot explain the difference.
    wiener : bool
        Filter small blocks of the noisy image by the spectrum of the estimate, see
        `napari_mpi.engine.wiener`.
    keep_mean : bool
        Shift the result smoothly so that its local mean is the noisy image's.
    fill_stuck : bool
        Fill pixels that are stuck at the lowest or highest value from their
        neighbours first, see `napari_mpi.analysis.stuck_pixels`.
    early_stopping : bool
        Keep a share of the pixels out of the training, and end when the estimate no
        longer comes closer to them; `n_iter` is the most then.
    learning_rate : float
        Step size of Adam.
    scaling : {"range", "percentile", "none"}
        How intensities are brought to the network's range; see
        `napari_mpi.arrays.intensity.Scaling.fit`.
    precision : {"auto", "float32", "mixed", "bfloat16"}
        Arithmetic of the convolutions. "mixed" predicts in float32 and computes the
        gradients in bfloat16 where a processor multiplies that faster; "auto" takes
        bfloat16 where it is faster, else float32.
    pixel_type : {"auto", "input", "float32"}
        Of the result. "auto" is the input's, but float32 for whole numbers that lie
        about as far apart as the noise is strong, as counts of few photons do.
    """

    n_iter: int = 200
    crop_size: int | None = None
    batch_size: int = 1
    n_passes: int = 24
    adapt_to: AdaptTo = "stack"
    neighbours: int = 0
    mask_ratio: float = 0.3
    mask_shape: MaskShape = "pixels"
    mask_per_channel: bool = True
    pixel_shuffle: int = 1
    averaging: float = 0.9
    bias_corrected: bool = False
    own_pixel: bool = False
    wiener: bool = False
    keep_mean: bool = False
    fill_stuck: bool = False
    early_stopping: bool = False
    learning_rate: float = 2e-3
    scaling: ScalingMode = "range"
    precision: Precision = "float32"
    pixel_type: PixelType = "auto"

    def __post_init__(self) -> None:
        """Check every field."""
        require_whole(self, "n_iter", 1 if self.crop_size is None else 0)
        if self.crop_size is not None:
            require_whole(self, "crop_size", 32)
        require_whole(self, "batch_size", 1)
        require_whole(self, "n_passes", 1)
        require_whole(self, "neighbours", 0)
        require_whole(self, "pixel_shuffle", 1)
        ratio, averaging = self.mask_ratio, self.averaging
        if not isinstance(ratio, Real) or not 0 < ratio < 1:
            raise ValueError(
                f"mask_ratio is {ratio!r}: expected a share between 0 and 1, for "
                "instance 0.3 or 0.85."
            )
        if not isinstance(averaging, Real) or not 0 <= averaging < 1:
            raise ValueError(
                f"averaging is {averaging!r}: expected 0 to below 1, for instance 0.9 "
                "or 0.99."
            )
        object.__setattr__(self, "mask_ratio", float(ratio))
        object.__setattr__(self, "averaging", float(averaging))
        require_positive(self, "learning_rate")
        require_choice(self, "scaling", get_args(ScalingMode))
        require_choice(self, "mask_shape", get_args(MaskShape))
        require_choice(self, "precision", get_args(Precision))
        require_choice(self, "adapt_to", get_args(AdaptTo))
        require_choice(self, "pixel_type", get_args(PixelType))
        for field in fields(self):
            if field.type == "bool":
                require_bool(self, field.name)


_AUTO = FillConfig(
    n_iter=240,
    crop_size=128,
    batch_size=2,
    n_passes=48,
    neighbours=2,
    mask_ratio=0.5,
    own_pixel=True,
    wiener=True,
    keep_mean=True,
    fill_stuck=True,
    early_stopping=True,
    scaling="percentile",
    precision="auto",
)
PRESETS: dict[str, FillConfig] = {
    "auto": _AUTO,
    "fast": replace(_AUTO, n_iter=80, batch_size=1, n_passes=16),
    "paper": FillConfig(n_iter=1000, averaging=0.99, precision="mixed"),
    "paper-fast": FillConfig(n_iter=200, averaging=0.9, precision="mixed"),
}
"""Named settings.

"auto" and "fast" adapt to the noise that is found in the image; what stands here holds
for independent noise. "paper" and "paper-fast" are the paper's, at full length and for
speed.
"""

CORRELATED_RATIO = 0.75
"""Share of hidden pixels with which "auto" and "fast" fill noise that neighbours share:
with few pixels in sight, a network does not predict such noise."""

MEASURING = ("auto", "fast")
"""Presets that measure the noise and choose by it."""

NOISE_KINDS: dict[str, dict[str, Any]] = {
    "independent": {
        "mask_ratio": 0.3,
        "mask_per_channel": True,
        "pixel_shuffle": 1,
    },
    "correlated": {
        "mask_ratio": 0.85,
        "mask_per_channel": False,
        "pixel_shuffle": 1,
    },
    "strongly-correlated": {
        "mask_ratio": 0.85,
        "mask_per_channel": False,
        "pixel_shuffle": 2,
    },
}
"""What the paper sets for each kind of noise, from photon noise to blurred noise."""


def fill_config(
    preset: str | FillConfig = "auto",
    noise: str | None = None,
    **overrides: Any,
) -> FillConfig:
    """Combine a preset, a noise kind and single settings into one configuration.

    Parameters
    ----------
    preset : str or FillConfig
        A key of `PRESETS`, or a configuration to start from.
    noise : str, optional
        A key of `NOISE_KINDS`, which decides on the masks; without it the preset's own
        mask settings hold. With "auto" and "fast" it decides on the learning, too:
        noise that neighbours share is not learnt from.
    **overrides
        Fields of `FillConfig`; None leaves a field as it is.

    Raises
    ------
    ValueError
        If a name is unknown or a value is out of range.
    TypeError
        If an override is no field of `FillConfig`.
    """
    if isinstance(preset, FillConfig):
        config = preset
    elif preset in PRESETS:
        config = PRESETS[preset]
    else:
        raise ValueError(
            f"Unknown preset {preset!r}: choose one of {', '.join(PRESETS)}."
        )
    if noise is not None:
        if noise not in NOISE_KINDS:
            raise ValueError(
                f"Unknown noise kind {noise!r}: choose one of {', '.join(NOISE_KINDS)}."
            )
        if config.crop_size is None:
            config = replace(config, **NOISE_KINDS[noise])
        elif noise != "independent":
            # Correlated noise would be learnt, and then be predicted too.
            shuffle = NOISE_KINDS[noise]["pixel_shuffle"]
            named = not isinstance(preset, FillConfig)
            config = replace(
                config,
                n_iter=0 if named else config.n_iter,
                mask_ratio=CORRELATED_RATIO,
                pixel_shuffle=shuffle,
            )
        if noise != "independent":
            config = replace(config, own_pixel=False, early_stopping=False)
    given = {key: value for key, value in overrides.items() if value is not None}
    known = [field.name for field in fields(FillConfig)]
    for name in given:
        if name not in known:
            raise TypeError(
                f"There is no setting {name!r}: choose from {', '.join(known)}."
            )
    return replace(config, **given)


def given_settings(
    preset: str | FillConfig, noise: str | None, **settings: Any
) -> dict[str, Any]:
    """Return the settings that are given, checked, and as numbers of Python.

    Parameters and errors are those of `fill_config`.
    """
    checked = fill_config(preset, noise, **settings)
    return {
        name: getattr(checked, name)
        for name, value in settings.items()
        if value is not None
    }


def checked_seed(seed: int) -> int:
    """Return the seed of a run as a number of Python.

    Raises
    ------
    ValueError
        If it is no whole number, or below 0.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}: expected a whole number, at least 0.")
    return int(seed)
