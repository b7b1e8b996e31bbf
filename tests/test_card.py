"""Runs on a device that is not the processor give what they give on it."""

import numpy as np
import pytest
import torch

from napari_mpi import denoise, iter_denoise, pretrain
from napari_mpi.config import FillConfig
from napari_mpi.engine.network import Hourglass
from napari_mpi.engine.passes import Passes
from napari_mpi.engine.predictor import Predictor
from napari_mpi.pipeline.forecast import Forecast

pytest.importorskip("pretended_card", exc_type=ImportError)

from pretended_card import pretended_card
from training_runs import settings


def images(rng):
    """A plane, a stack and a colour image with noise, each with its settings."""
    rows, columns = np.mgrid[:48, :56]
    disc = 60.0 + 90 * (np.hypot(rows - 24, columns - 28) < 14)
    return {
        "plane": (rng.normal(disc, 20), {}),
        "stack": (rng.normal(np.stack([disc] * 3), 20), {}),
        "rgb": (rng.normal(disc[..., None] + [0, 20, 40], 20), {"rgb": True}),
    }


def run(device, image, preset, **settings):
    return denoise(
        image.clip(0, 255).astype(np.uint8),
        preset=preset,
        device=device,
        n_iter=10,
        uncertainty=True,
        precision="float32",
        **settings,
    )


@pytest.mark.parametrize(
    ("name", "preset", "records"),
    [
        ("plane", "auto", False),
        ("plane", "auto", True),
        ("plane", "paper-fast", True),
        ("stack", "fast", True),
        ("rgb", "fast", True),
    ],
)
def test_a_run_on_a_card_gives_the_pixels_of_the_processor(rng, name, preset, records):
    image, settings = images(rng)[name]
    expected = run("cpu", image, preset, **settings)
    with pretended_card(records=records):
        found = run("card", image, preset, **settings)
    assert found.report["device"] == "card"
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)


def test_tiles_are_filled_on_a_card_as_on_the_processor():
    config = FillConfig(crop_size=64, mask_ratio=0.5, n_passes=8)
    plane = torch.rand(1, 96, 130, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    networks = [Hourglass(), Hourglass()]

    def filled(device):
        predictor = Predictor(Hourglass(), config, device)
        states = [
            {key: value.to(device) for key, value in network.state_dict().items()}
            for network in networks
        ]
        passes = Passes(plane, predictor, states, config, seed=0, tile_size=64)
        assert len(list(passes)) > 2 * config.n_passes  # in several tiles
        return passes.estimate.cpu().numpy()

    expected = filled(torch.device("cpu"))
    with pretended_card(records=True) as card:
        np.testing.assert_array_equal(filled(card), expected)


@pytest.fixture
def one_thread():
    """Sums of several threads differ in their last digits, of which Adam makes much."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def test_a_training_on_a_card_gives_the_weights_of_the_processor(
    clean_images, tmp_path, few_held_out_crops, one_thread, monkeypatch
):
    monkeypatch.setattr(
        "napari_mpi.training.pretrain.prefers_bfloat16", lambda device: False
    )

    def trained(device):
        output = tmp_path / f"on-{device}.safetensors"
        return pretrain(clean_images, output, settings(), device=device).state

    expected = trained("cpu")
    with pretended_card(records=True):
        found = trained("card")
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)


def test_what_a_card_has_no_memory_to_forecast_is_tried_on_the_processor(
    rng, monkeypatch
):
    tried = []

    def forecast(plane, n_planes, weights, config, device):
        tried.append(device.type)
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return Forecast(1.0, 2)

    monkeypatch.setattr("napari_mpi.pipeline.stack_denoising.forecast", forecast)
    with pretended_card(records=False):
        run = iter_denoise(rng.normal(100, 9, (32, 32)), n_iter=0, device="card")
        assert run.forecast() == Forecast(1.0, 2)
    assert len(tried) == 2
