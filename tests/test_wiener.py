import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mpi.engine import wiener
from napari_mpi.engine.wiener import wiener_filter

SIGMA = 0.05


@pytest.fixture
def clean() -> np.ndarray:
    rows, columns = np.mgrid[:96, :80]
    stripes = 0.5 + 0.25 * np.tanh(4 * np.sin((rows + 2 * columns) / 8))
    return stripes.astype(np.float32)


@pytest.fixture
def noisy(clean, rng) -> np.ndarray:
    return (clean + SIGMA * rng.standard_normal(clean.shape)).astype(np.float32)


def filtered(noisy, estimate, blind=None, variance=SIGMA**2) -> np.ndarray:
    blind = estimate if blind is None else blind
    planes = (noisy, estimate, blind, np.full_like(noisy, variance))
    return wiener_filter(*(torch.from_numpy(p.copy())[None] for p in planes))[0].numpy()


def error(image, truth) -> float:
    return float(np.sqrt(np.mean((image - truth) ** 2)))


def test_edges_that_the_estimate_blurs_come_back(clean, noisy):
    blurred = ndimage.gaussian_filter(clean, 1.0)
    result = filtered(noisy, blurred)
    assert error(result, clean) < 0.8 * error(blurred, clean)
    assert error(result, clean) < 0.7 * error(noisy, clean)


def test_where_the_estimate_is_flat_hardly_any_noise_comes_back(rng):
    flat = np.full((64, 64), 0.5, np.float32)
    noisy = flat + SIGMA * rng.standard_normal(flat.shape).astype(np.float32)
    assert error(filtered(noisy, flat), flat) < 0.08 * SIGMA


def test_means_that_the_estimate_has_wrong_somewhere_are_corrected(clean, noisy):
    wrong = clean.copy()
    wrong[30:60, 30:60] += 0.3
    result = filtered(noisy, wrong)
    assert abs(np.mean((result - clean)[35:55, 35:55])) < 0.02


def test_noise_that_neighbours_share_is_told_from_structure(rng):
    rows, columns = np.mgrid[:128, :128]
    clean = (0.5 + 0.3 * np.sin(rows / 9) * np.sin(columns / 9)).astype(np.float32)
    shared = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 1.0)
    noisy = clean + np.float32(SIGMA / shared.std()) * shared.astype(np.float32)
    result = filtered(noisy, clean)
    assert error(result, clean) < 0.3 * error(noisy, clean)


def test_an_image_without_noise_is_kept(clean):
    blurred = ndimage.gaussian_filter(clean, 1.0)
    result = filtered(clean, blurred, variance=0)
    np.testing.assert_allclose(result, clean, atol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 3), (9, 200)])
def test_planes_of_any_size_can_be_filtered(shape, rng):
    noisy = rng.random(shape, np.float32)
    result = filtered(noisy, noisy)
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_rows_and_columns_are_treated_alike(clean, noisy):
    blurred = ndimage.gaussian_filter(clean, 1.0)
    result = filtered(noisy, blurred)
    np.testing.assert_allclose(filtered(noisy.T, blurred.T).T, result, atol=1e-5)


def test_each_channel_is_filtered_on_its_own(clean, noisy):
    channels = np.stack([noisy, 1 - noisy])
    estimates = np.stack([clean, 1 - clean])
    variance = np.full_like(channels, SIGMA**2)
    planes = (channels, estimates, estimates, variance)
    both = wiener_filter(*map(torch.from_numpy, planes)).numpy()
    np.testing.assert_allclose(both[0], filtered(noisy, clean), atol=1e-6)
    np.testing.assert_allclose(both[1], filtered(1 - noisy, 1 - clean), atol=1e-6)


def test_little_memory_gives_the_same(clean, noisy, monkeypatch):
    whole = filtered(noisy, clean)
    monkeypatch.setattr(wiener, "_MAX_COEFFICIENTS", 64 * 87 * 5)  # five rows
    np.testing.assert_allclose(filtered(noisy, clean), whole, atol=1e-5)
