"""The verdict on the noise map, on results that are good and bad by construction."""

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.verdict import judge
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture(params=[5, 12, 24])
def clean(request):
    image = fluorescence_image((192, 192), np.random.default_rng(request.param))
    return 100 + 1000 * image[np.newaxis].astype(float)


@pytest.fixture(params=["gaussian", "photons", "blurred"])
def noisy(request, clean, rng):
    if request.param == "photons":
        photons = rng.poisson((clean - 100) / 10)
        return 100 + 10 * photons + 5 * rng.normal(size=clean.shape)
    noise = rng.standard_normal(clean.shape)
    if request.param == "blurred":  # it hides fine structure more than other noise
        noise = ndimage.gaussian_filter(noise, (0, 0.7, 0.7))
        return clean + 36 * noise / noise.std()
    return clean + 60 * noise


def verdict(noisy, denoised):
    return judge(noisy, denoised, estimate_noise(noisy))


def test_the_truth_passes(noisy, clean):
    result = verdict(noisy, clean)
    assert result.warnings == ()
    assert result.structure_removed < 0.1
    assert result.noise_left < 0.15
    assert abs(result.drift) < 0.05


@pytest.mark.parametrize("name", ["brick", "gravel"])
@pytest.mark.parametrize("sigma", [3, 10])
def test_texture_is_no_noise_that_remains(name, sigma, rng):
    texture = getattr(skimage.data, name)()[np.newaxis, :256, :256].astype(float)
    noisy = texture + sigma * rng.standard_normal(texture.shape)
    assert verdict(noisy, texture).noise_left < 0.2
    assert verdict(noisy, (noisy + texture) / 2).noise_left == pytest.approx(0.5, 0.2)
    assert verdict(noisy, noisy).noise_left == pytest.approx(1, 0.05)


def test_over_smoothing_is_called_removed_structure(noisy):
    smooth = ndimage.gaussian_filter(noisy, (0, 3, 3))
    result = verdict(noisy, smooth)
    assert any("Structure was removed" in warning for warning in result.warnings)
    assert not any("Noise remains" in warning for warning in result.warnings)


def test_what_little_noise_is_left_of_a_smooth_image_is_no_structure(rng):
    rows, columns = np.mgrid[:160, :160]
    clean = 100 + rows + 300 * np.exp(-((rows - 70) ** 2 + (columns - 90) ** 2) / 1800)
    noise = 20 * rng.standard_normal((1, 160, 160))
    denoised = clean + 0.8 * ndimage.gaussian_filter(noise, (0, 2, 2))
    assert verdict(clean + noise, denoised).warnings == ()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_of_the_noise_of_a_small_bright_place_is_no_structure(seed):
    rows, columns = np.mgrid[:64, :64]
    distance = np.hypot(rows - 50, columns - 10)
    photons = 3 + 15 / (1 + np.exp((distance - 18) / 6))[np.newaxis]
    noisy = np.random.default_rng(seed).poisson(photons).astype(float)
    denoised = photons + 0.5 * ndimage.gaussian_filter(noisy - photons, (0, 2, 2))
    assert verdict(noisy, denoised).structure_removed == 0


@pytest.mark.parametrize("share", [0.5, 0.4])
def test_half_removed_noise_is_called_remaining(noisy, clean, share):
    result = verdict(noisy, share * noisy + (1 - share) * clean)
    assert any("Noise remains" in warning for warning in result.warnings)
    assert not any("Structure was removed" in text for text in result.warnings)
    assert result.noise_left == pytest.approx(share, abs=0.12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_an_image_without_noise_has_no_shares_of_noise(dtype):
    flat = np.zeros((1, 64, 64), dtype)
    flat[:, :, 32:] = 200
    result = verdict(flat, (flat + 0.01).astype(dtype))
    assert (result.noise_left, result.drift, result.rounding) == (0, 0, 0)
    assert result.correlation == 0
    assert result.warnings == ()


def test_a_drift_of_the_mean_is_told(noisy, clean):
    result = verdict(noisy, clean + 0.2 * estimate_noise(noisy).rms)
    assert any("mean intensity" in warning for warning in result.warnings)
    assert result.drift == pytest.approx(-0.2, abs=0.05)


def test_cut_off_pixels_are_counted(rng):
    clean = np.full((1, 64, 64), 250.0)
    noisy = np.clip(clean + rng.normal(0, 3, clean.shape), 0, 254).astype(np.uint8)
    denoised = np.full_like(noisy, 250)
    denoised[:, :16] = 255
    result = verdict(noisy, denoised)
    assert result.clipped == pytest.approx(0.25, abs=0.01)
    assert any("cut off" in warning for warning in result.warnings)


def test_an_unchanged_image_has_an_empty_noise_map(noisy):
    result = verdict(noisy, noisy)
    assert result.std == 0
    assert result.structure_removed == 0
    assert result.noise_left == pytest.approx(1)


@pytest.mark.parametrize(("photons", "told"), [(1, True), (5, True), (50, False)])
def test_rounding_that_matters_is_told(photons, told, rng):
    noisy = rng.poisson(photons, (1, 96, 96)).astype(np.uint16)
    result = verdict(noisy, np.full_like(noisy, photons))
    assert any("rounded to whole numbers" in text for text in result.warnings) is told
    exact = verdict(noisy.astype(np.float32), np.full(noisy.shape, photons, np.float32))
    assert exact.rounding == 0


def test_stripes_in_the_noise_map_are_no_structure(clean, rng):
    rows = 60 * rng.standard_normal((192, 1))
    noisy = clean + rows + 40 * rng.standard_normal(clean.shape)
    assert verdict(noisy, clean).warnings == ()
