"""Noise that neighbours share, and structure that looks as if they did."""

import io

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.shared_noise import residual_correlation
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture
def clean():
    """Return a fluorescence image with a dark background, in camera counts."""
    image = fluorescence_image((384, 384), np.random.default_rng(24))
    return 100 + 1000 * image.astype(float)


@pytest.fixture(params=["brick", "grass", "gravel"])
def texture(request):
    """Return a photograph without a flat place, in camera counts."""
    image = getattr(skimage.data, request.param)()[100:356, 20:276].astype(float)
    return 1000 * (image - image.min()) / np.ptp(image)


def white(rng, image):
    return rng.standard_normal(image.shape)


def test_what_a_prediction_left_of_texture_is_independent_noise(texture, rng):
    noisy = texture + 60 * white(rng, texture)
    assert not residual_correlation(noisy[None], texture[None], (0.9, 0.9)).by_noise


def test_what_a_prediction_left_tells_noise_that_neighbours_share(clean, rng):
    blurred = ndimage.gaussian_filter(white(rng, clean), 0.7, mode="wrap")
    noisy = clean + 60 * blurred / blurred.std()
    left = residual_correlation(noisy[None], clean[None], (0.9, 0.9))
    assert left.by_noise
    assert left.correlation == pytest.approx((0.57, 0.57), abs=0.08)


def test_structure_that_was_not_predicted_makes_no_noise_reach_further(rng):
    wall = skimage.data.brick()[:256, :256].astype(float)
    blurred = ndimage.gaussian_filter(white(rng, wall), 0.7, mode="wrap")
    noisy = wall + 30 * blurred / blurred.std()
    most = estimate_noise(noisy).correlation
    left = residual_correlation(
        noisy[None], ndimage.gaussian_filter(wall, 6)[None], most
    )
    assert left.by_noise
    assert left.correlation == pytest.approx(most, abs=0.05)


def puncta(number: int, width: float) -> np.ndarray:
    """Bright spots all over, with hardly a place between them."""
    rng = np.random.default_rng(11)
    image = np.zeros((192, 192))
    np.add.at(
        image, tuple(rng.integers(0, 192, (2, number))), rng.lognormal(0, 0.5, number)
    )
    image = ndimage.gaussian_filter(image, width)
    return image / image.max()


@pytest.mark.parametrize(("number", "width"), [(120, 0.9), (250, 1.1)])
def test_independent_noise_below_small_structures_is_known_for_what_it_is(
    number, width, rng
):
    photons = 200 * (puncta(number, width) + 0.03)
    noisy = 2.0 * rng.poisson(photons) + 100 + rng.normal(0, 2, photons.shape)
    found = estimate_noise(noisy)
    assert not found.shared
    assert found.rms == pytest.approx((noisy - 2 * photons - 100).std(), rel=0.15)


@pytest.mark.parametrize("axis", [0, 1])
def test_noise_that_is_shared_along_one_axis_is_shared(axis, rng):
    # As scanners make it, which are slower than their pixels.
    clean = puncta(120, 1.5)
    noise = ndimage.gaussian_filter1d(white(rng, clean), 0.8, axis=axis, mode="wrap")
    found = estimate_noise(clean + 0.1 * noise / noise.std())
    assert found.shared
    assert found.correlation[axis] == pytest.approx(0.67, abs=0.1)
    assert found.correlation[1 - axis] == pytest.approx(0, abs=0.1)
    assert found.rms == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("blur", [0.6, 0.8])
def test_sharp_structures_do_not_make_shared_noise_stronger(blur, rng):
    clean = puncta(350, 1.1)
    noise = ndimage.gaussian_filter(white(rng, clean), blur, mode="wrap")
    found = estimate_noise(clean + 0.1 * noise / noise.std())
    assert found.shared
    assert found.rms == pytest.approx(0.1, rel=0.15)


def test_noise_that_was_compressed_to_jpeg_is_not_weaker(rng):
    clean = 40 + 160 * puncta(40, 4.0)
    noisy = np.clip(np.round(clean + rng.normal(0, 15, clean.shape)), 0, 255)
    file = io.BytesIO()
    iio.imwrite(file, noisy.astype(np.uint8), extension=".jpg", quality=60)
    found = estimate_noise(iio.imread(file.getvalue(), extension=".jpg").astype(float))
    assert found.rms > 8


def test_noise_that_is_stronger_on_one_side_is_not_shared(rng):
    clean = puncta(250, 1.1)
    noisy = clean + np.linspace(0.02, 0.15, clean.shape[1]) * white(rng, clean)
    assert not estimate_noise(noisy).shared
