import numpy as np
import pytest
from scipy.stats import spearmanr

from napari_mpi import denoise
from napari_mpi.analysis.noisy_values import combine_with_input, error_variance
from napari_mpi.analysis.uncertainty import error_of_filled, standard_error
from napari_mpi.training.synthetic import fluorescence_image


def test_predictions_that_scatter_more_err_more():
    spread = np.ones((1, 32, 64))
    spread[..., 32:] = 9
    errors = standard_error(error_variance(spread))
    assert errors.shape == spread.shape
    # In the image's units, not squared.
    assert errors[0, 16, 60] == pytest.approx(3 * errors[0, 16, 4], rel=0.01)


def test_a_mean_with_the_own_value_errs_less_than_both(rng):
    noisy = 100 + 5 * rng.standard_normal((1, 64, 64))
    blind = np.full_like(noisy, 100)
    variance = np.full_like(noisy, 25)
    error = variance.copy()  # as uncertain as the noise
    alone = standard_error(error)
    both = standard_error(error, variance)
    assert both.max() < alone.min()
    # Two equally good values together err by the root of 2 less.
    truth = combine_with_input(noisy, blind + 5, error, variance)
    assert abs(truth.mean() - 102.5) < 0.5
    np.testing.assert_allclose(both, alone / np.sqrt(2), rtol=0.01)


def test_the_error_is_larger_where_the_uncertainty_is(rng):
    rows, columns = np.mgrid[:64, :64]
    truth = 100 + 200 * (np.hypot(rows - 32, columns - 32) < 14)
    noisy = truth + rng.normal(0, 1, truth.shape) * np.sqrt(truth)
    result = denoise(noisy, n_iter=0, n_passes=8, uncertainty=True)
    error = np.abs(result.image - truth)
    assert spearmanr(error.ravel(), result.uncertainty.ravel())[0] > 0.1


def test_there_is_no_uncertainty_unless_asked(noisy):
    settings = {"n_iter": 1, "n_passes": 2}
    without = denoise(noisy, **settings)
    with_it = denoise(noisy, **settings, uncertainty=True)
    assert without.uncertainty is None
    assert with_it.uncertainty.shape == noisy.shape
    assert with_it.uncertainty.dtype == np.float32
    assert np.isfinite(with_it.uncertainty).all()
    assert (with_it.uncertainty >= 0).all()
    # It changes nothing else.
    assert np.array_equal(without.image, with_it.image)


def test_it_scales_with_the_image(noisy):
    settings = {"noise": "correlated", "n_passes": 4, "uncertainty": True}
    image = noisy.astype(np.float64)
    one, ten = denoise(image, **settings), denoise(10 * image, **settings)
    np.testing.assert_allclose(10 * one.uncertainty, ten.uncertainty, rtol=0.02)


def test_the_published_presets_have_it_too(noisy):
    result = denoise(noisy, preset="paper-fast", n_iter=4, uncertainty=True)
    assert result.uncertainty.any()


def test_planes_that_are_empty_have_none(noisy):
    stack = np.stack([noisy, np.zeros_like(noisy)])
    result = denoise(stack, n_iter=1, n_passes=4, uncertainty=True)
    assert result.uncertainty[0].any()
    assert not result.uncertainty[1].any()


def test_colours_have_their_own_and_transparency_has_none(rng):
    image = rng.integers(0, 255, (20, 24, 4), dtype=np.uint8)
    settings = {"rgb": True, "n_iter": 1, "n_passes": 4, "uncertainty": True}
    result = denoise(image, **settings, noise="independent")
    assert result.uncertainty.shape == image.shape
    assert result.uncertainty[..., :3].any(axis=(0, 1)).all()
    assert not result.uncertainty[..., 3].any()


def test_a_filled_pixel_is_as_uncertain_as_its_surroundings_differ(rng):
    values = np.zeros((1, 32, 64))
    values[..., 32:] = 1000 + 20 * rng.standard_normal((1, 32, 32))
    filled = np.zeros(values.shape, bool)
    filled[0, 10, [10, 50]] = True
    errors = error_of_filled(values, filled)
    assert errors[0, 10, 10] == pytest.approx(0, abs=1e-3)
    assert errors[0, 10, 50] == pytest.approx(20, rel=0.6)
    assert np.count_nonzero(errors) <= 2


def test_stuck_pixels_of_a_clean_image_are_uncertain_and_the_others_not(rng):
    clean = (40 + 160 * fluorescence_image((96, 96), rng)).clip(1, 250).astype(np.uint8)
    stuck = rng.random(clean.shape) < 0.02
    result = denoise(np.where(stuck, 255, clean), uncertainty=True)
    assert (result.uncertainty[stuck] > 0).mean() > 0.9
    assert not result.uncertainty[~stuck].any()
