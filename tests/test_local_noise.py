import numpy as np
import pytest
import skimage.data

from napari_mpi import denoise
from napari_mpi.analysis.local_noise import LocalNoise, noise_excess
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture
def clean():
    image = fluorescence_image((128, 192), np.random.default_rng(5))
    return 100 + 1000 * image[np.newaxis].astype(float)


def test_noise_as_expected_has_no_excess(clean, rng):
    variance = 20.0**2 + 3 * clean
    noisy = clean + np.sqrt(variance) * rng.standard_normal(clean.shape)
    assert np.all(noise_excess(noisy, clean, variance) == 1)


def test_noise_that_is_stronger_on_one_side_is_measured(clean, rng):
    strength = np.linspace(20, 120, clean.shape[-1])
    noisy = clean + strength * rng.standard_normal(clean.shape)
    excess = noise_excess(noisy, clean, np.full_like(clean, 400))
    assert excess.shape == clean.shape
    assert np.all(excess[..., :8] == 1)
    true = (strength[-60:-20] / 20) ** 2
    np.testing.assert_allclose(excess[0, :, -60:-20].mean(axis=0), true, rtol=0.25)


@pytest.mark.parametrize("sigma", [3, 12])
@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])
def test_texture_that_was_not_predicted_is_no_noise(name, sigma, rng):
    clean = getattr(skimage.data, name)()[np.newaxis, :128, :128].astype(float)
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    mean = np.full_like(clean, clean.mean())
    excess = noise_excess(noisy, mean, np.full_like(clean, sigma**2))
    assert np.median(excess) == pytest.approx(1, abs=0.2)


def test_the_more_texture_looks_like_noise_the_stronger_has_the_excess_to_be(rng):
    noisy = 20 * rng.standard_normal((1, 128, 128))
    expected = np.full_like(noisy, 100.0)
    assert np.median(noise_excess(noisy, 0 * noisy, expected)) > 3
    assert np.all(noise_excess(noisy, 0 * noisy, expected, 0.6) == 1)
    assert np.median(noise_excess(noisy, 0 * noisy, expected / 4, 0.6)) > 12


def test_planes_of_a_few_blocks_are_taken_as_expected(rng):
    noisy = 50 * rng.standard_normal((1, 24, 200))
    assert np.all(noise_excess(noisy, 0 * noisy, np.ones_like(noisy)) == 1)


def test_variance_and_skewness_of_what_another_image_decides(rng):
    noise = estimate_noise(rng.poisson(np.linspace(20, 400, 128) * np.ones((128, 1))))
    values, intensity = np.full((1, 4, 4), -5.0), np.full((1, 4, 4), 300.0)
    own, other = LocalNoise(noise), LocalNoise(noise, intensity, excess=2.0)
    assert own.gain == noise.gain
    assert other.gain == 0
    np.testing.assert_allclose(own.variance(values), noise.variance(values))
    np.testing.assert_allclose(other.variance(values), 2 * noise.variance(intensity))


def test_where_shading_was_corrected_the_noise_is_removed_too(rng):
    clean = 100 * fluorescence_image((128, 128), np.random.default_rng(7))
    strength = np.linspace(3, 25, 128)
    noisy = clean + strength * rng.standard_normal(clean.shape)
    image = denoise(noisy, n_iter=4, n_passes=8).image
    error = np.square(image - clean)[:, 96:].mean()
    assert error < 0.3 * np.square(strength[96:]).mean()
