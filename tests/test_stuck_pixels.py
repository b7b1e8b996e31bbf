"""Pixels stuck at the lowest or highest value, and what only looks like them."""

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi.analysis.stuck_pixels import fill_stuck, stuck_pixels

SIZE = 128


@pytest.fixture
def smooth(rng):
    """Structure of all intensities, 8-bit."""
    waves = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 6, mode="wrap")
    low, high = waves.min(), waves.max()
    return (60 + 120 * (waves - low) / (high - low)).astype(np.uint8)


def salt_and_pepper(clean, share, rng):
    drawn = rng.random(clean.shape)
    return np.where(
        drawn < share / 2, 0, np.where(drawn > 1 - share / 2, 255, clean)
    ).astype(clean.dtype)


@pytest.mark.parametrize("share", [0.005, 0.05, 0.1])
def test_salt_and_pepper_is_found_and_filled(share, smooth, rng):
    damaged = salt_and_pepper(smooth, share, rng)
    hit = damaged != smooth
    found = stuck_pixels(damaged)
    assert found[hit].mean() > 0.97
    assert not found[~hit].any()
    filled = fill_stuck(damaged[None])[0]
    assert filled.dtype == np.uint8
    wrong = filled[found].astype(float) - smooth[found]
    assert np.abs(wrong).max() < 25
    np.testing.assert_array_equal(filled[~found], damaged[~found])


def test_dead_pixels_without_hot_ones_are_found(smooth, rng):
    dead = rng.random(smooth.shape) < 0.01
    np.testing.assert_array_equal(stuck_pixels(np.where(dead, 0, smooth)), dead)


def test_floating_point_images_are_treated_alike(smooth, rng):
    damaged = salt_and_pepper(smooth, 0.05, rng)
    found = stuck_pixels(damaged / 255)
    np.testing.assert_array_equal(found, stuck_pixels(damaged))
    assert found.any()


def test_an_image_that_is_saturated_has_no_stuck_pixels(smooth):
    saturated = np.clip(smooth.astype(int) * 2 - 60, 0, 255).astype(np.uint8)
    assert (saturated == 255).mean() > 0.01
    assert not stuck_pixels(saturated).any()


@pytest.mark.parametrize("photons", [0.02, 0.1, 1, 10, 100])
def test_photons_are_not_stuck(photons, smooth, rng):
    counts = rng.poisson(smooth / smooth.max() * photons)
    assert not stuck_pixels(counts).any()
    amplified = counts * rng.exponential(60, counts.shape) + rng.normal(
        9, 2, counts.shape
    )
    assert not stuck_pixels(np.clip(amplified, 0, 255).astype(np.uint8)).any()


@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.2])
def test_points_in_focus_are_not_stuck_though_saturated(sigma, rng):
    points = np.zeros((SIZE, SIZE))
    points[tuple(rng.integers(5, SIZE - 5, (2, 200)))] = 1
    # Of what a pixel gathers, its neighbours get their share.
    fine = np.repeat(np.repeat(points, 5, 0), 5, 1) / 25
    imaged = ndimage.gaussian_filter(fine, 5 * sigma).reshape(SIZE, 5, SIZE, 5)
    bright = 20 + 2000 * imaged.sum(axis=(1, 3)) + rng.normal(0, 2, (SIZE, SIZE))
    assert (bright > 255).sum() > 50
    assert not stuck_pixels(np.clip(bright, 0, 255).astype(np.uint8)).any()


@pytest.fixture
def texture(rng):
    """Colours with the same texture, 8-bit."""
    fine = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 0.7)
    gray = 128 + 25 * fine / fine.std()
    tint = ndimage.gaussian_filter(rng.standard_normal((3, SIZE, SIZE)), (0, 9, 9))
    return np.clip(gray + 10 * tint / tint.std(), 20, 235).astype(np.uint8)


def test_what_colours_have_in_common_tells_more_than_neighbours(texture, rng):
    damaged = salt_and_pepper(texture, 0.05, rng)
    alone, together = (
        fill_stuck(damaged, of_one_image=known)[damaged != texture].astype(float)
        for known in (False, True)
    )
    truth = texture[damaged != texture]
    assert np.square(together - truth).mean() < 0.1 * np.square(alone - truth).mean()


def test_colours_that_have_nothing_in_common_are_filled_each_by_itself(smooth, rng):
    stains = np.stack([smooth, smooth[::-1], smooth.T])
    damaged = salt_and_pepper(stains, 0.05, rng)
    alone, together = (
        fill_stuck(damaged, of_one_image=known).astype(float) - stains
        for known in (False, True)
    )
    assert np.square(together).mean() < 1.2 * np.square(alone).mean()


def test_a_few_extreme_pixels_are_left(smooth):
    smooth[[20, 50, 80], [20, 50, 80]] = 255
    assert not stuck_pixels(smooth).any()


def test_a_mask_in_two_values_is_left(rng):
    dots = (rng.random((SIZE, SIZE)) < 0.02).astype(np.uint8)
    assert not stuck_pixels(dots).any()


def test_stuck_pixels_at_the_border_are_filled(smooth, rng):
    damaged = salt_and_pepper(smooth, 0.03, rng)
    damaged[0, ::7] = 255
    filled = fill_stuck(damaged[None])[0]
    assert np.abs(filled[0].astype(int) - smooth[0]).max() < 25


def test_an_image_of_one_value_has_none():
    assert not stuck_pixels(np.full((SIZE, SIZE), 7.0)).any()
