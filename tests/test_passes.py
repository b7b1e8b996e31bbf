import gc
import weakref

import numpy as np
import pytest
import torch

from napari_mpi.config import FillConfig
from napari_mpi.engine.adapt import Adaptation
from napari_mpi.engine.crops import Crop
from napari_mpi.engine.masking import mask_pairs
from napari_mpi.engine.network import Hourglass
from napari_mpi.engine.passes import Passes, n_passes_made
from napari_mpi.engine.predictor import Predictor
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.loading import load_weights

CPU = torch.device("cpu")


def a_plane(height=64, width=64, channels=1):
    generator = torch.Generator().manual_seed(1)
    return torch.rand((channels, height, width), generator=generator)


def states_of(*networks):
    return [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]


def a_network(seed=0, image_channels=1, mask_channels=1):
    torch.manual_seed(seed)
    return Hourglass(image_channels, mask_channels)


def run(plane, states, *, tile_size=768, seed=0, network=None, **settings):
    settings = {"crop_size": 64, "mask_ratio": 0.5, "n_passes": 4, **settings}
    config = FillConfig(**settings)
    predictor = Predictor(network or a_network(), config, CPU)
    passes = Passes(plane, predictor, states, config, seed=seed, tile_size=tile_size)
    steps = list(passes)
    return passes, steps


def test_the_estimate_is_the_mean_of_the_predictions_of_hidden_pixels():
    plane, networks = a_plane(), (a_network(1), a_network(2))
    passes, steps = run(plane, states_of(*networks), seed=7)
    assert [(step.done, step.total) for step in steps] == [(n, 4) for n in range(1, 5)]

    masks = mask_pairs((1, 1, 64, 64), 0.5, torch.Generator().manual_seed(7))
    predictions = []
    for network in networks:
        for _ in range(2):
            mask = next(masks)
            with torch.no_grad():
                predicted = network.to(memory_format=torch.channels_last)(
                    plane * mask, mask
                )
            predictions.append(torch.where(mask == 0, predicted, torch.nan)[0])
    hidden = torch.stack(predictions)
    torch.testing.assert_close(passes.estimate, hidden.nanmean(0), atol=1e-5, rtol=0)
    squared = (hidden - hidden.nanmean(0)).square().nansum(0)
    torch.testing.assert_close(passes.spread, squared, atol=1e-5, rtol=0)


def test_a_pair_of_passes_predicts_each_pixel_once():
    plane = a_plane()
    passes, _ = run(plane, states_of(a_network()), n_passes=2)
    assert (passes.estimate != plane).all()
    assert torch.equal(passes.spread, torch.zeros_like(plane))


@pytest.mark.parametrize("tile_size", [768, 128])
def test_what_few_passes_leave_out_is_predicted_by_one_more(tile_size):
    plane = a_plane(192, 192)
    settings = {"n_passes": 4, "mask_ratio": 0.2, "tile_size": tile_size}
    passes, steps = run(plane, states_of(a_network()), **settings)
    assert passes.has_all
    assert (passes.estimate != plane).all()
    assert steps[-1].done == steps[-1].total
    # Pixels that were predicted once are taken to be as uncertain as the others.
    assert passes.spread.min() > 0


@pytest.mark.parametrize("n_networks", [1, 3])
def test_each_network_makes_whole_pairs_of_passes(n_networks):
    states = states_of(a_network()) * n_networks
    _, steps = run(a_plane(), states, n_passes=7)
    config = FillConfig(crop_size=64, n_passes=7)
    assert len(steps) == n_passes_made(config, n_networks)
    assert len(steps) == {1: 8, 3: 12}[n_networks]


def test_the_estimate_is_the_input_before_the_first_pass():
    plane = a_plane()
    config = FillConfig(crop_size=64)
    predictor = Predictor(a_network(), config, CPU)
    passes = Passes(plane, predictor, states_of(a_network()), config, seed=0)
    assert torch.equal(passes.estimate, plane)


def test_gradients_are_the_callers_business():
    config = FillConfig(crop_size=64)
    predictor = Predictor(a_network(), config, CPU)
    passes = Passes(a_plane(), predictor, states_of(a_network()), config, seed=0)
    next(iter(passes))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("channels", "image_channels", "mask_channels", "factor"),
    [(1, 3, 1, 1), (3, 1, 1, 1), (3, 3, 3, 2), (1, 1, 1, 2)],
)
def test_any_network_fills_gray_and_colour_planes_in_tiles(
    channels, image_channels, mask_channels, factor
):
    plane = a_plane(150, 91, channels)
    network = a_network(0, image_channels, mask_channels)
    passes, _ = run(
        plane,
        states_of(network),
        network=a_network(3, image_channels, mask_channels),
        tile_size=64,
        n_passes=2,
        pixel_shuffle=factor,
    )
    assert passes.estimate.shape == plane.shape
    assert (passes.estimate != plane).float().mean() > 0.99


def test_sub_images_are_filled_in_smaller_tiles():
    plane = torch.rand(1, 64, 800)
    _, whole = run(plane[..., :768], states_of(a_network()), pixel_shuffle=2)
    _, steps = run(plane, states_of(a_network()), pixel_shuffle=2)
    assert (len(whole), len(steps)) == (4, 8)


@pytest.mark.parametrize("pixel_shuffle", [1, 2, 3])
def test_batch_norm_looks_at_as_much_however_a_plane_is_shuffled(
    pixel_shuffle, monkeypatch
):
    sizes = []

    def note(predictor, noisy, mask):
        sizes.append(noisy.numel())

    monkeypatch.setattr(Predictor, "fix_statistics", note)
    run(
        a_plane(600, 600),
        states_of(a_network()),
        pixel_shuffle=pixel_shuffle,
        tile_size=256,
        n_passes=2,
    )
    assert sizes == [36 * 96**2]


def test_tiles_leave_no_seam_and_hardly_change_the_result():
    rng = np.random.default_rng(3)
    clean = fluorescence_image((512, 512), rng) * 0.8 + 0.1
    # A bright and a dark half: with statistics of its own each tile would differ.
    clean[:, 256:] *= 0.2
    noisy = torch.from_numpy(clean + rng.normal(0, 0.05, clean.shape)).float()[None]
    weights = load_weights()
    states = states_of(weights.build())
    settings = {"network": weights.build(), "n_passes": 4}
    whole, _ = run(noisy, states, **settings)
    tiled, _ = run(noisy, states, tile_size=192, **settings)
    plain, seamed = whole.estimate[0].numpy(), tiled.estimate[0].numpy()
    error = np.sqrt(np.mean((plain - clean) ** 2))
    assert np.sqrt(np.mean((seamed - clean) ** 2)) < 1.1 * error
    # Where one tile ends, what tiling changes must not jump more than elsewhere.
    change = seamed - plain
    jumps = np.abs(np.diff(change, axis=1)).mean(axis=0)
    borders = [span.stop for span in blended_columns(512, 192)][:-1]
    at_borders = np.mean([jumps[stop - 2 : stop + 1].max() for stop in borders])
    assert at_borders < 1.5 * np.quantile(jumps, 0.9)


def blended_columns(length, size):
    from napari_mpi.arrays.tiles import blended_spans

    return blended_spans(length, size, size // 4, 32)


def test_states_of_an_adaptation_fit():
    plane = a_plane()
    config = FillConfig(n_iter=3, crop_size=64)
    adaptation = Adaptation(
        [Crop.to_learn_from(plane)], a_network(), config, seed=0, device=CPU
    )
    list(adaptation)
    passes, _ = run(plane, adaptation.states)
    assert torch.isfinite(passes.estimate).all()


def test_what_a_predictor_holds_is_gone_with_it():
    network = a_network()
    predictor = Predictor(network, FillConfig(crop_size=64), CPU)
    held = weakref.ref(network)
    gc.disable()  # which would find cycles, some time later
    try:
        del network, predictor
        assert held() is None
    finally:
        gc.enable()
