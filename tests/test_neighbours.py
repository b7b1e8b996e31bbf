from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mpi.engine import neighbours
from napari_mpi.engine.neighbours import Estimate, join

SIGMA = 0.05


def structure(rng, shape=(96, 80)) -> np.ndarray:
    """Grains of a few pixels, as strong as three times the noise."""
    grains = ndimage.gaussian_filter(rng.standard_normal(shape), 2.5)
    return 0.5 + 3 * SIGMA * grains / grains.std()


def seen(clean, rng, noise=None) -> Estimate:
    """A plane with noise, and an estimate that is off by a quarter of that."""
    shape = clean.shape
    noise = rng.standard_normal(shape) if noise is None else noise
    errors = ndimage.gaussian_filter(rng.standard_normal((2, *shape)), (0, 1, 1))
    errors *= SIGMA / 4 / errors.std()
    planes = clean + SIGMA * noise, clean + errors[0], clean + errors[1]
    variance = np.full(shape, SIGMA**2)
    return Estimate(
        *(torch.from_numpy(x[None].astype(np.float32)) for x in (*planes, variance))
    )


def error(estimate: Estimate, clean) -> float:
    return float(np.sqrt(np.mean((estimate.noisy[0].numpy() - clean) ** 2)))


def test_planes_that_show_the_same_are_averaged(rng):
    clean = structure(rng)
    own, *others = (seen(clean, rng) for _ in range(5))
    joined, n_planes = join(own, others)
    assert 3.5 < n_planes <= 5
    assert error(joined, clean) < 1.2 * SIGMA / np.sqrt(5)


def test_the_variance_that_is_told_is_the_one_that_is_left(rng):
    clean = structure(rng)
    own, *others = (seen(clean, rng) for _ in range(3))
    joined, _ = join(own, others)
    told = float(joined.variance.mean().sqrt())
    assert told == pytest.approx(error(joined, clean), rel=0.1)


def test_planes_that_show_something_else_do_not_count(rng):
    cleans = [structure(rng) for _ in range(5)]
    own, *others = (seen(clean, rng) for clean in cleans)
    joined, n_planes = join(own, others)
    assert n_planes < 1.3
    assert error(joined, cleans[0]) < 1.02 * error(own, cleans[0])


def test_what_moved_is_brought_to_its_place(rng):
    large = structure(rng, (120, 104))
    cleans = [
        large[12 + y : 108 + y, 12 + x : 92 + x]
        for y, x in ((0, 0), (4, -3), (-5, 1), (2, 6))
    ]
    own, *others = (seen(clean, rng) for clean in cleans)
    joined, n_planes = join(own, others)
    assert n_planes > 2.5
    assert error(joined, cleans[0]) < 0.75 * SIGMA


@pytest.mark.parametrize("in_own", [True, False])
def test_a_spot_of_one_plane_keeps_its_light_and_lends_none(rng, in_own):
    clean = structure(rng)
    rows, columns = np.mgrid[:96, :80]
    spot = np.exp(-((rows - 50) ** 2 + (columns - 40) ** 2) / (2 * 1.5**2))
    spot *= 4 * SIGMA
    dark, lit = clean, clean + spot
    own = seen(lit if in_own else dark, rng)
    others = [seen(dark if in_own else lit, rng) for _ in range(4)]
    joined, _ = join(own, others)
    near = np.s_[46:55, 36:45]
    before, after = (
        float((estimate.noisy[0].numpy() - clean)[near].sum())
        for estimate in (own, joined)
    )
    assert after == pytest.approx(before, abs=0.1 * spot.sum())


def test_a_change_that_is_faint_but_wide_counts(rng):
    clean = structure(rng)
    wide = np.zeros_like(clean)
    wide[30:60, 30:60] = 0.5 * SIGMA
    own = seen(clean + wide, rng)
    joined, _ = join(own, [seen(clean, rng) for _ in range(4)])
    inside = np.s_[36:54, 36:54]
    kept = (joined.noisy[0].numpy() - clean)[inside].mean()
    assert kept > 0.8 * 0.5 * SIGMA


def test_texture_that_is_in_focus_in_one_plane_stays_in_it(rng):
    clean = structure(rng)
    texture = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 0.8)
    texture *= SIGMA / texture.std()
    own = seen(clean + texture, rng)
    joined, _ = join(own, [seen(clean, rng) for _ in range(4)])
    left = joined.noisy[0].numpy() - clean
    assert np.mean(left * texture) > 0.9 * np.mean(texture**2)


def test_noise_that_planes_share_does_not_become_less(rng):
    # As in stacks that were enlarged by interpolation.
    clean, noise = structure(rng), rng.standard_normal((96, 80))
    own, *others = (seen(clean, rng, noise) for _ in range(5))
    joined, _ = join(own, others)
    assert float(joined.variance.mean().sqrt()) == pytest.approx(SIGMA, rel=0.1)


def test_noise_that_neighbours_share_is_no_change_though_it_was_predicted(rng):
    clean = structure(rng)
    planes = []
    for _ in range(5):
        noise = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 0.7)
        noise /= noise.std()
        plane = seen(clean, rng, noise)
        wide = ndimage.gaussian_filter(noise, 1.5)
        wide = torch.from_numpy(SIGMA * wide[None].astype(np.float32))
        planes.append(replace(plane, blind=plane.blind + 0.7 * wide))
    own, *others = planes
    unaware, fewer = join(own, others)
    joined, n_planes = join(own, others, (0.6, 0.6))
    assert n_planes > 1.2 * fewer
    assert error(joined, clean) < 0.9 * error(unaware, clean)


def test_bands_of_a_large_plane_show_no_seam(rng, monkeypatch):
    clean = structure(rng, (150, 70))
    own, *others = (seen(np.roll(clean, n, 0), rng) for n in range(3))
    whole, n_whole = join(own, others)
    monkeypatch.setattr(neighbours, "_BAND", 64)
    parts, n_parts = join(own, others)
    assert torch.allclose(parts.noisy, whole.noisy, atol=1e-6)
    assert torch.allclose(parts.variance, whole.variance, atol=1e-8)
    assert n_parts == pytest.approx(n_whole)


def test_colours_stay_apart_but_move_together(rng):
    clean = structure(rng)
    planes = []
    for _ in range(3):
        first, second = seen(clean, rng), seen(1 - clean, rng)
        pairs = zip(first._planes, second._planes, strict=True)
        planes.append(Estimate(*(torch.cat(pair) for pair in pairs)))
    joined, n_planes = join(planes[0], planes[1:])
    assert joined.noisy.shape == (2, 96, 80)
    assert n_planes > 2.2
    for channel, truth in enumerate((clean, 1 - clean)):
        left = joined.noisy[channel].numpy() - truth
        assert np.sqrt(np.mean(left**2)) < 0.75 * SIGMA


def test_inputs_are_left_alone(rng):
    own, other = (seen(structure(rng), rng) for _ in range(2))
    copies = [plane.clone() for plane in (*own._planes, *other._planes)]
    join(own, [other])
    for copy, plane in zip(copies, (*own._planes, *other._planes), strict=True):
        assert torch.equal(copy, plane)
