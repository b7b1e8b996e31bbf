"""The preset ``auto``: settings that follow from the noise of the image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_mpi.config import PRESETS, FillConfig, MaskShape
from napari_mpi.noise import NoiseEstimate

__all__ = ["Choice", "choose"]

# Below this correlation of neighbours, noise counts as independent; from the higher
# one on, nothing that is near may be seen.
_LOW, _HIGH = 0.2, 0.5
# Stripes that hold more of the noise's variance than this are worth a mask of lines.
_STRIPED = 0.12
# With correlated noise no held-out pixel tells when to stop: its noise can be guessed
# from its neighbours. The structure is there early, the noise is learnt later: few and
# small steps.
_CORRELATED = FillConfig(
    n_iter=40,
    mask_ratio=0.9,
    mask_per_channel=False,
    averaging=0.99,
    bias_corrected=True,
    learning_rate=2e-4,
    scaling="percentile",
)
# Noise below these shares of the signal range is not worth the risk of removing it.
# What looks weak and correlated is more likely to be structure.
_CLEAN, _CLEAN_IF_CORRELATED = 0.02, 0.045


@dataclass(frozen=True)
class Choice:
    """What was chosen for an image.

    Attributes
    ----------
    config : FillConfig
        The settings.
    clean : bool
        Whether there is nothing to remove.
    reason : str
        What was found and chosen, in one sentence for the user.
    """

    config: FillConfig
    clean: bool
    reason: str


def choose(noise: NoiseEstimate) -> Choice:
    """Choose settings by the noise.

    Parameters
    ----------
    noise : NoiseEstimate
        The noise of the image.

    Notes
    -----
    The more of its noise a pixel shares with its neighbours, the fewer of them may be
    seen when it is predicted (Chihaoui and Favaro, "Masked and Shuffled Blind Spot
    Denoising", CVPR 2024); between independent and correlated noise the mask ratio is
    interpolated.
    """
    correlation = max(noise.correlation)
    share = f"{100 * noise.relative:.1f} % of the signal range"
    independent = correlation < _LOW
    limit = _CLEAN if independent else _CLEAN_IF_CORRELATED
    config = PRESETS["auto"]
    if noise.relative < limit:
        reason = (
            f"There is nothing to remove: the noise is {share} at most, and what "
            "little varies from pixel to pixel may be structure."
        )
        return Choice(config, True, reason)
    if independent and max(noise.stripes) <= _STRIPED:
        reason = (
            f"The noise is independent from pixel to pixel ({share}{_growth(noise)}), "
            f"so {100 * config.mask_ratio:.0f} % of the pixels are hidden at a time "
            "until held-out pixels are predicted no better, and each prediction is "
            "combined with the pixel's own value."
        )
        return Choice(config, False, reason)
    if max(noise.stripes) > _STRIPED:
        rows = noise.stripes[0] >= noise.stripes[1]
        lines: MaskShape = "rows" if rows else "columns"
        config = replace(config, mask_shape=lines, own_pixel=False)
        reason = (
            f"The pixels of {lines} share {100 * max(noise.stripes):.0f} % of the "
            f"noise ({share}{_growth(noise)}), so whole {lines} are hidden at a time, "
            f"{100 * config.mask_ratio:.0f} % of them, until held-out {lines} are "
            "predicted no better."
        )
        return Choice(config, False, reason)
    towards = (correlation - _LOW) / (_HIGH - _LOW)
    ratio = float(
        np.interp(towards, [0, 1], [config.mask_ratio, _CORRELATED.mask_ratio])
    )
    config = replace(_CORRELATED, mask_ratio=round(ratio, 3))
    reason = (
        f"Neighbouring pixels share their noise (correlation {correlation:.2f}; "
        f"{share}{_growth(noise)}), so {100 * ratio:.0f} % of the pixels are hidden at "
        f"a time, for {config.n_iter} iterations."
    )
    return Choice(config, False, reason)


def _growth(noise: NoiseEstimate) -> str:
    brightest = noise.offset + noise.signal_range
    bright = float(noise.variance(np.asarray(brightest)))
    return ", growing with the signal" if bright > 2 * noise.read_noise**2 else ""
