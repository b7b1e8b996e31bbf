import numpy as np
import pytest
import torch

from napari_mpi.engine.blocks import BLOCK, cosines, means, noise_in


@pytest.fixture
def basis() -> torch.Tensor:
    waves = cosines(BLOCK)
    return torch.kron(waves, waves)


@pytest.mark.parametrize("size", [8, 16])
def test_cosines_are_orthonormal_and_the_first_is_the_mean(size):
    waves = cosines(size).numpy()
    np.testing.assert_allclose(waves @ waves.T, np.eye(size), atol=1e-6)
    np.testing.assert_allclose(waves[0], size**-0.5, rtol=1e-6)


def test_means_are_those_of_the_blocks_at_every_step():
    plane = torch.arange(16.0).repeat(16, 1)[None, None]  # the column's number
    found = means(plane, stride=8)
    assert found.shape == (1, 1, 4)
    assert found.flatten().tolist() == [3.5, 11.5, 3.5, 11.5]


def test_noise_of_single_pixels_is_alike_in_all_coefficients(rng, basis):
    residual = torch.from_numpy(rng.normal(0, 2, (1, 1, 160, 160)).astype(np.float32))
    spectrum, trust = noise_in(residual, torch.full_like(residual, 4.0), basis)
    assert spectrum.shape == (1, 64, 1)
    assert spectrum.mean() == pytest.approx(1, abs=0.01)
    assert spectrum.std() < 0.15
    assert trust < 0.3


def test_a_residual_that_drifts_makes_the_noisy_means_trusted(rng, basis):
    noise = rng.normal(0, 1, (160, 160))
    noise[40:80] += 3
    residual = torch.from_numpy(noise.astype(np.float32))[None, None]
    _, trust = noise_in(residual, torch.ones_like(residual), basis)
    assert trust > 0.8
