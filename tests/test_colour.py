import numpy as np
import pytest
import skimage.data

from napari_mpi.arrays.colour import (
    BRIGHTNESS_FIRST,
    ONE_BY_ONE,
    have_structure_in_common,
    light_in_difference,
)
from napari_mpi.training.synthetic import fluorescence_image

BOTH = pytest.mark.parametrize("axes", [BRIGHTNESS_FIRST, ONE_BY_ONE])


@BOTH
def test_the_change_of_axes_can_be_undone(axes, rng):
    rgb = rng.uniform(0, 255, (2, 5, 7, 3))
    components = axes.split(rgb)
    assert components.shape == (3, 2, 5, 7)
    np.testing.assert_allclose(axes.join(components), rgb, atol=1e-9)


@BOTH
def test_independent_noise_stays_independent_and_as_strong(axes, rng):
    components = axes.split(rng.standard_normal((300, 300, 3)))
    covariance = np.cov(components.reshape(3, -1))
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.02)


@pytest.mark.parametrize("number", [1, 2])
def test_photon_noise_of_a_difference_follows_the_light_in_it(number, rng):
    clean = np.empty((128, 128, 3))
    clean[:, :64] = 5, 90, 10
    clean[:, 64:] = 80, 5, 40
    clean[::16] *= 2
    rgb = rng.poisson(clean)
    light = light_in_difference(number, rgb)
    noise = BRIGHTNESS_FIRST.split(rgb - clean)[number]
    for part in (np.s_[2:14, :56], np.s_[2:14, 72:]):
        squares = [np.square(noise[row:][part]) for row in range(0, 112, 16)]
        assert light[part].mean() == pytest.approx(np.mean(squares), rel=0.12)
    assert light[16::16, :56].mean() > 1.2 * light[2:14, :56].mean()


def test_gray_is_brightness_alone_and_transparency_is_left_out():
    gray = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 4, axis=-1)
    brightness, *differences = BRIGHTNESS_FIRST.split(gray)
    np.testing.assert_allclose(brightness, gray[..., 0] * np.sqrt(3))
    assert not np.any(differences)  # rounding errors would pass for noise


@BOTH
def test_errors_of_the_components_add_up_to_those_of_the_colours(axes, rng):
    errors = np.array([1.0, 2.0, 3.0])
    components = rng.normal(0, errors[:, None, None], (3, 300, 300))
    found = axes.join(components).std(axis=(0, 1))
    np.testing.assert_allclose(axes.join_errors(errors), found, rtol=0.02)


@pytest.mark.parametrize("strength", [0, 50])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "immunohistochemistry"])
def test_colours_of_photographs_and_tissue_have_structure_in_common(
    name, strength, rng
):
    rgb = getattr(skimage.data, name)()[np.newaxis, :300, :300].astype(float)
    assert have_structure_in_common(rgb + strength * rng.standard_normal(rgb.shape))


@pytest.mark.parametrize("strength", [0, 0.3])
def test_three_stains_do_not(strength, rng):
    stains = [fluorescence_image((256, 256), rng) for _ in range(3)]
    rgb = np.stack(stains, axis=-1)[np.newaxis]
    noisy = rgb + strength * rng.standard_normal(rgb.shape)
    assert not have_structure_in_common(noisy)
    without_green = noisy * [1, 0, 1]
    assert not have_structure_in_common(without_green)


def test_noise_alone_is_no_structure():
    assert not have_structure_in_common(np.zeros((1, 32, 32, 3), np.uint8))
