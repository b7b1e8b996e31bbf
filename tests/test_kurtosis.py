"""Noise told from texture by how coefficients are distributed."""

import numpy as np
import pytest
import skimage.data

from napari_mpi.analysis.kurtosis import noise_share
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.noise_blocks import NoiseLevel
from napari_mpi.training.synthetic import fluorescence_image


def share(image, strength):
    planes = image[np.newaxis]
    return noise_share(planes, NoiseLevel(0.0, strength**2), planes)


def photograph(name):
    """Return a photograph without a flat place, with values of 0 to 1000."""
    image = getattr(skimage.data, name)()[100:356, 20:276].astype(float)
    return 1000 * (image - image.min()) / np.ptp(image)


@pytest.fixture(params=["brick", "gravel"])
def texture(request):
    return photograph(request.param)


@pytest.mark.parametrize("strength", [20, 50, 100])
@pytest.mark.parametrize("taken_for", [1.0, 1.6])
def test_noise_is_told_from_texture(texture, strength, taken_for, rng):
    noisy = texture + strength * rng.standard_normal(texture.shape)
    found, error = share(noisy, taken_for * strength)
    assert found * taken_for == pytest.approx(1, rel=0.08)
    assert error < 0.1


def test_the_less_structure_fits_the_less_sure_it_is(rng):
    noise = 50 * rng.standard_normal((256, 256)) * np.linspace(0.2, 2, 256)
    told = share(photograph("brick") + noise, 50)
    assert told is None or told[1] > 0.1


@pytest.mark.parametrize(
    "image",
    [np.ones((64, 64)), np.zeros((16, 16)), np.eye(128)],
    ids=["constant", "tiny", "hardly any"],
)
def test_what_does_not_tell_is_no_error(image):
    told = share(image, 1.0)
    assert told is None or (told[0] >= 0 and np.isfinite(told).all())
    assert share(image, 0.0) is None


def test_noise_below_texture_is_neither_over_nor_underestimated(texture, rng):
    for strength in (20, 50):
        noisy = texture + strength * rng.standard_normal(texture.shape)
        found = estimate_noise(noisy)
        assert found.told_apart
        assert found.rms == pytest.approx(strength, rel=0.12)


def test_texture_of_its_own_is_not_told_to_be_noise(texture):
    found = estimate_noise(texture)
    assert found.relative < 0.0175 or not found.told_apart


def test_photon_noise_keeps_its_growth(rng):
    clean = 20 + 200 * fluorescence_image((256, 256), rng).astype(float)
    found = estimate_noise(3.0 * rng.poisson(clean))
    assert found.gain == pytest.approx(3, rel=0.12)


def test_counts_of_few_photons_are_left_alone(rng):
    photons = 3 * photograph("gravel") / 1000
    assert not estimate_noise(rng.poisson(photons)).told_apart
