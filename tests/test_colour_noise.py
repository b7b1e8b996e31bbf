import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi import denoise
from napari_mpi.analysis import colour_noise
from napari_mpi.analysis.colour_noise import ColourNoise
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.arrays.colour import BRIGHTNESS_FIRST


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A coloured photograph of brick-like texture, (256, 256, 3)."""
    texture = skimage.data.brick()[:256, :256].astype(float)
    rows = np.mgrid[:256, :256][0]
    tint = np.stack([texture, 0.9 * texture, 0.7 * texture], axis=-1)
    tint[..., 2] += 0.1 * rows
    return tint


def told(image):
    """Return the noise of the brightness, alone and corrected."""
    brightness = BRIGHTNESS_FIRST.split(image)[0][None]
    alone = estimate_noise(brightness)
    found = ColourNoise(lambda: image[None])
    return alone, found.of_brightness(alone, brightness), found


@pytest.mark.parametrize("sigma", [3, 6, 12])
def test_differences_tell_noise_that_texture_hides(photograph, rng, sigma):
    noisy = photograph + sigma * rng.standard_normal(photograph.shape)
    _, corrected, found = told(noisy)
    assert found.present
    assert corrected.confirmed
    assert not corrected.shared
    assert corrected.rms == pytest.approx(sigma, rel=0.2)


def test_texture_is_not_taken_for_noise_that_neighbours_share(rng):
    texture = ndimage.gaussian_filter(rng.standard_normal((256, 256)), 0.8)
    image = 120 + 25 * np.stack([texture] * 3, axis=-1) / texture.std()
    noisy = image + 6 * rng.standard_normal(image.shape)
    alone, corrected, _ = told(noisy)
    assert alone.rms > 20
    assert not corrected.shared
    assert corrected.rms == pytest.approx(6, rel=0.2)


def test_noise_that_neighbours_share_is_seen_in_the_differences(photograph, rng):
    soft = ndimage.gaussian_filter(rng.standard_normal((256, 256, 3)), (0.8, 0.8, 0))
    noisy = photograph + 8 * soft / soft.std()
    _, corrected, found = told(noisy)
    assert found.present
    assert corrected.shared
    assert corrected.rms == pytest.approx(8, rel=0.4)


def test_a_clean_photograph_has_no_noise_in_its_differences(photograph):
    alone, corrected, found = told(np.round(photograph))
    assert not found.present
    assert corrected == alone
    assert not found.of_difference(alone, photograph[None, ..., 0]).confirmed


def test_noise_that_all_colours_have_in_common_is_left_to_the_brightness(rng):
    rows, columns = np.mgrid[:128, :128]
    disc = 100 + 80 * (np.hypot(rows - 60, columns - 70) < 40)
    gray = disc + 10 * rng.standard_normal((128, 128))
    alone, corrected, found = told(np.stack([gray] * 3, axis=-1))
    assert not found.present
    assert corrected == alone


def test_weak_noise_of_a_photograph_is_removed_and_none_is_left(photograph, rng):
    clean = np.round(photograph).astype(np.uint8)
    noisy = np.clip(clean + 4 * rng.standard_normal(clean.shape), 0, 255)
    result = denoise(noisy.astype(np.uint8), preset="fast", rgb=True, n_iter=10)
    before, after = (
        np.sqrt(np.mean((image - clean.astype(float)) ** 2))
        for image in (noisy, result.image)
    )
    assert after < 0.75 * before
    with pytest.warns(UserWarning, match="nothing to remove"):
        denoise(clean, preset="fast", rgb=True)


def test_a_brightness_without_noise_is_left_as_it_is(rng):
    noise = 5 * rng.standard_normal((128, 128))
    rows = np.mgrid[:128, :128][0]
    bright = 100.0 + (rows > 60)
    image = np.stack([bright + noise, bright, bright - noise], axis=-1)
    image[..., 1] += 3 * rng.standard_normal((128, 128))
    image[..., 0] -= image[..., 1] - bright
    alone, corrected, found = told(np.round(image, 9))
    assert found.present
    assert np.isfinite(corrected.rms)
    assert corrected.rms == alone.rms < 1e-6


@pytest.mark.parametrize("light", [(0.2, 1.0), (1.0, 0.2)], ids=["dark", "bright"])
def test_a_large_image_is_looked_at_in_all_its_parts(light, rng, monkeypatch):
    monkeypatch.setattr(colour_noise, "_MAX_PIXELS", 256 * 512)
    middle, outside = light
    rows = np.abs(np.mgrid[-256:256, :256][0])
    gray = 20 + 180 * np.where(rows < 128, middle, outside)
    photons = rng.poisson(np.stack([gray] * 3, axis=-1)).astype(float)
    alone, corrected, found = told(photons)
    assert found.present
    assert corrected.rms == pytest.approx(alone.rms, rel=0.15)


def test_noise_is_weak_or_strong_for_the_whole_image(photograph, rng):
    gray = np.repeat(photograph[..., :1], 3, axis=-1)
    noisy = np.round(gray + rng.standard_normal(gray.shape)).astype(np.uint8)
    with pytest.warns(UserWarning, match="nothing to remove"):
        result = denoise(noisy, preset="fast", rgb=True)
    assert np.array_equal(result.image, noisy)
