"""Noise that is blurred along one axis, told from any other and from structure."""

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi import denoise
from napari_mpi.analysis.scanned_noise import scanned_correlation
from napari_mpi.training.synthetic import fluorescence_image

IMAGES = ("brick", "cell", "coins", "fluorescence")  # with and without a flat place


def clean_image(name):
    """Return an image with values of about 0 to 1."""
    if name == "fluorescence":
        return fluorescence_image((192, 192), np.random.default_rng(5)).astype(float)
    image = getattr(skimage.data, name)()[100:292, 20:212].astype(float)
    return (image - image.min()) / np.ptp(image)


def along(axis, shape, rng, width=0.8):
    noise = rng.standard_normal(shape)
    noise = ndimage.gaussian_filter1d(noise, width, axis=axis, mode="wrap")
    return noise / noise.std()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("width", [0.6, 0.8])
def test_noise_along_one_axis_is_known_below_structure(name, axis, width, rng):
    clean = clean_image(name)
    noise = along(axis, clean.shape, rng, width)
    found = scanned_correlation((clean + 0.08 * noise)[np.newaxis])
    true = np.mean(noise * np.roll(noise, 1, axis))
    assert found is not None
    assert found[1 - axis] == 0
    assert found[axis] == pytest.approx(true, abs=0.2)


@pytest.mark.parametrize("name", [*IMAGES, "grass", "gravel"])
@pytest.mark.parametrize("kind", ["none", "white", "blurred", "photons", "rows"])
def test_other_noise_and_none_is_not(name, kind, rng):
    clean = clean_image(name)
    white = rng.standard_normal(clean.shape)
    blurred = ndimage.gaussian_filter(white, 0.7, mode="wrap")
    noisy = {
        "none": clean,
        "white": clean + 0.05 * white,
        "blurred": clean + 0.08 * blurred / blurred.std(),
        "photons": rng.poisson(20 * clean) / 20,
        "rows": clean + 0.05 * white + 0.03 * rng.standard_normal((len(clean), 1)),
    }[kind]
    assert scanned_correlation(noisy[np.newaxis]) is None


def test_planes_that_are_too_small_tell_nothing(rng):
    assert scanned_correlation(along(2, (1, 48, 48), rng)) is None
    assert scanned_correlation(along(2, (1, 64, 64), rng)) is not None


@pytest.mark.parametrize(("axis", "lines"), [(0, "columns"), (1, "rows")])
def test_whole_lines_are_hidden_and_the_network_learns(axis, lines, rng):
    image = skimage.data.cell()[100:228, 20:148].astype(float)
    noisy = image + 10 * along(axis, image.shape, rng)
    result = denoise(noisy, preset="fast")
    assert f"beside them in {lines} only" in result.report["choice"]
    assert result.report["config"]["mask_shape"] == lines
    assert result.report["iterations"] > 0
    assert np.square(result.image - image).mean() < 15  # of 100


def test_planes_with_such_noise_tell_of_each_other(rng):
    image = 200 * fluorescence_image((96, 96), np.random.default_rng(5)).astype(float)
    stack = np.stack([image + 12 * along(1, image.shape, rng) for _ in range(3)])
    joined, alone = (
        denoise(stack, preset="fast", n_iter=20, neighbours=n) for n in (1, 0)
    )
    error, other = (np.square(r.image[1] - image).mean() for r in (joined, alone))
    assert error < 0.8 * other
