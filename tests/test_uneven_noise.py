"""Noise that is stronger in some parts of an image than in others."""

import numpy as np
import pytest
import skimage.data

from napari_mpi import denoise
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.uneven_noise import with_strongest


@pytest.fixture
def texture():
    return skimage.data.brick()[100:356, 20:276].astype(float)


@pytest.fixture
def shaded(texture, rng):
    """Return texture, corrected for light that falls from the left to the right."""
    strength = np.linspace(3, 20, texture.shape[1])
    return texture + strength * rng.standard_normal(texture.shape)


def test_noise_is_looked_for_in_each_part(shaded):
    whole = estimate_noise(shaded)
    assert whole.strongest == whole.rms < 5
    found = with_strongest(whole, shaded)
    assert 10 < found.strongest < 20
    assert found.rms == whole.rms


def test_noise_that_is_the_same_everywhere_is_hardly_stronger_anywhere(texture, rng):
    noisy = texture + 6 * rng.standard_normal(texture.shape)
    found = with_strongest(estimate_noise(noisy), noisy)
    assert found.rms <= found.strongest < 1.4 * found.rms


def test_texture_in_a_part_is_no_noise():
    for name in ("brick", "grass", "gravel", "coins"):
        clean = getattr(skimage.data, name)().astype(float)
        noise = estimate_noise(clean)
        assert with_strongest(noise, clean).strongest == noise.strongest


def test_noise_may_depend_on_another_image(texture, rng):
    light = np.repeat(np.linspace(0, 400, 256)[:, None], 256, axis=1)
    difference = np.sqrt(1 + light) * rng.standard_normal(light.shape)
    noise = estimate_noise(difference, intensity=light)
    found = with_strongest(noise, difference, light)
    assert found.strongest == pytest.approx(np.sqrt(330), rel=0.1)


@pytest.mark.parametrize("shape", [(40, 300), (100, 100)])
def test_parts_of_small_images_are_not_too_small_to_tell(shape, rng):
    noisy = 100 + 5 * rng.standard_normal(shape)
    noisy[:, shape[1] // 2 :] = 100  # a panel of one value
    found = with_strongest(estimate_noise(noisy), noisy)
    assert found.strongest == pytest.approx(5, rel=0.3)


def test_an_image_that_is_noisy_in_a_part_does_not_count_as_clean(texture, shaded):
    noisy = texture + 0.6 * (shaded - texture)
    result = denoise(noisy.astype(np.float32), preset="fast")
    assert "% in a part of the image" in result.report["choice"]
    before, after = (
        np.sqrt(np.mean((image - texture)[:, 128:] ** 2))
        for image in (noisy, result.image)
    )
    assert after < 0.4 * before
