import numpy as np
import pytest
import torch

from napari_mpi.engine.crops import Crop, cut_crops, hold_out


def test_crops_lie_within_the_plane_and_small_planes_are_taken_whole(rng):
    plane = np.arange(40 * 100, dtype=np.float32).reshape(1, 40, 100)
    cut = cut_crops(plane, torch.zeros(plane.shape, dtype=torch.bool), 64, 5, rng)
    assert [tuple(crop.noisy.shape) for crop in cut] == [(1, 40, 64)] * 5
    assert len({float(crop.noisy[0, 0, 0]) for crop in cut}) > 1
    for crop in cut:
        down = crop.noisy[0, 1:] - crop.noisy[0, :-1]
        assert torch.equal(down, torch.full((39, 64), 100.0))
    cut[0].noisy.zero_()
    assert plane[0, 0, 1] == 1


def test_what_one_crop_holds_out_no_other_crop_learns(rng):
    plane = np.arange(100 * 90, dtype=np.float32).reshape(1, 100, 90)
    crops = cut_crops(plane, hold_out(plane.shape, rng), 64, 20, rng)
    held = {float(value) for crop in crops for value in crop.noisy[crop.held_out]}
    learnt = {float(value) for crop in crops for value in crop.noisy[~crop.held_out]}
    assert held
    assert held.isdisjoint(learnt)


@pytest.mark.parametrize(("side", "share"), [(512, 0.02), (64, 0.098), (32, 0.1)])
def test_a_small_plane_holds_out_a_larger_share(side, share, rng):
    held_out = hold_out((1, side, side), rng)
    spread = (share * (1 - share)) ** 0.5 / side
    assert held_out.float().mean() == pytest.approx(share, abs=4 * spread)


@pytest.mark.parametrize(("mask_shape", "axis"), [("rows", 2), ("columns", 1)])
def test_lines_with_noise_in_common_are_held_out_as_a_whole(mask_shape, axis, rng):
    held_out = hold_out((3, 300, 300), rng, mask_shape)
    assert held_out.shape == (3, 300, 300)
    assert held_out.any()
    assert (held_out.all(axis) == held_out.any(axis)).all()


def test_nothing_is_held_out_of_a_crop_that_is_all_for_learning():
    assert not Crop.to_learn_from(torch.ones(1, 8, 8)).held_out.any()
