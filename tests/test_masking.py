import numpy as np
import pytest
import torch

from napari_mpi.engine.masking import masked_mse, random_mask


def a_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mask_ratio", [0.05, 0.3, 0.85, 0.95])
def test_the_share_of_hidden_pixels_is_the_mask_ratio(mask_ratio):
    mask = random_mask((1, 1, 200, 200), mask_ratio, a_generator())
    assert float((mask == 0).float().mean()) == pytest.approx(mask_ratio, abs=0.01)


def test_a_mask_is_0_and_1_in_single_precision():
    mask = random_mask((2, 3, 16, 16), 0.5, a_generator())
    assert mask.shape == (2, 3, 16, 16)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_the_seed_decides_the_mask():
    shape = (1, 1, 32, 32)
    mask = random_mask(shape, 0.5, a_generator(7))
    assert torch.equal(mask, random_mask(shape, 0.5, a_generator(7)))
    assert not torch.equal(mask, random_mask(shape, 0.5, a_generator(8)))


def test_each_draw_of_one_generator_is_new():
    generator = a_generator()
    first, second = (random_mask((1, 1, 32, 32), 0.5, generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    random_mask((1, 1, 8, 8), 0.5, a_generator())
    assert torch.equal(before, torch.random.get_rng_state())


def test_channels_are_hidden_independently():
    mask = random_mask((1, 2, 200, 200), 0.5, a_generator())
    agree = (mask[:, 0] == mask[:, 1]).float().mean()
    assert float(agree) == pytest.approx(0.5, abs=0.01)


def test_each_image_can_have_its_own_ratio():
    ratios = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)
    mask = random_mask((2, 1, 200, 200), ratios, a_generator())
    hidden = (mask == 0).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(hidden, ratios.flatten(), atol=0.01, rtol=0)


@pytest.mark.parametrize("mask_channels", [1, 3])
def test_the_loss_is_the_mean_square_over_all_pixels_of_the_hidden_ones(
    rng, mask_channels
):
    prediction, target = rng.random((2, 2, 3, 5, 7))
    mask = (rng.random((2, mask_channels, 5, 7)) > 0.5).astype(float)
    loss = masked_mse(*map(torch.from_numpy, (prediction, target, mask)))
    expected = np.mean(((1 - mask) * (prediction - target)) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_visible_pixels_have_no_gradient(rng):
    prediction = torch.rand((1, 1, 8, 8), requires_grad=True)
    mask = random_mask((1, 1, 8, 8), 0.5, a_generator())
    masked_mse(prediction, torch.zeros_like(prediction), mask).backward()
    assert prediction.grad is not None
    assert torch.equal(prediction.grad != 0, mask == 0)


@pytest.mark.parametrize(("mask_shape", "axis"), [("rows", -1), ("columns", -2)])
def test_lines_are_hidden_as_a_whole(mask_shape, axis):
    generator = torch.Generator().manual_seed(0)
    mask = random_mask((2, 1, 200, 200), 0.3, generator, mask_shape)
    assert mask.shape == (2, 1, 200, 200)
    assert (mask.amax(axis) == mask.amin(axis)).all()
    assert 1 - float(mask.mean()) == pytest.approx(0.3, abs=0.07)
