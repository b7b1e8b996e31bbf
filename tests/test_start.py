import pytest
import torch
from training_runs import run, settings

from napari_mpi.engine.network import Hourglass
from napari_mpi.training.pretrain import pretrain
from napari_mpi.training.start import baseline
from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.tensors import WeightsError

pytestmark = pytest.mark.usefixtures("few_held_out_crops")


def test_steps_from_weights_are_smaller_unless_they_are_given(clean_images, output):
    (first,) = run(clean_images, output, settings(steps=1), init="bundled")
    assert first.learning_rate == pytest.approx(2e-4)
    (first,) = run(
        clean_images, output, settings(steps=1, learning_rate=1e-3), init="bundled"
    )
    assert first.learning_rate == pytest.approx(1e-3)


def test_training_goes_on_from_given_weights(clean_images, output):
    slow = settings(steps=1, learning_rate=1e-9, final_learning_rate=1e-9)
    weights = pretrain(clean_images, output, slow, init="universal", device="cpu")
    start = load_weights("universal")
    assert weights.card["initial_weights"] == "universal"
    torch.testing.assert_close(
        weights.state["head.weight"], start.state["head.weight"], atol=1e-6, rtol=0
    )


def test_an_rgb_network_starts_as_the_gray_one_it_comes_from(clean_images, output):
    slow = settings(steps=1, learning_rate=1e-12, final_learning_rate=1e-12, rgb=True)
    weights = pretrain(clean_images, output, slow, init="universal", device="cpu")
    assert (weights.image_channels, weights.mask_channels) == (3, 3)
    gray, rgb = load_weights("universal").build(), weights.build()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 1, 64, 64), generator=generator)
    mask = (torch.rand((1, 1, 64, 64), generator=generator) > 0.4).float()
    with torch.no_grad():
        one = gray.train()(image * mask, mask)
        three = mask.expand(-1, 3, -1, -1)
        colour = rgb.train()((image * mask).expand(-1, 3, -1, -1), three)
    torch.testing.assert_close(colour, one.expand_as(colour), atol=1e-4, rtol=0)


def test_an_rgb_network_from_gray_weights_tells_colours_apart(clean_images, output):
    slow = settings(steps=1, learning_rate=1e-12, final_learning_rate=1e-12, rgb=True)
    network = pretrain(clean_images, output, slow, init="universal", device="cpu")
    generator = torch.Generator().manual_seed(0)
    red, rest = torch.rand((2, 1, 1, 64, 64), generator=generator)
    every = torch.ones((1, 3, 64, 64))
    filled = network.build().train()
    with torch.no_grad():
        for colours in ([red, rest, rest], [rest, red, rest], [rest, rest, red]):
            turned = filled(torch.cat(colours, dim=1), every)
            back = filled(torch.cat(colours[::-1], dim=1), every)
            same = colours[0] is colours[2]
            assert torch.allclose(turned, back, atol=1e-3) == same


def test_an_rgb_network_from_gray_weights_has_to_beat_the_bundled_ones_for_rgb():
    gray, rgb = load_weights("universal"), load_weights("universal-rgb")
    for initial in (None, gray, rgb):
        name, network = baseline(initial, settings(rgb=True))
        assert name == "universal-rgb"
        weight = network.state_dict()["head.weight"]
        assert torch.equal(weight, rgb.state["head.weight"])
    assert baseline(None, settings())[0] == "universal"


def test_an_rgb_network_needs_gray_or_rgb_weights(tmp_path, clean_images, output):
    save_weights(tmp_path / "two.safetensors", Hourglass(2, 1))
    with pytest.raises(WeightsError, match="gray or from RGB"):
        run(clean_images, output, settings(rgb=True), init=tmp_path / "two.safetensors")
