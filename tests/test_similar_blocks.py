import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mpi.engine import similar_blocks
from napari_mpi.engine.blocks import BLOCK
from napari_mpi.engine.wiener import wiener_filter

SIGMA = 0.1


@pytest.fixture
def fibres(rng) -> np.ndarray:
    """Fibres of all sorts, which look the same along their length."""
    across = ndimage.gaussian_filter1d(rng.standard_normal(400), 1.5)
    rows, columns = np.mgrid[:96, :80]
    image = np.interp(rows + 2 * columns, np.arange(400), across)
    return (0.5 + 0.15 * image / image.std()).astype(np.float32)


def filtered(noisy, estimate, *, similar, variance=SIGMA**2) -> np.ndarray:
    planes = (noisy, estimate, estimate, np.full_like(noisy, variance))
    tensors = (torch.from_numpy(np.atleast_3d(p.T).T.copy()) for p in planes)
    result = wiener_filter(*tensors, independent=similar).numpy()
    return result if noisy.ndim == 3 else result[0]


def error(image, truth) -> float:
    return float(np.sqrt(np.mean((image - truth) ** 2)))


def test_what_looks_alike_is_seen_better_together(fibres, rng):
    noisy = fibres + SIGMA * rng.standard_normal(fibres.shape).astype(np.float32)
    # The estimate has seen the fibres, with errors of its own.
    estimate = fibres + 0.04 * rng.standard_normal(fibres.shape).astype(np.float32)
    alone = filtered(noisy, estimate, similar=False)
    together = filtered(noisy, estimate, similar=True)
    assert error(together, fibres) < 0.95 * error(alone, fibres)


def test_a_guide_finds_what_looks_alike_better_than_a_poor_estimate(fibres, rng):
    # As a colour difference does, it shows the fibres of the brightness faintly.
    faint = 0.5 + 0.2 * (fibres - 0.5)
    noisy = faint + SIGMA * rng.standard_normal(faint.shape).astype(np.float32)
    estimate = faint + 0.03 * rng.standard_normal(faint.shape).astype(np.float32)
    variance = np.full_like(noisy, SIGMA**2)
    planes = [noisy, estimate, estimate, variance]
    unguided, guided = (
        wiener_filter(
            *(torch.from_numpy(plane)[None] for plane in (*planes, *more)),
            independent=True,
        )[0].numpy()
        for more in ([], [fibres])
    )
    assert error(guided, faint) < 0.97 * error(unguided, faint)


def test_where_the_estimate_is_flat_hardly_any_noise_comes_back(rng):
    flat = np.full((64, 64), 0.5, np.float32)
    noisy = flat + SIGMA * rng.standard_normal(flat.shape).astype(np.float32)
    assert error(filtered(noisy, flat, similar=True), flat) < 0.01 * SIGMA


def test_the_first_of_a_group_is_the_block_itself(rng):
    # Equal blocks everywhere are as similar as itself.
    planes = torch.zeros((1, 40, 44))
    members = similar_blocks._similar(planes)
    reach, n_columns = similar_blocks.REACH, 44 - BLOCK + 1
    assert members.shape == (5 * 6, 16)
    assert members[0, 0] == reach * n_columns + reach
    assert members[1, 0] == reach * n_columns + reach + 4
    assert all(len(set(row.tolist())) == 16 for row in members)


def test_the_most_similar_blocks_are_found(rng):
    planes = torch.from_numpy(rng.random((1, 40, 40)).astype(np.float32))
    planes[:, 20:28, 20:28] = planes[:, 16:24, 10:18]
    members = similar_blocks._similar(planes)
    n_columns = 40 - BLOCK + 1
    # The group of the block at row 20, column 20.
    group = members[3 * 5 + 3]
    assert group[0] == 20 * n_columns + 20
    own, found = (
        torch.nn.functional.unfold(planes[None], BLOCK)[0, :, place]
        for place in group[:2]
    )
    every = torch.nn.functional.unfold(planes[None], BLOCK)[0].T
    assert (found - own).square().sum() <= (
        (every[group[2:]] - own).square().sum(dim=1).min()
    )


def test_channels_are_of_one_accord_on_what_is_similar(fibres, rng):
    noise = SIGMA * rng.standard_normal((2, *fibres.shape)).astype(np.float32)
    noisy = np.stack([fibres, 1 - fibres]) + noise
    estimate = np.stack([fibres, 1 - fibres])
    both = filtered(noisy, estimate, similar=True)
    alone = filtered(noisy[0], fibres, similar=True)
    # Which of two equally similar blocks is taken depends on the last bits.
    assert error(both[0], alone) < 1e-3 * SIGMA


def test_little_memory_gives_the_same(fibres, rng, monkeypatch):
    noisy = fibres + SIGMA * rng.standard_normal(fibres.shape).astype(np.float32)
    whole = filtered(noisy, fibres, similar=True)
    monkeypatch.setattr(similar_blocks, "MAX_COEFFICIENTS", 64 * 103 * 9)
    strips = filtered(noisy, fibres, similar=True)
    np.testing.assert_allclose(strips, whole, atol=1e-5)


def test_the_same_planes_give_the_same_bits(fibres, rng):
    noisy = fibres + SIGMA * rng.standard_normal(fibres.shape).astype(np.float32)
    first, second = (filtered(noisy, fibres, similar=True) for _ in range(2))
    assert np.array_equal(first, second)
