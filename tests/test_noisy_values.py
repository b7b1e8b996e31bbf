import numpy as np
import pytest

from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.noisy_values import (
    combine_with_input,
    unexplained_variance,
    without_lines,
    without_outliers,
)
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture
def clean():
    """Return a fluorescence image with a dark background, in camera counts."""
    image = fluorescence_image((384, 384), np.random.default_rng(24))
    return 100 + 1000 * image.astype(float)


def test_a_blind_prediction_is_corrected_where_it_is_unsure(clean, rng):
    noisy = clean + 30 * rng.standard_normal(clean.shape)
    wrong = np.zeros_like(clean)
    wrong[100:200, 100:200] = 40  # the prediction is off here, and scatters
    error = np.where(wrong > 0, 1600.0, 0.0)
    combined = combine_with_input(
        noisy[np.newaxis],
        (clean + wrong)[np.newaxis],
        error[np.newaxis],
        estimate_noise(noisy).variance(clean + wrong)[np.newaxis],
    )[0]
    inside = np.s_[110:190, 110:190]
    left = np.square(combined - clean)[inside].mean()
    assert left < np.square(wrong)[inside].mean()
    assert left < np.square(noisy - clean)[inside].mean()
    # Where all predictions agree, the noisy value has no say.
    np.testing.assert_allclose(combined[:80], clean[:80], atol=1e-6)


def test_what_is_beyond_all_noise_is_brought_closer_to_the_prediction(clean, rng):
    noisy = clean + 30 * rng.standard_normal(clean.shape)
    variance = estimate_noise(noisy).variance(clean)[np.newaxis]
    noisy[50, 60] += 5000  # a hot pixel
    planes = [plane[np.newaxis] for plane in (noisy, clean, np.zeros_like(clean))]
    limited = without_outliers(*planes, variance, gain=0.0)[0]
    assert limited[50, 60] - clean[50, 60] < 200
    # Noise of the usual size stays as it is.
    assert np.mean(limited == noisy) > 0.998


def test_the_rare_photons_of_a_dim_image_are_no_outliers(rng):
    clean = np.full((1, 256, 256), 0.2)
    noisy = rng.poisson(clean).astype(float)
    limited = without_outliers(noisy, clean, np.zeros_like(clean), clean, gain=1.0)
    assert limited.sum() == pytest.approx(noisy.sum(), rel=0.005)


def test_structure_that_no_prediction_saw_is_told_from_noise(clean, rng):
    noisy = clean + 30 * rng.standard_normal(clean.shape)
    variance = estimate_noise(noisy).variance(clean)
    predicted = clean.copy()
    predicted[100:200, 100:200] = clean[100:200, 100:200].mean()  # texture is lost
    lost = np.square(predicted - clean)[120:180, 120:180].mean()
    found = unexplained_variance(noisy[None], predicted[None], variance[None])[0]
    assert found[120:180, 120:180].mean() == pytest.approx(lost, rel=0.3)
    assert np.median(found[220:]) == 0


def test_a_hot_pixel_is_no_unexplained_structure(rng):
    noisy = rng.normal(100, 5, (1, 64, 64))
    predicted, variance = np.full_like(noisy, 100), np.full_like(noisy, 25)
    noisy[0, 30, 30] += 5000
    assert unexplained_variance(noisy, predicted, variance).max() < 25


@pytest.mark.parametrize(("lines", "axis"), [("rows", 2), ("columns", 1)])
def test_what_lines_have_in_common_is_subtracted(lines, axis, rng):
    shape = [1, 64, 64]
    shape[axis] = 1
    clean = rng.uniform(50, 150, (1, 64, 64))
    own = rng.normal(0, 20, shape)
    freed = without_lines(clean + own, clean, lines)
    np.testing.assert_allclose(freed, clean)
    # Something bright that was not predicted does not count.
    bright = clean + own
    bright[:, 10:20, 10:20] += 1000
    freed = without_lines(bright, clean, lines)
    np.testing.assert_allclose(freed[:, 30:, 30:], clean[:, 30:, 30:], atol=1)
