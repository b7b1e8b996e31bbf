import numpy as np
import pytest
import torch
from training_runs import run, same, settings, write

from napari_mpi.arrays.intensity import Scaling
from napari_mpi.engine.network import Hourglass
from napari_mpi.training import held_out
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.corpus import Source
from napari_mpi.training.held_out import Comparison, HeldOut, hold_out
from napari_mpi.training.pretrain import iter_pretrain, pretrain
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.loading import load_weights

CONFIG = PretrainConfig(steps=1, crop_size=64)


def source(name, *shape):
    """An image whose pixels all differ, so that any two parts can be told apart."""
    planes = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.float32)
    return Source(name, planes, Scaling.fit(planes, "percentile"))


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    monkeypatch.setattr(held_out, "_N_CROPS", 8)


@pytest.fixture
def cells():
    """A clean fluorescence image, 1 x 1 x 128 x 128."""
    image = fluorescence_image((128, 128), np.random.default_rng(3))[None, None]
    return Source("cells", image, Scaling(0.0, 1.0))


def test_of_many_images_the_last_tenth_is_held_out_whole():
    folder = [source(f"{i}.tif", 1, 1, 64, 64) for i in range(20)]
    (training,), held, description = hold_out([folder], CONFIG)
    assert training == folder[:18]
    assert held == folder[18:]
    assert description == "2 whole images"


@pytest.mark.parametrize(
    ("shape", "kept", "strip"),
    [
        ((2, 1, 64, 200), (2, 1, 64, 160), (2, 1, 64, 40)),
        ((2, 1, 200, 64), (2, 1, 160, 64), (2, 1, 40, 64)),
        ((1, 3, 90, 100), (1, 3, 90, 68), (1, 3, 90, 32)),
    ],
)
def test_of_few_images_a_strip_is_held_out_and_never_trained_on(shape, kept, strip):
    (training,), held, description = hold_out([[source("a.tif", *shape)]], CONFIG)
    assert training[0].planes.shape == kept
    assert held[0].planes.shape == strip
    assert not np.intersect1d(training[0].planes, held[0].planes).size
    assert description == "a strip at the edge of 1 image (too few to spare a whole)"


def test_two_images_too_small_for_a_strip_spare_a_whole_one():
    folder = [source("a.tif", 1, 1, 64, 70), source("b.tif", 1, 1, 64, 70)]
    (training,), held, description = hold_out([folder], CONFIG)
    assert (training, held) == (folder[:1], folder[1:])
    assert description == "1 whole image"


def test_a_single_small_image_spares_nothing():
    folder = [source("a.tif", 1, 1, 64, 70)]
    assert hold_out([folder], CONFIG) == ([folder], [], "")


def test_without_images_procedural_ones_are_held_out():
    training, held, description = hold_out([], CONFIG)
    assert training == []
    assert len(held) == 8
    assert description == "8 procedural images"


def test_scores_depend_on_nothing_but_weights_and_seed(cells):
    network = load_weights("universal").build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    held = HeldOut([cells], "a strip", CONFIG, network)
    torch.manual_seed(1)
    first = held.score(network)
    torch.manual_seed(2)
    second = HeldOut([cells], "a strip", CONFIG, network).score(network.eval())
    assert np.array_equal(first, second)
    other = PretrainConfig(steps=1, crop_size=64, seed=1)
    assert not np.array_equal(
        first, HeldOut([cells], "", other, network).score(network)
    )
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_trained_weights_are_better_than_untrained_and_never_than_themselves(cells):
    trained = load_weights("universal").build()
    untrained = Hourglass(1, 1)
    held = HeldOut([cells], "a strip", CONFIG, trained)
    good, bad = held.score(trained), held.score(untrained)
    better = held.compare("untrained", bad, trained)
    assert better.better
    assert better.gain > 3
    assert better.sentence.startswith("Better than untrained on held-out images: +")
    assert not held.compare("universal", good, trained).better
    worse = held.compare("universal", good, untrained)
    assert not worse.better
    assert worse.sentence.startswith("Not better than universal: keep those.")


def test_a_gain_within_chance_does_not_count():
    facts = {"start": "lab", "held_out": "2 whole images", "n_crops": 32}
    chance = Comparison(**facts, start_psnr=30, end_psnr=30.1, standard_error=0.06)
    assert not chance.better
    sure = Comparison(**facts, start_psnr=30, end_psnr=30.1, standard_error=0.04)
    assert sure.better
    assert sure.sentence == (
        "Better than lab on held-out images: +0.10 dB, give or take 0.08 dB, on 32 "
        "crops of 2 whole images."
    )
    assert sure.for_card()["better"] is True


@pytest.mark.parametrize("channels", [1, 3])
def test_the_preview_shows_a_held_out_patch_filled(cells, channels):
    network = Hourglass(channels, channels)
    held = HeldOut([cells], "a strip", CONFIG, network)
    preview = held.preview(network, network)
    assert preview.clean.shape == (channels, 128, 128)
    assert np.array_equal(preview.before, preview.now)
    assert preview.psnr(preview.clean) > preview.psnr(preview.noisy)


def test_trained_weights_denoise_the_preview(cells):
    trained = load_weights("universal").build()
    held = HeldOut([cells], "a strip", CONFIG, trained)
    preview = held.preview(Hourglass(1, 1), trained)
    assert preview.psnr(preview.now) > preview.psnr(preview.noisy) + 1
    assert preview.psnr(preview.now) > preview.psnr(preview.before)


def test_the_card_says_how_the_weights_do_on_held_out_images(clean_images, output):
    card = pretrain(clean_images, output, settings(), init="bundled", device="cpu").card
    verdict = card["held_out"]
    assert verdict["images"] == "1 whole image"
    assert verdict["compared_with"] == "universal"
    gain = verdict["end_psnr"] - verdict["start_psnr"]
    assert verdict["gain_db"] == pytest.approx(gain, abs=2e-3)


def test_weights_from_nothing_have_to_beat_the_bundled_ones(clean_images, output):
    training = iter_pretrain(clean_images, output, settings(steps=1), device="cpu")
    assert list(training)
    assert training.comparison.start == "universal"
    assert not training.comparison.better
    assert training.comparison.sentence.startswith("Not better than universal: keep")


def test_what_cannot_spare_a_part_is_not_compared(tmp_path, rng, output):
    folder = write(tmp_path / "one", "a.tif", rng.integers(0, 9, (64, 64), np.uint8))
    training = iter_pretrain(folder, output, settings(steps=1), device="cpu")
    assert list(training)
    assert training.held_out == ""
    assert training.preview() is None
    assert training.comparison is None
    assert load_weights(output).card["held_out"] is None


def test_looking_at_the_preview_does_not_change_the_training(clean_images, output):
    run(clean_images, output, settings())
    undisturbed = load_weights(output).state
    training = iter_pretrain(
        clean_images, output, settings(), device="cpu", overwrite=True
    )
    previews = [training.preview() for _ in training]
    assert same(load_weights(output).state, undisturbed)
    first, last = previews[0], previews[-1]
    assert np.array_equal(first.before, last.before)
    assert not np.array_equal(first.now, last.now)
    assert first.clean.shape == first.noisy.shape == first.now.shape
