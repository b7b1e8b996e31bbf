import pytest
import torch

from napari_mpi.config import FillConfig
from napari_mpi.engine.fill import Fill
from napari_mpi.engine.network import Hourglass

CPU = torch.device("cpu")


def a_network(image_channels: int = 1, mask_channels: int = 1) -> Hourglass:
    torch.manual_seed(0)
    return Hourglass(image_channels, mask_channels)


def a_plane(channels: int = 1, height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.rand(
        (channels, height, width), generator=torch.Generator().manual_seed(1)
    )


def run(plane, network, *, seed=0, **settings):
    fill = Fill(plane, network, FillConfig(**settings), seed=seed, device=CPU)
    steps = list(fill)
    return fill.estimate, steps


def test_each_step_is_algorithm_1():
    plane = a_plane(height=64, width=64)
    config = FillConfig(n_iter=3, averaging=0.7, mask_ratio=0.85)
    fill = Fill(plane, a_network(), config, seed=5, device=CPU)
    losses = [step.loss for step in fill]

    # The algorithm again, written out as the paper has it.
    # Memory layout and kernels decide on rounding, which Adam's first steps magnify.
    network = a_network().to(memory_format=torch.channels_last)
    x = plane[None]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    generator = torch.Generator().manual_seed(5)
    average = x.clone()
    for loss_of_fill in losses:
        mask = (torch.rand((1, 1, 64, 64), generator=generator) >= 0.85).float()
        y = network(mask * x, mask)
        loss = torch.mean(((1 - mask) * (y - x)) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hidden = mask == 0
        average[hidden] = 0.7 * average[hidden] + 0.3 * y.detach()[hidden]
        assert loss_of_fill == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(fill.estimate, average[0], atol=1e-5, rtol=1e-5)


def test_the_estimate_is_the_input_before_the_first_step():
    plane = a_plane()
    fill = Fill(plane, a_network(), FillConfig(), seed=0, device=CPU)
    assert torch.equal(fill.estimate, plane)


def test_closing_midway_leaves_the_estimate_of_that_step():
    whole, _ = run(a_plane(), a_network(), n_iter=2)
    fill = Fill(a_plane(), a_network(), FillConfig(n_iter=9), seed=0, device=CPU)
    steps = iter(fill)
    next(steps)
    next(steps)
    steps.close()
    assert torch.equal(fill.estimate, whole)


def test_the_same_seed_gives_the_same_array():
    first, _ = run(a_plane(), a_network(), n_iter=3)
    second, _ = run(a_plane(), a_network(), n_iter=3)
    other, _ = run(a_plane(), a_network(), n_iter=3, seed=1)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize(
    ("channels", "image_channels", "mask_channels"),
    [(1, 1, 1), (1, 3, 1), (1, 3, 3), (3, 1, 1), (3, 3, 1), (3, 3, 3)],
)
def test_any_network_fills_gray_and_colour_planes_of_odd_size(
    channels, image_channels, mask_channels, factor
):
    plane = a_plane(channels, 17, 22)
    network = a_network(image_channels, mask_channels)
    estimate, _ = run(
        plane, network, n_iter=1, pixel_shuffle=factor, mask_per_channel=True
    )
    assert estimate.shape == plane.shape
    # The first update moves each hidden pixel by at most (1 - averaging).
    assert 0 < (estimate - plane).abs().max() <= 0.1 + 1e-6


def test_a_mask_per_channel_hides_channels_apart():
    plane = a_plane(3)
    estimate, _ = run(
        plane,
        a_network(3, 3),
        n_iter=1,
        mask_ratio=0.5,
        mask_per_channel=True,
    )
    changed = (estimate - plane).abs() > 1e-7
    assert (changed[0] != changed[1]).any()

    estimate, _ = run(
        plane, a_network(3, 3), n_iter=1, mask_ratio=0.5, mask_per_channel=False
    )
    changed = (estimate - plane).abs() > 1e-7
    assert (changed[0] == changed[1]).float().mean() > 0.99


def test_a_gray_plane_never_sees_its_hidden_value_in_a_copy():
    # With a mask per channel a repeated gray plane would show the value next door.
    seen = []
    network = a_network(3, 3)
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    run(a_plane(), network, n_iter=2, mask_ratio=0.3, mask_per_channel=True)
    for mask in seen:
        assert torch.equal(mask[:, 0], mask[:, 1])
        assert torch.equal(mask[:, 0], mask[:, 2])


def test_weights_for_other_channels_are_refused_with_advice():
    with pytest.raises(ValueError, match=r"images of 4 channels.*has 3.*gray weights"):
        Fill(a_plane(3), a_network(4), FillConfig(), seed=0, device=CPU)


def test_bfloat16_stays_close_to_float32():
    exact, _ = run(a_plane(), a_network(), n_iter=3)
    rough, _ = run(a_plane(), a_network(), n_iter=3, precision="bfloat16")
    assert (exact - rough).abs().max() < 0.05


def test_gradients_in_bfloat16_hardly_change_what_is_predicted():
    exact, _ = run(a_plane(), a_network(), n_iter=1)
    mixed, _ = run(a_plane(), a_network(), n_iter=1, precision="mixed")
    assert torch.equal(exact, mixed)  # no gradient was followed yet
    exact, _ = run(a_plane(), a_network(), n_iter=3)
    mixed, _ = run(a_plane(), a_network(), n_iter=3, precision="mixed")
    assert 0 < (exact - mixed).abs().mean() < 0.005


@pytest.mark.parametrize("equal", [(0, 1, 2), (0, 1), (0, 2), (1, 2), ()])
def test_equal_channels_have_one_mask_as_they_would_give_each_other_away(equal):
    seen = []
    network = a_network(3, 3)
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    plane = a_plane(3)
    for channel in equal:
        plane[channel] = plane[equal[0]]
    run(plane, network, n_iter=1, mask_ratio=0.3, mask_per_channel=True)
    (mask,) = seen[0]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert torch.equal(mask[one], mask[other]) == bool(equal)


def test_mirrored_borders_of_sub_images_are_hidden_together():
    seen = []
    network = a_network()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    run(a_plane(1, 16, 17), network, n_iter=1, mask_ratio=0.5, pixel_shuffle=2)
    visible, mask = seen[0]
    # Column 17 is the mirror image of column 15: in odd sub-images they come last.
    assert torch.equal(visible[1, 0, :, -1], visible[1, 0, :, -2])
    assert torch.equal(mask[1, 0, :, -1], mask[1, 0, :, -2])


def test_a_bias_corrected_average_is_free_of_the_noisy_start():
    plane = a_plane(height=64, width=64)
    settings = {"n_iter": 1, "mask_ratio": 0.5, "averaging": 0.9}
    plain, _ = run(plane, a_network(), **settings)
    corrected, _ = run(plane, a_network(), bias_corrected=True, **settings)
    hidden = plain != plane
    assert 0.3 < hidden.float().mean() < 0.7
    # One prediction y: the paper's average is 0.9 x + 0.1 y, the corrected one is y.
    expected = plane + (plain - plane) / 0.1
    torch.testing.assert_close(corrected[hidden], expected[hidden], atol=1e-5, rtol=0)
    assert torch.equal(corrected[~hidden], plane[~hidden])


def test_the_spread_is_the_variance_of_the_predictions():
    plane = a_plane(height=64, width=64)
    # With a learning rate of next to nothing, all predictions come from one network.
    fill = Fill(
        plane,
        a_network(),
        FillConfig(
            n_iter=60,
            averaging=0.98,
            bias_corrected=True,
            mask_ratio=0.5,
            learning_rate=1e-12,
        ),
        seed=1,
        device=CPU,
    )
    list(fill)
    network = a_network().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    values = []
    with torch.no_grad():
        for _ in range(60):
            mask = (torch.rand((1, 1, 64, 64), generator=generator) >= 0.5).float()
            predicted = network(mask * plane, mask)[0]
            values.append(torch.where(mask[0] == 0, predicted, torch.nan))
    predictions = torch.stack(values)
    mean = predictions.nanmean(0)
    variance = (predictions - mean).square().nanmean(0)
    assert float((fill.spread.mean() / variance.mean()).log().abs()) < 0.2
    together = torch.stack([fill.spread.flatten(), variance.flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.8


def test_early_stopping_ends_over_fitting_at_the_best_estimate():
    # Pure noise holds nothing to learn: every further step is over-fitting.
    plane = torch.rand((1, 64, 64), generator=torch.Generator().manual_seed(0))
    settings = {"mask_ratio": 0.4, "bias_corrected": True, "early_stopping": True}
    estimate, steps = run(plane, a_network(), n_iter=300, **settings)
    assert len(steps) < 300
    best_at = len(steps) - 40
    errors = [step.validation for step in steps]
    assert min(errors[30:]) >= errors[best_at - 1]
    # The estimate is the one of that step, not of the last.
    best, _ = run(plane, a_network(), n_iter=best_at, **settings)
    torch.testing.assert_close(estimate, best)


def test_early_stopping_keeps_an_estimate_that_is_free_of_the_noisy_start():
    # The noisy values are as close to the held-out ones as can be: they are the same.
    plane = a_plane(height=64, width=64)
    settings = {"n_iter": 120, "early_stopping": True, "learning_rate": 1e-12}
    estimate, steps = run(plane, a_network(), **settings)
    unbiased, _ = run(plane, a_network(), bias_corrected=True, **settings)
    assert steps[-1].kept > 1
    torch.testing.assert_close(estimate, unbiased)


def test_no_estimate_is_the_best_before_all_pixels_were_predicted():
    _, steps = run(
        a_plane(height=64, width=64),
        a_network(),
        n_iter=80,
        mask_ratio=0.4,
        bias_corrected=True,
        early_stopping=True,
        learning_rate=1e-12,
    )
    assert len(steps) >= 70


def test_held_out_pixels_are_never_trained_on():
    plane = a_plane(height=64, width=64)
    fill = Fill(
        plane,
        a_network(),
        FillConfig(n_iter=4, early_stopping=True, bias_corrected=True),
        seed=3,
        device=CPU,
    )
    held_out = 1 - (torch.rand((1, 1, 64, 64), generator=_seeded(3)) >= 0.02).float()
    first = [step.loss for step in fill]
    changed = torch.where(held_out[0] == 1, torch.tensor(0.9), plane)
    again = Fill(
        changed,
        a_network(),
        FillConfig(n_iter=4, early_stopping=True, bias_corrected=True),
        seed=3,
        device=CPU,
    )
    assert [step.loss for step in again] == first


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_without_early_stopping_there_is_no_validation_error():
    _, steps = run(a_plane(), a_network(), n_iter=2)
    assert [step.validation for step in steps] == [None, None]
