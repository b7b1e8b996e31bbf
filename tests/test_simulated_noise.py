import numpy as np
import pytest

from napari_mpi.training.simulated_noise import add_camera_noise, add_random_noise
from napari_mpi.training.synthetic import fluorescence_image


def test_camera_noise_scatters_around_the_truth(rng):
    clean = np.full((200, 200), 0.5, np.float32)
    noisy, truth = add_camera_noise(clean, rng)
    assert (noisy.dtype, truth.dtype) == (np.uint16, np.float32)
    assert np.allclose(truth, 0.5 * 30 * 2 + 100)
    assert noisy.mean() == pytest.approx(130, abs=0.3)
    # Photons 4 x 15, read noise 4 x 4, and a twelfth for rounding.
    assert noisy.var() == pytest.approx(60 + 16 + 1 / 12, rel=0.05)


def test_counts_stay_within_the_camera(rng):
    clean = np.ones((50, 50))
    dark, _ = add_camera_noise(0 * clean, rng, offset=0, read_noise=5)
    bright, _ = add_camera_noise(clean, rng, photons=1e5)
    assert dark.min() == 0
    assert dark.max() < 100
    assert bright.min() == 65535


def test_the_clean_image_is_not_modified(rng):
    clean = fluorescence_image((32, 32), rng)
    before = clean.copy()
    add_camera_noise(clean, rng)
    assert np.array_equal(clean, before)


@pytest.mark.parametrize("seed", range(20))
def test_random_noise_stays_in_range_and_has_the_clean_image_as_its_mean(seed):
    rng = np.random.default_rng(seed)
    clean = fluorescence_image((96, 96), rng)[np.newaxis]
    before = clean.copy()
    noisy, target = add_random_noise(clean, rng)
    assert np.array_equal(clean, before)
    assert (noisy.dtype, target.dtype) == (np.float32, np.float32)
    assert np.quantile(noisy, 0.002) >= 0.02
    assert np.quantile(noisy, 0.998) <= 0.98
    # The target is the clean image, squeezed as the noisy one was.
    slope, offset = np.polyfit(clean.ravel(), target.ravel(), 1)
    np.testing.assert_allclose(target, slope * clean + offset, atol=1e-5)
    noise = noisy - target
    assert abs(noise.mean()) < 0.1 * noise.std() + 1e-3


def test_random_noise_is_of_different_kinds():
    clean = np.full((1, 64, 64), 0.5, np.float32)
    noises = []
    for seed in range(40):
        noisy, target = add_random_noise(clean, np.random.default_rng(seed))
        noises.append((noisy - target)[0])
    stds = [noise.std() for noise in noises]
    assert max(stds) > 20 * min(stds)
    shared = [np.corrcoef(n[:, 1:].ravel(), n[:, :-1].ravel())[0, 1] for n in noises]
    assert sum(value > 0.2 for value in shared) >= 3
    assert sum(abs(value) < 0.05 for value in shared) >= 20
