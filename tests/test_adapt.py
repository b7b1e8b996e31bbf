import numpy as np
import pytest
import torch

from napari_mpi.config import FillConfig
from napari_mpi.engine.adapt import Adaptation
from napari_mpi.engine.crops import Crop, hold_out
from napari_mpi.engine.network import Hourglass

CPU = torch.device("cpu")


def a_network():
    torch.manual_seed(0)
    return Hourglass(1, 1)


def crops(number=3, size=64):
    generator = torch.Generator().manual_seed(1)
    return [torch.rand((1, size, size), generator=generator) for _ in range(number)]


def adapt(images=None, network=None, seed=0, **settings):
    settings = {"n_iter": 10, "crop_size": 64, "mask_ratio": 0.5, **settings}
    rng = np.random.default_rng(2)
    images = crops() if images is None else images
    return Adaptation(
        [Crop(one, hold_out(one.shape, rng)) for one in images],
        network or a_network(),
        FillConfig(**settings),
        seed=seed,
        device=CPU,
    )


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_an_iteration_is_one_of_algorithm_1_on_a_crop():
    images = crops(1)
    adaptation = adapt(images, n_iter=1, seed=5)
    (step,) = adaptation

    network = a_network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(5)
    torch.rand((1, 1, 64, 64), generator=generator)  # the mask of the validation
    mask = (torch.rand((1, 1, 64, 64), generator=generator) >= 0.5).float()
    loss = torch.mean(((1 - mask) * (network(mask * images[0], mask) - images[0])) ** 2)
    loss.backward()
    optimizer.step()
    assert step.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    parameters = dict(network.named_parameters())
    for key in ("head.weight", "levels.up.0.conv.weight"):
        torch.testing.assert_close(
            adaptation.states[-1][key], parameters[key].detach(), atol=1e-4, rtol=0
        )


def test_without_iterations_the_network_is_taken_as_it_came():
    adaptation = adapt(n_iter=0)
    assert list(adaptation) == []
    (state,) = adaptation.states
    assert same(state, a_network().state_dict())


def test_networks_along_the_way_are_kept():
    adaptation = adapt(n_iter=10)
    steps = list(adaptation)
    assert [step.step for step in steps] == list(range(1, 11))
    assert len(adaptation.states) == 6
    assert adaptation.kept_at == [4, 5, 6, 8, 9, 10]
    assert not same(adaptation.states[0], adaptation.states[1])


def test_the_same_seed_adapts_alike():
    first, second, other = adapt(), adapt(), adapt(seed=1)
    for adaptation in (first, second, other):
        list(adaptation)
    assert same(first.states[-1], second.states[-1])
    assert not same(first.states[-1], other.states[-1])


def test_each_iteration_takes_the_next_crops():
    network, seen = a_network(), []
    network.register_forward_pre_hook(
        lambda _, inputs: seen.append(float((inputs[0] / inputs[1]).nanmean()))
    )
    images = [torch.full((1, 64, 64), value) for value in (0.2, 0.4, 0.6)]
    list(adapt(images, network, n_iter=2, batch_size=2))
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.2])


def test_held_out_pixels_are_never_seen_and_never_trained_on():
    images = [torch.zeros((1, 64, 64))]
    network, masks = a_network(), []
    network.register_forward_pre_hook(lambda _, inputs: masks.append(inputs[1]))
    adaptation = adapt(images, network, n_iter=30, early_stopping=True)
    held_out = adaptation._held_out[0] == 1
    assert 0.05 < held_out.float().mean() < 0.15
    # A value that is never trained on may be anything.
    adaptation._crops[0].noisy[held_out] = 1e6
    for step in adaptation:
        assert step.loss < 1
    assert len(masks) > 15
    for mask in masks:
        assert (mask[held_out] == 0).all()


def what_is_known():
    """Return noise of σ 0.01, and a network that predicts its mean and nothing else."""
    network = a_network()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
    return [0.5 + 0.01 * torch.randn((1, 64, 64))], network


def test_adapting_that_does_not_help_is_left_out():
    # The network knows this image by heart, and the learning rate spoils it.
    images, network = what_is_known()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    adaptation = adapt(
        images, network, n_iter=40, early_stopping=True, learning_rate=0.5
    )
    steps = list(adaptation)
    assert len(adaptation.states) == 1
    assert adaptation.kept_at == [0]
    assert adaptation.initial_validation == pytest.approx(1e-4, rel=0.3)
    parameters = [key for key, _ in network.named_parameters()]
    (state,) = adaptation.states
    assert all(torch.equal(state[key], before[key]) for key in parameters)
    assert len(steps) < 40


def test_adapting_that_may_help_has_the_benefit_of_the_doubt():
    kept = []
    for seed in range(6):
        images, network = what_is_known()
        adaptation = adapt(
            images, network, seed, n_iter=5, early_stopping=True, learning_rate=1e-6
        )
        list(adaptation)
        kept.append(adaptation.kept_at[0] > 0)
    assert sum(kept) > len(kept) / 2


def test_a_plane_too_small_to_hold_pixels_out_is_learnt_from_all_the_same():
    image = torch.full((1, 4, 4), 0.5)
    adaptation = Adaptation(
        [Crop.to_learn_from(image)],
        a_network(),
        FillConfig(n_iter=5, early_stopping=True),
        seed=0,
        device=CPU,
    )
    steps = list(adaptation)
    assert adaptation.kept_at == [2, 3, 4, 5]
    assert {step.validation for step in steps} == {None}


def test_validation_comes_with_the_snapshots():
    steps = list(adapt(n_iter=10, early_stopping=True))
    measured = [step.step for step in steps if step.validation is not None]
    assert measured[0] == 4
    assert len(measured) == len(set(measured)) >= 3
