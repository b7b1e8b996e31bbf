import csv

import numpy as np
import pytest
import tifffile
import torch
from training_runs import run, same, settings, write

from napari_mpi.engine.network import Hourglass
from napari_mpi.io.image_data import without_calibration
from napari_mpi.training.pretrain import iter_pretrain, pretrain
from napari_mpi.weights.loading import load_weights, save_weights

pytestmark = pytest.mark.usefixtures("few_held_out_crops")


@pytest.fixture
def opened(rng):
    """Two images that are open already, one of them colour."""
    gray = rng.integers(0, 4000, (2, 70, 80), np.uint16)
    colour = rng.integers(0, 255, (64, 70, 3), np.uint8)
    return [
        without_calibration(gray, "QYX", "stack"),
        without_calibration(colour, "YXS", "slide"),
    ]


def test_a_training_writes_weights_checkpoint_and_loss_curve(clean_images, output):
    weights = pretrain(clean_images, output, settings(), device="cpu")
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "lab.ckpt",
        "lab.loss.csv",
        "lab.loss.png",
        "lab.safetensors",
    ]
    assert (weights.image_channels, weights.mask_channels) == (1, 1)
    assert weights.sha256 == load_weights(output).sha256
    rows = list(csv.reader(output.with_suffix(".loss.csv").read_text().splitlines()))
    assert rows[0] == ["step", "loss"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert output.with_suffix(".loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("left", "advice"),
    [("lab.ckpt", "carry on with resume='"), ("lab.safetensors", "another name")],
)
def test_what_an_earlier_training_left_is_not_trained_over(
    clean_images, output, left, advice
):
    path = output.with_name(left)
    path.write_bytes(b"hours of work")
    with pytest.raises(FileExistsError, match=rf"{left} is there already: .*{advice}"):
        pretrain(clean_images, output, settings(steps=1), device="cpu")
    assert path.read_bytes() == b"hours of work"
    pretrain(clean_images, output, settings(steps=1), device="cpu", overwrite=True)
    assert path.read_bytes() != b"hours of work"


def test_the_card_says_how_the_weights_were_made(clean_images, output):
    card = pretrain(clean_images, output, settings(seed=4), device="cpu").card
    # One of the two images is held out: they are too small to spare a strip.
    assert card["data"] == {
        "folders": [{"images": 1, "planes": 1}],
        "synthetic_share": 0.0,
    }
    assert (card["steps"], card["seed"], card["initial_weights"]) == (3, 4, None)
    assert card["config"]["crop_size"] == 64
    assert card["final_loss"] > 0


def test_each_step_tells_where_the_training_stands(clean_images, output):
    steps = run(clean_images, output, settings())
    assert [step.step for step in steps] == [1, 2, 3]
    assert [step.progress for step in steps] == pytest.approx([1 / 3, 2 / 3, 1])
    assert steps[0].learning_rate == pytest.approx(2e-3)
    assert steps[0].learning_rate > steps[1].learning_rate > steps[2].learning_rate
    assert all(0 < step.loss < 1 for step in steps)


def test_the_seed_decides_the_result(clean_images, output):
    first = run(clean_images, output, settings())
    state = load_weights(output).state
    assert run(clean_images, output, settings()) == first
    assert same(load_weights(output).state, state)
    assert run(clean_images, output, settings(seed=1)) != first


def test_a_training_leaves_the_global_generator_alone(clean_images, output):
    before = torch.random.get_rng_state()
    run(clean_images, output, settings(steps=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_training_by_the_clock_ends(clean_images, output):
    steps = run(clean_images, output, settings(steps=None, minutes=1e-6))
    assert len(steps) == 1
    assert steps[-1].progress == 1


def test_procedural_images_need_no_folder(output):
    config = settings(steps=2, synthetic_share=1)
    weights = pretrain([], output, config, device="cpu")
    assert weights.card["data"] == {"folders": [], "synthetic_share": 1}


def test_colour_images_become_gray_for_a_gray_network(tmp_path, rng, output):
    folder = write(
        tmp_path / "rgb", "a.tif", rng.integers(0, 255, (64, 70, 3), np.uint8)
    )
    assert pretrain(folder, output, settings(steps=1), device="cpu").image_channels == 1


def test_a_colour_network_trains_on_colour_and_gray_images(
    tmp_path, clean_images, rng, output
):
    folder = write(
        tmp_path / "rgb", "a.tif", rng.integers(0, 255, (64, 70, 3), np.uint8)
    )
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 3))
    weights = pretrain(
        [folder, clean_images],
        output,
        settings(steps=2),
        init=tmp_path / "start.safetensors",
        device="cpu",
    )
    assert (weights.image_channels, weights.mask_channels) == (3, 3)
    assert len(weights.card["data"]["folders"]) == 2


def test_a_gray_image_in_a_colour_network_has_one_mask(
    tmp_path, clean_images, output, monkeypatch
):
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 3))
    masks, forward = [], Hourglass.forward

    def spy(self, visible, mask):
        masks.append(mask)
        return forward(self, visible, mask)

    monkeypatch.setattr(Hourglass, "forward", spy)
    start = tmp_path / "start.safetensors"
    run(clean_images, output, settings(steps=1), init=start)
    assert masks
    assert all(torch.equal(mask, mask[:, :1].expand_as(mask)) for mask in masks)


def test_nothing_is_written_where_nothing_was_trained(tmp_path, output):
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "absent", output, settings())
    assert list(output.parent.iterdir()) == []


def test_the_output_is_a_safetensors_file_in_an_existing_folder(clean_images, tmp_path):
    with pytest.raises(ValueError, match=r"has to end in \.safetensors"):
        run(clean_images, tmp_path / "weights.pth", settings())
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run(clean_images, tmp_path / "absent" / "a.safetensors", settings())


def test_a_folder_that_takes_no_file_is_told_before_the_training(
    clean_images, output, monkeypatch
):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(PermissionError) as raised:
        iter_pretrain(clean_images, output, settings(), device="cpu")
    assert raised.value.filename == str(output.parent)


def test_open_images_can_be_trained_on_instead_of_a_folder(opened, output):
    before = [image.data.copy() for image in opened]
    weights = pretrain([], output, settings(), device="cpu", images=opened)
    assert weights.card["held_out"]["images"] == "1 whole image"
    for image, data in zip(opened, before, strict=True):
        assert np.array_equal(image.data, data)


def test_a_stopped_training_writes_what_it_has(clean_images, output):
    training = iter_pretrain(clean_images, output, settings(steps=1000), device="cpu")
    next(training)
    training.stop()
    assert list(training) == []
    card = load_weights(output).card
    assert (card["steps"], card["stopped_early"]) == (1, True)
    assert card["held_out"] is not None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_network_sees_noise_in_the_share_of_crops_that_is_asked_for(
    tmp_path, output, monkeypatch, share
):
    flat = tmp_path / "flat"
    flat.mkdir()
    tifffile.imwrite(flat / "flat.tif", np.full((64, 64), 7, np.uint8))
    visible_stds = []
    forward = Hourglass.forward

    def spy(self, visible, mask):
        visible_stds.append(float(visible[mask == 1].std()))
        return forward(self, visible, mask)

    monkeypatch.setattr(Hourglass, "forward", spy)
    run(flat, output, settings(noise_share=share))
    # Where it is dark there are no photons, and no photon noise.
    assert any(std > 1e-4 for std in visible_stds) is (share == 1)
