from dataclasses import replace

import numpy as np
import pytest

from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.noisy_values import combine_with_input, without_outliers
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
    spread = np.where(wrong > 0, 800.0, 0.0)
    combined = combine_with_input(
        noisy[np.newaxis],
        (clean + wrong)[np.newaxis],
        spread[np.newaxis],
        estimate_noise(noisy),
    )[0]
    inside = np.s_[110:190, 110:190]
    error = np.square(combined - clean)[inside].mean()
    assert error < np.square(wrong)[inside].mean()
    assert error < np.square(noisy - clean)[inside].mean()
    # Where all predictions agree, the noisy value has no say.
    np.testing.assert_allclose(combined[:80], clean[:80], atol=1e-6)


def test_what_is_beyond_all_noise_is_brought_closer_to_the_prediction(clean, rng):
    noisy = clean + 30 * rng.standard_normal(clean.shape)
    noise = estimate_noise(noisy)
    noisy[50, 60] += 5000  # a hot pixel
    planes = [plane[np.newaxis] for plane in (noisy, clean, np.zeros_like(clean))]
    limited = without_outliers(*planes, noise)[0]
    assert limited[50, 60] - clean[50, 60] < 200
    # Noise of the usual size stays as it is.
    assert np.mean(limited == noisy) > 0.998


def test_the_rare_photons_of_a_dim_image_are_no_outliers(rng):
    clean = np.full((1, 256, 256), 0.2)
    noisy = rng.poisson(clean).astype(float)
    noise = replace(estimate_noise(noisy), offset=0.0, read_noise=0.0, gain=1.0)
    limited = without_outliers(noisy, clean, np.zeros_like(clean), noise)
    assert limited.sum() == pytest.approx(noisy.sum(), rel=0.005)
