"""Settings that follow from the noise of the image, for ``auto`` and ``fast``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.analysis.stripes import STRIPED
from napari_mpi.config import (
    CORRELATED_RATIO,
    NOISE_KINDS,
    PRESETS,
    FillConfig,
    MaskShape,
)

__all__ = ["Choice", "choose", "for_unaware_weights"]

# The mask ratio grows between these correlations of neighbours; from the higher one on,
# nothing that is near may be seen.
_LOW, _HIGH = 0.2, 0.5
# With correlated noise no held-out pixel tells when to stop: its noise can be guessed
# from its neighbours, and learnt. Networks that have seen such noise in pre-training
# are taken as they are; others have to adapt with hardly anything in sight.
_UNAWARE_RATIO = NOISE_KINDS["correlated"]["mask_ratio"]
# Noise below these shares of the signal range is not worth the risk of removing it.
# The more neighbours correlate in what looks weak, the more likely it is structure.
_CLEAN, _CLEAN_IF_CORRELATED, _CLEAN_IF_SHARED = 0.022, 0.032, 0.045
_CLEAN_IF_BLURRED = 0.026  # by noise alone
_CLEAN_IF_TOLD_APART = 0.0175  # which is noise, however much neighbours correlate
_UNCORRELATED, _CORRELATED = 0.1, 0.2
# Of rows that do not share their noise with each other, so many are hidden at a time.
_ROWS_RATIO = 0.3
# Noise of single pixels that is so strong in a part of the image is removed.
_CLEAN_IN_PART = 0.045


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


def choose(
    noise: NoiseEstimate,
    config: FillConfig = PRESETS["auto"],
    *,
    weights_know_noise: bool = True,
) -> Choice:
    """Choose settings by the noise.

    Parameters
    ----------
    noise : NoiseEstimate
        The noise of the image.
    config : FillConfig
        Settings for independent noise, that adapt on crops.
    weights_know_noise : bool
        Whether the weights were trained on images with simulated noise.

    Notes
    -----
    The more of its noise a pixel shares with its neighbours, the fewer of them may be
    seen when it is predicted (Chihaoui and Favaro, "Masked and Shuffled Blind Spot
    Denoising", CVPR 2024); between independent and correlated noise the mask ratio is
    interpolated. Of noise that is shared along rows only, the other rows tell nothing,
    and so the network can learn from them (Broaddus et al., "Removing Structured Noise
    with Self-Supervised Blind-Spot Networks", ISBI 2020).
    """
    correlation = max(noise.correlation)
    share = f"{100 * noise.relative:.1f} % of the signal range"
    striped = max(noise.stripes) > STRIPED
    between = (_UNCORRELATED, _CORRELATED)
    limit = float(np.interp(correlation, between, (_CLEAN, _CLEAN_IF_CORRELATED)))
    if striped:
        limit = _CLEAN
    elif noise.told_apart:
        limit = _CLEAN_IF_TOLD_APART
    elif noise.shared:
        limit = _CLEAN_IF_BLURRED if noise.certain else _CLEAN_IF_SHARED
    in_part = noise.strongest / noise.signal_range if noise.signal_range > 0 else 0.0
    independent = not noise.shared and not striped
    lines: MaskShape
    if noise.relative < limit and not noise.confirmed:
        if in_part < _CLEAN_IN_PART:
            if noise.told_apart:
                reason = (
                    "There is nothing to remove that is worth the risk: the noise is "
                    f"only {share}."
                )
            else:
                reason = (
                    f"There is nothing to remove: the noise is {share} at most, and "
                    "what little varies from pixel to pixel may be structure."
                )
            return Choice(config, True, reason)
        share += f", and {100 * in_part:.1f} % in a part of the image"
        independent = True
    if independent:
        reason = (
            f"The noise is independent from pixel to pixel ({share}{_growth(noise)}), "
            "so the network learns from the image until held-out pixels are predicted "
            "no better, and the noisy image then corrects the predictions."
        )
        return Choice(config, False, reason)
    if striped:
        rows = noise.stripes[0] >= noise.stripes[1]
        lines = "rows" if rows else "columns"
        reason = (
            f"The pixels of {lines} share {100 * max(noise.stripes):.0f} % of the "
            f"noise ({share}{_growth(noise)}), so whole {lines} are hidden at a time, "
            f"until held-out {lines} are predicted no better, and what they have in "
            "common is subtracted."
        )
        config = replace(config, mask_shape=lines, own_pixel=not noise.shared)
        return Choice(config, False, reason)
    if noise.certain and min(noise.correlation) < _UNCORRELATED:
        lines = "columns" if noise.correlation[0] == correlation else "rows"
        reason = (
            f"Pixels share their noise with those beside them in {lines} only "
            f"(correlation {correlation:.2f}; {share}{_growth(noise)}), so whole "
            f"{lines} are hidden at a time, until held-out {lines} are predicted no "
            "better."
        )
        config = replace(
            config, mask_shape=lines, mask_ratio=_ROWS_RATIO, own_pixel=False
        )
        return Choice(config, False, reason)
    towards = (correlation - _LOW) / (_HIGH - _LOW)
    learning = "and the network is not to learn from the noise"
    highest = CORRELATED_RATIO
    if not weights_know_noise:
        learning, highest = "while the network learns from the image", _UNAWARE_RATIO
    ratio = float(np.interp(towards, [0, 1], [config.mask_ratio, highest]))
    config = replace(
        config,
        n_iter=0 if weights_know_noise else config.n_iter,
        early_stopping=False,
        own_pixel=False,
        mask_ratio=round(ratio, 3),
    )
    reason = (
        f"Neighbouring pixels share their noise (correlation {correlation:.2f}; "
        f"{share}{_growth(noise)}), so {100 * ratio:.0f} % of the pixels are hidden at "
        f"a time, {learning}."
    )
    return Choice(config, False, reason)


def for_unaware_weights(config: FillConfig, preset: FillConfig) -> FillConfig:
    """Let weights adapt to correlated noise that would otherwise not be adapted."""
    if config.n_iter > 0:
        return config
    return replace(config, n_iter=preset.n_iter, mask_ratio=_UNAWARE_RATIO)


def _growth(noise: NoiseEstimate) -> str:
    brightest = noise.offset + noise.signal_range
    bright, dark = float(noise.variance(np.asarray(brightest))), noise.read_noise**2
    if bright > 2 * dark:
        return ", growing with the signal"
    return ", falling with the signal" if bright < dark / 2 else ""
