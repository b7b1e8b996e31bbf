"""Noise as of a camera, or of any kind, on clean images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["add_camera_noise", "add_random_noise"]

Image = NDArray[np.float32]


def add_camera_noise(
    clean: NDArray[Any],
    rng: np.random.Generator,
    *,
    photons: float = 30.0,
    read_noise: float = 2.0,
    gain: float = 2.0,
    offset: float = 100.0,
) -> tuple[NDArray[np.uint16], Image]:
    """Take a picture of a clean image with a simulated camera.

    Parameters
    ----------
    clean : ndarray
        Values 0 to 1.
    rng : numpy.random.Generator
        Source of the randomness.
    photons : float
        Mean photo-electrons where `clean` is 1.
    read_noise : float
        Standard deviation of the read noise, in electrons.
    gain : float
        Camera counts per electron.
    offset : float
        Counts in the dark.

    Returns
    -------
    noisy : ndarray
        uint16 camera counts.
    truth : ndarray
        float32 expected counts, without noise.
    """
    electrons = np.asarray(clean, np.float64) * photons
    counts = rng.poisson(electrons) + rng.normal(0, read_noise, electrons.shape)
    noisy = np.clip(np.rint(counts * gain + offset), 0, 65535).astype(np.uint16)
    return noisy, (electrons * gain + offset).astype(np.float32)


def add_random_noise(clean: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    """Add noise of a random kind and strength, for training.

    The noise is photon noise, read noise or both; in a third of the draws neighbouring
    pixels or the pixels of a row share it, as after resampling or a slow detector.

    Parameters
    ----------
    clean : ndarray
        float32, shape (C, H, W), values 0 to 1.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    noisy, clean : ndarray
        float32. Where noise leaves the range 0 to 1, both are squeezed into it alike,
        as percentile scaling does to a noisy image.
    """
    gain = math.exp(rng.uniform(math.log(3e-4), math.log(0.2)))
    read = math.exp(rng.uniform(math.log(3e-3), math.log(0.2)))
    kind = rng.random()
    gain = 0.0 if kind < 0.3 else gain
    read = 0.0 if kind > 0.7 else read
    if rng.random() < 0.35:
        white = rng.standard_normal(clean.shape, np.float32)
        sigma = np.exp(rng.uniform(math.log(0.3), math.log(1.6), 2))
        if rng.random() < 0.4:
            sigma[:] = sigma[0]
        elif rng.random() < 0.4:
            sigma[0] = 0
        shared = ndimage.gaussian_filter(white, (0, *sigma), mode="wrap")
        shared /= shared.std()
        noise = np.sqrt(gain * clean + read**2) * shared
    else:
        noise = read * rng.standard_normal(clean.shape, np.float32)
        if gain > 0:
            noise = noise + (rng.poisson(clean / gain) * gain - clean)
    noisy = clean + noise
    low, high = np.percentile(noisy, (0.2, 99.8))
    low, high = min(low, 0.03), max(high, 0.97)
    squeeze = np.float32(0.94 / (high - low))
    noisy, clean = (
        ((image - np.float32(low)) * squeeze + np.float32(0.03)).astype(np.float32)
        for image in (noisy, clean)
    )
    return noisy, clean
