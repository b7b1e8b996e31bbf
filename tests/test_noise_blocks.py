import numpy as np
import pytest
import skimage.data

from napari_mpi.analysis.noise_blocks import (
    Blocks,
    NoiseLevel,
    fit_noise_level,
    low_frequencies,
    polynomials,
    step_of,
)


def test_a_basis_is_orthonormal_and_spans_what_it_says():
    for basis in (polynomials(8, 2), low_frequencies(16)):
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-9)
    y, x = np.mgrid[:8, :8]
    plane = (3 + 2 * y - x + 0.5 * x * y).ravel().astype(float)
    removed = polynomials(8, 2)
    np.testing.assert_allclose(removed @ (removed.T @ plane), plane, atol=1e-9)


def test_blocks_at_the_ends_of_the_range_are_left_out(rng):
    plane = np.maximum(100 * rng.standard_normal((1, 128, 128)), 0)
    plane[:, :, 64:] += 1000
    blocks = Blocks.of(plane, polynomials(8, 2))
    assert blocks.mean.min() > 500  # the left half is cut off at 0
    counts = rng.poisson(0.5, (1, 128, 128)).astype(float)
    blocks = Blocks.of(counts, polynomials(8, 2))
    assert blocks.variance.mean() == pytest.approx(0.5, rel=0.1)


def test_blocks_that_are_cut_off_count_where_they_are_noisier_even_so(rng):
    light = np.where(np.arange(128) < 96, 0.05, 0.6)
    noisy = light + 0.08 * rng.standard_normal((1, 128, 128))
    root = 100 * np.sqrt(np.maximum(noisy, 0))
    blocks = Blocks.of(root, polynomials(8, 2))
    dark = blocks.mean < 40
    assert 0.6 < dark.mean() < 0.9
    assert blocks.variance[dark].mean() > 3 * blocks.variance[~dark].mean()


def test_the_noise_level_is_read_from_the_flattest_blocks(rng):
    clean = skimage.data.camera()[np.newaxis].astype(float)
    removed = low_frequencies(16)
    photons = 4 * rng.poisson(clean / 4) + 3 * rng.standard_normal(clean.shape)
    level = fit_noise_level(Blocks.of(photons, removed, stride=4), may_bend=True)
    assert level.bend == 0
    at = np.array([50.0, 200.0])
    np.testing.assert_allclose(level.variance(at), 4 * at + 9, rtol=0.25)
    speckled = clean * (1 + 0.3 * rng.standard_normal(clean.shape))
    level = fit_noise_level(Blocks.of(speckled, removed, stride=4), may_bend=True)
    np.testing.assert_allclose(level.variance(at), (0.3 * at) ** 2, rtol=0.25)
    straight = fit_noise_level(Blocks.of(speckled, removed, stride=4))
    assert straight.bend == 0
    roots = np.sqrt(np.maximum(clean + 15 * rng.standard_normal(clean.shape), 0))
    level = fit_noise_level(Blocks.of(roots, removed, stride=4), may_bend=True)
    at = np.array([8.0, 14.0])
    np.testing.assert_allclose(level.variance(at), (15 / 2 / at) ** 2, rtol=0.25)


def test_below_the_offset_the_noise_is_that_of_the_dark():
    level = NoiseLevel(offset=10.0, floor=4.0, slope=2.0, bend=0.5)
    np.testing.assert_allclose(level.variance(np.array([-5, 10, 14])), [4, 4, 20])
    level = NoiseLevel(offset=10.0, floor=4.0, fall=0.25)
    np.testing.assert_allclose(level.variance(np.array([-5, 10, 14])), [4, 4, 1])


@pytest.mark.parametrize("step", [1.0, 0.25, 64.0])
def test_the_step_of_values(step, rng):
    assert step_of(step * rng.integers(0, 9, (1, 32, 32))) == step
    assert step_of(np.full((1, 32, 32), step)) == 0
