"""Procedural RGB images of stained specimens, clean, to train on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_mpi.training.synthetic import fluorescence_image

__all__ = ["stained_image"]


def stained_image(
    shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw one clean RGB image: stains that glow, or that take up light.

    Parameters
    ----------
    shape : tuple of int
        Height and width in pixels.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    ndarray
        float32, shape (3, height, width), values 0 to 1.
    """
    n_stains = int(rng.integers(1, 4))
    amounts = np.stack([fluorescence_image(shape, rng) for _ in range(n_stains)])
    colours = rng.uniform(0, 1, (n_stains, 3)) ** 2
    colours /= colours.max(axis=1, keepdims=True)
    if rng.random() < 0.5:
        light = np.einsum("sc,syx->cyx", colours, amounts)
        light /= light.max()
    else:
        # In bright field, stains one upon the other multiply (Beer and Lambert).
        density = rng.uniform(0.3, 2.5, (n_stains, 1)) * colours
        lamp = rng.uniform(0.8, 1.0, 3)[:, np.newaxis, np.newaxis]
        light = lamp * np.exp(-np.einsum("sc,syx->cyx", density, amounts))
    image: NDArray[np.float32] = light.astype(np.float32)
    return image
