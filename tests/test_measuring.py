from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.arrays.intensity import Scaling
from napari_mpi.pipeline.measuring import measure_noise
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.loading import load_weights


@pytest.fixture(scope="module")
def weights():
    return load_weights()


def measured(planes, weights):
    scaling = Scaling.fit(planes, "percentile")
    return measure_noise(planes, scaling, weights, device=torch.device("cpu"), seed=0)


@pytest.fixture(scope="module")
def dense():
    """Structure that leaves hardly a flat place, with weak independent noise."""
    clean = fluorescence_image((256, 256), np.random.default_rng(903))
    return (clean + np.random.default_rng(0).normal(0, 0.03, clean.shape))[None]


def test_dense_structure_is_not_taken_for_noise_that_neighbours_share(dense, weights):
    found = measured(dense, weights)
    assert not found.shared
    assert max(found.correlation) < 0.1


@pytest.mark.parametrize(("blur", "correlation"), [(0.8, 0.67), (1.2, 0.84)])
def test_noise_that_neighbours_share_is_still_found(weights, blur, correlation):
    clean = fluorescence_image((192, 192), np.random.default_rng(3))
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    noise = ndimage.gaussian_filter(noise, blur, mode="wrap")
    noisy = (clean + 0.1 * noise / noise.std())[None]
    found = measured(noisy, weights).correlation
    assert found == pytest.approx((correlation, correlation), abs=0.12)


def test_independent_noise_is_measured_without_the_network(weights, monkeypatch, rng):
    monkeypatch.setattr("napari_mpi.pipeline.measuring.Passes", None)
    noisy = rng.normal(100, 5, (2, 64, 64))
    assert measured(noisy, weights) == estimate_noise(noisy)


def test_other_figures_stay_those_of_the_image(dense, weights):
    before, after = estimate_noise(dense), measured(dense, weights)
    assert replace(after, correlation=before.correlation) == before


def test_a_black_border_is_not_taken_for_noise_that_neighbours_share(weights):
    clean = 200 + 400 * fluorescence_image((160, 160), np.random.default_rng(14))
    noisy = clean + np.random.default_rng(0).normal(0, 30, clean.shape)
    noisy[:20] = noisy[-20:] = noisy[:, :20] = noisy[:, -20:] = 0
    assert max(measured(noisy[None], weights).correlation) < 0.1
