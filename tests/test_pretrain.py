import csv

import numpy as np
import pytest
import tifffile
import torch

from napari_mpi.config import PretrainConfig
from napari_mpi.engine.network import Hourglass
from napari_mpi.io.files import FileError
from napari_mpi.io.image_data import without_calibration
from napari_mpi.training import held_out
from napari_mpi.training.pretrain import iter_pretrain, pretrain
from napari_mpi.weights.loading import WeightsError, load_weights, save_weights


def settings(**changes) -> PretrainConfig:
    return PretrainConfig(**{"steps": 3, "batch_size": 2, "crop_size": 64, **changes})


def write(folder, name, array):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, array)
    return folder


@pytest.fixture(autouse=True)
def few_held_out_crops(monkeypatch):
    """Spare the tests the time that many crops take."""
    monkeypatch.setattr(held_out, "_N_CROPS", 4)


@pytest.fixture
def images(tmp_path, rng):
    """A folder of a 16-bit image and an 8-bit stack."""
    folder = tmp_path / "images"
    write(folder, "a.tif", rng.integers(0, 4000, (70, 80), np.uint16))
    return write(folder, "b.tif", rng.integers(0, 255, (2, 64, 64), np.uint8))


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "lab.safetensors"


def run(*args, **kwargs):
    return list(iter_pretrain(*args, device="cpu", **kwargs))


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def test_a_training_writes_weights_checkpoint_and_loss_curve(images, output):
    weights = pretrain(images, output, settings(), device="cpu")
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "lab.ckpt",
        "lab.csv",
        "lab.png",
        "lab.safetensors",
    ]
    assert (weights.image_channels, weights.mask_channels) == (1, 1)
    assert weights.sha256 == load_weights(output).sha256
    rows = list(csv.reader(output.with_suffix(".csv").read_text().splitlines()))
    assert rows[0] == ["step", "loss"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_card_says_how_the_weights_were_made(images, output):
    card = pretrain(images, output, settings(seed=4), device="cpu").card
    # One of the two images is held out: they are too small to spare a strip.
    assert card["data"] == {
        "folders": [{"images": 1, "planes": 1}],
        "synthetic_share": 0.0,
    }
    assert (card["steps"], card["seed"], card["initial_weights"]) == (3, 4, None)
    assert card["config"]["crop_size"] == 64
    assert card["final_loss"] > 0


def test_each_step_tells_where_the_training_stands(images, output):
    steps = run(images, output, settings())
    assert [step.step for step in steps] == [1, 2, 3]
    assert [step.progress for step in steps] == pytest.approx([1 / 3, 2 / 3, 1])
    assert steps[0].learning_rate == pytest.approx(2e-3)
    assert steps[0].learning_rate > steps[1].learning_rate > steps[2].learning_rate
    assert all(0 < step.loss < 1 for step in steps)


def test_steps_from_weights_are_smaller_unless_they_are_given(images, output):
    (first,) = run(images, output, settings(steps=1), init="bundled")
    assert first.learning_rate == pytest.approx(2e-4)
    (first,) = run(
        images, output, settings(steps=1, learning_rate=1e-3), init="bundled"
    )
    assert first.learning_rate == pytest.approx(1e-3)


def test_the_seed_decides_the_result(images, output):
    first = run(images, output, settings())
    state = load_weights(output).state
    assert run(images, output, settings()) == first
    assert same(load_weights(output).state, state)
    assert run(images, output, settings(seed=1)) != first


def test_a_training_leaves_the_global_generator_alone(images, output):
    before = torch.random.get_rng_state()
    run(images, output, settings(steps=1))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("synthetic_share", [0.0, 0.5])
def test_a_resumed_training_equals_an_undisturbed_one(
    images, output, tmp_path, synthetic_share
):
    config = settings(steps=4, synthetic_share=synthetic_share)
    whole = run(images, output, config)

    resumed = tmp_path / "resumed.safetensors"
    steps = iter_pretrain(images, resumed, config, device="cpu")
    first = [next(steps), next(steps)]
    steps.close()
    assert not resumed.exists()
    checkpoint = resumed.with_suffix(".ckpt")
    second = run(images, resumed, config, resume=checkpoint)

    assert first + second == whole
    assert same(load_weights(resumed).state, load_weights(output).state)
    curves = [path.with_suffix(".csv").read_text() for path in (resumed, output)]
    assert curves[0] == curves[1]


def test_a_finished_training_resumes_to_the_same_weights(images, output):
    run(images, output, settings())
    before = load_weights(output).state
    checkpoint = output.with_suffix(".ckpt")
    assert run(images, output, settings(), resume=checkpoint) == []
    assert same(load_weights(output).state, before)


def test_checkpoints_appear_on_the_way(images, output):
    steps = iter_pretrain(images, output, settings(checkpoint_every=2), device="cpu")
    present = []
    for _ in range(2):
        next(steps)
        present.append(output.with_suffix(".ckpt").exists())
    steps.close()
    assert present == [False, True]


def test_a_training_by_the_clock_ends(images, output):
    steps = run(images, output, settings(steps=None, minutes=1e-6))
    assert len(steps) == 1
    assert steps[-1].progress == 1


def test_training_goes_on_from_given_weights(images, output):
    slow = settings(steps=1, learning_rate=1e-9, final_learning_rate=1e-9)
    weights = pretrain(images, output, slow, init="universal", device="cpu")
    start = load_weights("universal")
    assert weights.card["initial_weights"] == "universal"
    torch.testing.assert_close(
        weights.state["head.weight"], start.state["head.weight"], atol=1e-6, rtol=0
    )


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
    tmp_path, images, rng, output
):
    folder = write(
        tmp_path / "rgb", "a.tif", rng.integers(0, 255, (64, 70, 3), np.uint8)
    )
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 3))
    weights = pretrain(
        [folder, images],
        output,
        settings(steps=2),
        init=tmp_path / "start.safetensors",
        device="cpu",
    )
    assert (weights.image_channels, weights.mask_channels) == (3, 3)
    assert len(weights.card["data"]["folders"]) == 2


def test_a_gray_image_in_a_colour_network_has_one_mask(
    tmp_path, images, output, monkeypatch
):
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 3))
    masks, forward = [], Hourglass.forward

    def spy(self, visible, mask):
        masks.append(mask)
        return forward(self, visible, mask)

    monkeypatch.setattr(Hourglass, "forward", spy)
    start = tmp_path / "start.safetensors"
    run(images, output, settings(steps=1), init=start)
    assert masks
    assert all(torch.equal(mask, mask[:, :1].expand_as(mask)) for mask in masks)


def test_a_missing_folder_is_named(tmp_path, output):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        run(tmp_path / "absent", output, settings())


def test_no_folder_at_all_is_refused(output):
    with pytest.raises(FileError, match="at least one folder"):
        run([], output, settings())


def test_a_folder_without_images_is_named(tmp_path, output):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(FileError, match="texts holds no readable image"):
        run(folder, output, settings())


def test_a_small_image_is_named(images, output):
    write(images, "small.tif", np.zeros((64, 50), np.uint8))
    with pytest.raises(
        FileError, match=r"1 of the images in .*images.*small\.tif: 64x50 .* 64x64"
    ):
        run(images, output, settings())


def test_a_damaged_image_is_named(images, output):
    (images / "broken.tif").write_bytes(b"not a TIFF")
    with pytest.raises(FileError, match=r"broken\.tif"):
        run(images, output, settings())


def test_all_unusable_images_are_named_at_once(images, output):
    write(images, "nan.tif", np.full((64, 64), np.nan, np.float32))
    write(images, "complex.tif", np.zeros((64, 64), np.complex64))
    (images / "empty.png").touch()
    with pytest.raises(FileError) as error:
        run(images, output, settings())
    for part in ("3 of the images", "nan.tif", "complex.tif", "empty.png"):
        assert part in str(error.value)


def test_nothing_is_written_where_nothing_was_trained(tmp_path, output):
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "absent", output, settings())
    assert list(output.parent.iterdir()) == []


def test_the_output_is_a_safetensors_file_in_an_existing_folder(images, tmp_path):
    with pytest.raises(ValueError, match=r"has to end in \.safetensors"):
        run(images, tmp_path / "weights.pth", settings())
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run(images, tmp_path / "absent" / "a.safetensors", settings())


def test_a_missing_checkpoint_is_named(images, output, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*absent\.ckpt"):
        run(images, output, settings(), resume=tmp_path / "absent.ckpt")


@pytest.mark.parametrize("content", [b"", b"hello world"])
def test_a_damaged_checkpoint_is_refused(images, output, content):
    checkpoint = output.with_suffix(".ckpt")
    checkpoint.write_bytes(content)
    with pytest.raises(WeightsError, match=r"lab\.ckpt was not opened"):
        run(images, output, settings(), resume=checkpoint)


def test_another_file_of_torch_is_no_checkpoint(images, output):
    checkpoint = output.with_suffix(".ckpt")
    network = Hourglass(1, 1).state_dict()
    for content in (
        {"params": {}},
        [1, 2],
        torch.zeros(2),
        {"network": network, "optimizer": {"param_groups": [], "state": {}}},
    ):
        torch.save(content, checkpoint)
        with pytest.raises(WeightsError, match="no checkpoint of this training"):
            run(images, output, settings(), resume=checkpoint)


def without_moments(content):
    content["optimizer"]["state"].clear()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content.update(step=-1000), "counts -1000 steps"),
        (lambda content: content.update(seconds=np.inf), "steps in inf s"),
        (lambda content: content.update(losses=[]), "0 losses of 1 steps"),
        (lambda content: content.update(step=float("inf")), "cannot convert"),
        (lambda content: content.update(optimizer=[]), "list indices"),
        (lambda content: content.update(network=3), "state_dict"),
        (without_moments, "'step'"),
        (
            lambda content: content["network"]["head.bias"].fill_(np.nan),
            "NaN or infinite",
        ),
        (
            lambda content: content["optimizer"]["state"][0]["exp_avg"].fill_(np.inf),
            "NaN or infinite",
        ),
        (
            lambda content: content["optimizer"]["state"][0].update(
                exp_avg=torch.zeros(2)
            ),
            r"exp_avg has the shape \(2,\)",
        ),
    ],
)
def test_a_checkpoint_that_makes_no_sense_is_refused(images, output, spoil, message):
    run(images, output, settings(steps=1))
    checkpoint = output.with_suffix(".ckpt")
    content = torch.load(checkpoint, weights_only=True)
    spoil(content)
    torch.save(content, checkpoint)
    with pytest.raises(WeightsError, match=f"no checkpoint of this.*{message}"):
        run(images, output, settings(steps=1), resume=checkpoint)


def test_a_checkpoint_does_not_decide_how_adam_steps(images, output):
    training = iter_pretrain(images, output, settings(steps=2), device="cpu")
    next(training)
    training.close()
    checkpoint = output.with_suffix(".ckpt")
    content = torch.load(checkpoint, weights_only=True)
    weights = {}
    for weight_decay in (0, 1e9):
        content["optimizer"]["param_groups"][0]["weight_decay"] = weight_decay
        torch.save(content, checkpoint)
        run(images, output, settings(steps=2), resume=checkpoint)
        weights[weight_decay] = load_weights(output).state
    assert same(weights[0], weights[1e9])


def test_a_checkpoint_of_another_network_is_refused(images, output, tmp_path):
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 1))
    start = tmp_path / "start.safetensors"
    run(images, output, settings(steps=1), init=start)
    with pytest.raises(WeightsError, match=r"initial_weights was \w+…, now None"):
        run(images, output, settings(), resume=output.with_suffix(".ckpt"))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"batch_size": 1}, "batch_size was 2, now 1"),
        ({"seed": 5}, "seed was 0, now 5"),
        ({"noise_share": 0.1}, "noise_share was 0.8, now 0.1"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_they_are_named(
    images, output, change, difference
):
    steps = iter_pretrain(images, output, settings(), device="cpu")
    next(steps)
    steps.close()
    checkpoint = output.with_suffix(".ckpt")
    before = checkpoint.read_bytes()
    with pytest.raises(WeightsError, match=f"other settings: {difference}. Give"):
        run(images, output, settings(**change), resume=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_of_other_images_is_refused(images, output, rng):
    steps = iter_pretrain(images, output, settings(), device="cpu")
    next(steps)
    steps.close()
    write(images, "c.tif", rng.integers(0, 4000, (70, 80), np.uint16))
    with pytest.raises(WeightsError, match="the images are not the same"):
        run(images, output, settings(), resume=output.with_suffix(".ckpt"))


def test_a_training_can_go_on_with_a_larger_budget_and_says_so(images, output):
    run(images, output, settings(steps=1))
    checkpoint = output.with_suffix(".ckpt")
    with pytest.warns(UserWarning, match="another budget.* steps was 1, now 2"):
        steps = run(images, output, settings(steps=2), resume=checkpoint)
    assert [step.step for step in steps] == [2]


@pytest.fixture
def opened(rng):
    """Two images that are open already, one of them colour."""
    gray = rng.integers(0, 4000, (2, 70, 80), np.uint16)
    colour = rng.integers(0, 255, (64, 70, 3), np.uint8)
    return [
        without_calibration(gray, "QYX", "stack"),
        without_calibration(colour, "YXS", "slide"),
    ]


def test_open_images_can_be_trained_on_instead_of_a_folder(opened, output):
    before = [image.data.copy() for image in opened]
    weights = pretrain([], output, settings(), device="cpu", images=opened)
    assert weights.card["held_out"]["images"] == "1 whole image"
    for image, data in zip(opened, before, strict=True):
        assert np.array_equal(image.data, data)


def test_unfit_open_images_are_named(opened, output, rng):
    small = without_calibration(rng.random((20, 70)), "YX", "thumbnail")
    with pytest.raises(FileError, match=r"chosen images .* thumbnail: 20x70 is small"):
        run([], output, settings(), images=[*opened, small])


def test_the_card_says_how_the_weights_do_on_held_out_images(images, output):
    card = pretrain(images, output, settings(), init="bundled", device="cpu").card
    verdict = card["held_out"]
    assert verdict["images"] == "1 whole image"
    assert verdict["compared_with"] == "universal"
    gain = verdict["end_psnr"] - verdict["start_psnr"]
    assert verdict["gain_db"] == pytest.approx(gain, abs=2e-3)


def test_weights_from_nothing_have_to_beat_the_bundled_ones(images, output):
    training = iter_pretrain(images, output, settings(steps=1), device="cpu")
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


def test_looking_at_the_preview_does_not_change_the_training(images, output):
    run(images, output, settings())
    undisturbed = load_weights(output).state
    training = iter_pretrain(images, output, settings(), device="cpu")
    previews = [training.preview() for _ in training]
    assert same(load_weights(output).state, undisturbed)
    first, last = previews[0], previews[-1]
    assert np.array_equal(first.before, last.before)
    assert not np.array_equal(first.now, last.now)
    assert first.clean.shape == first.noisy.shape == first.now.shape


def test_a_stopped_training_writes_what_it_has(images, output):
    training = iter_pretrain(images, output, settings(steps=1000), device="cpu")
    next(training)
    training.stop()
    assert list(training) == []
    card = load_weights(output).card
    assert (card["steps"], card["stopped_early"]) == (1, True)
    assert card["held_out"] is not None


def test_a_discarded_training_leaves_nothing(images, output):
    config = settings(steps=10, checkpoint_every=1)
    training = iter_pretrain(images, output, config, device="cpu")
    next(training)
    assert output.with_suffix(".ckpt").exists()
    training.discard()
    assert list(output.parent.iterdir()) == []


def test_discarding_a_resumed_training_keeps_its_checkpoint(images, output):
    training = iter_pretrain(images, output, settings(), device="cpu")
    next(training)
    training.close()
    checkpoint = output.with_suffix(".ckpt")
    training = iter_pretrain(
        images, output, settings(), resume=checkpoint, device="cpu"
    )
    next(training)
    training.discard()
    assert checkpoint.exists()


def test_an_rgb_network_starts_as_the_gray_one_it_comes_from(images, output):
    slow = settings(steps=1, learning_rate=1e-12, final_learning_rate=1e-12, rgb=True)
    weights = pretrain(images, output, slow, init="universal", device="cpu")
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


def test_an_rgb_network_needs_gray_or_rgb_weights(tmp_path, images, output):
    save_weights(tmp_path / "two.safetensors", Hourglass(2, 1))
    with pytest.raises(WeightsError, match="gray or from RGB"):
        run(images, output, settings(rgb=True), init=tmp_path / "two.safetensors")


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
