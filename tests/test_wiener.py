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


def filtered(noisy, estimate, variance=SIGMA**2, **options) -> np.ndarray:
    planes = (noisy, estimate, estimate, np.full_like(noisy, variance))
    tensors = (torch.from_numpy(plane.copy())[None] for plane in planes)
    return wiener_filter(*tensors, **options)[0].numpy()


def error(image, truth) -> float:
    return float(np.sqrt(np.mean((image - truth) ** 2)))


def test_edges_that_the_estimate_blurs_come_back(clean, noisy):
    blurred = ndimage.gaussian_filter(clean, 1.0)
    result = filtered(noisy, blurred)
    assert error(result, clean) < 0.8 * error(blurred, clean)
    assert error(result, clean) < 0.7 * error(noisy, clean)


@pytest.mark.parametrize("independent", [True, False])
def test_bands_of_a_large_plane_come_out_as_the_whole(
    independent, clean, noisy, monkeypatch
):
    blurred = ndimage.gaussian_filter(clean, 0.8)
    whole = filtered(noisy, blurred, independent=independent)
    monkeypatch.setattr(wiener, "_BAND", 32)
    in_bands = filtered(noisy, blurred, independent=independent)
    np.testing.assert_allclose(in_bands, whole, atol=2e-6)


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


def spots(seed) -> tuple[np.ndarray, np.ndarray]:
    """Small spots of light, seven times as bright as the noise, and their places."""
    places = np.random.default_rng(seed).permutation(36)[:20]
    points = np.zeros((96, 96))
    points[8 + 16 * (places // 6), 8 + 16 * (places % 6)] = 1
    spots = ndimage.gaussian_filter(points, 1.3)
    clean = (0.1 + 7 * SIGMA * spots / spots.max()).astype(np.float32)
    return clean, ndimage.maximum_filter(points, 7) > 0


def light_of_spots(seed, **options) -> float:
    """Return how much of the spots' light is left."""
    clean, place = spots(seed)
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    noisy = clean + (SIGMA * noise).astype(np.float32)
    return (filtered(noisy, clean, **options) - 0.1)[place].sum() / (clean - 0.1)[
        place
    ].sum()


def test_light_that_the_filter_takes_from_spots_is_given_back():
    kept = [light_of_spots(seed, independent=True) for seed in range(4)]
    taken = [light_of_spots(seed, independent=False) for seed in range(4)]
    assert np.mean(kept) > 0.92
    assert np.mean(taken) < np.mean(kept) - 0.02


def test_an_image_without_noise_is_kept(clean):
    blurred = ndimage.gaussian_filter(clean, 1.0)
    result = filtered(clean, blurred, variance=0)
    np.testing.assert_allclose(result, clean, atol=0.01)


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 3), (9, 200)])
def test_planes_of_any_size_can_be_filtered(shape, independent, rng):
    noisy = rng.random(shape, np.float32)
    result = filtered(noisy, noisy, independent=independent)
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
    monkeypatch.setattr(wiener, "MAX_COEFFICIENTS", 64 * 87 * 5)  # five rows
    np.testing.assert_allclose(filtered(noisy, clean), whole, atol=1e-5)
