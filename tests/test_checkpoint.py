import numpy as np
import pytest
import torch
from training_runs import run, same, settings, write

from napari_mpi.engine.network import Hourglass
from napari_mpi.training.pretrain import iter_pretrain
from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.tensors import WeightsError

pytestmark = pytest.mark.usefixtures("few_held_out_crops")


@pytest.mark.parametrize("synthetic_share", [0.0, 0.5])
def test_a_resumed_training_equals_an_undisturbed_one(
    clean_images, output, tmp_path, synthetic_share
):
    config = settings(steps=4, synthetic_share=synthetic_share)
    whole = run(clean_images, output, config)

    resumed = tmp_path / "resumed.safetensors"
    steps = iter_pretrain(clean_images, resumed, config, device="cpu")
    first = [next(steps), next(steps)]
    steps.close()
    assert not resumed.exists()
    checkpoint = resumed.with_suffix(".ckpt")
    second = run(clean_images, resumed, config, resume=checkpoint)

    assert first + second == whole
    assert same(load_weights(resumed).state, load_weights(output).state)
    curves = [path.with_suffix(".loss.csv").read_text() for path in (resumed, output)]
    assert curves[0] == curves[1]


def test_a_finished_training_resumes_to_the_same_weights(clean_images, output):
    run(clean_images, output, settings())
    before = load_weights(output).state
    checkpoint = output.with_suffix(".ckpt")
    assert run(clean_images, output, settings(), resume=checkpoint) == []
    assert same(load_weights(output).state, before)


def test_checkpoints_appear_on_the_way(clean_images, output):
    steps = iter_pretrain(
        clean_images, output, settings(checkpoint_every=2), device="cpu"
    )
    present = []
    for _ in range(2):
        next(steps)
        present.append(output.with_suffix(".ckpt").exists())
    steps.close()
    assert present == [False, True]


def test_a_missing_checkpoint_is_named(clean_images, output, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*absent\.ckpt"):
        run(clean_images, output, settings(), resume=tmp_path / "absent.ckpt")


@pytest.mark.parametrize("content", [b"", b"hello world"])
def test_a_damaged_checkpoint_is_refused(clean_images, output, content):
    checkpoint = output.with_suffix(".ckpt")
    checkpoint.write_bytes(content)
    with pytest.raises(WeightsError, match=r"lab\.ckpt was not opened"):
        run(clean_images, output, settings(), resume=checkpoint)


def test_another_file_of_torch_is_no_checkpoint(clean_images, output):
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
            run(clean_images, output, settings(), resume=checkpoint)


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
def test_a_checkpoint_that_makes_no_sense_is_refused(
    clean_images, output, spoil, message
):
    run(clean_images, output, settings(steps=1))
    checkpoint = output.with_suffix(".ckpt")
    content = torch.load(checkpoint, weights_only=True)
    spoil(content)
    torch.save(content, checkpoint)
    with pytest.raises(WeightsError, match=f"no checkpoint of this.*{message}"):
        run(clean_images, output, settings(steps=1), resume=checkpoint)


def test_a_checkpoint_does_not_decide_how_adam_steps(clean_images, output):
    training = iter_pretrain(clean_images, output, settings(steps=2), device="cpu")
    next(training)
    training.close()
    checkpoint = output.with_suffix(".ckpt")
    content = torch.load(checkpoint, weights_only=True)
    weights = {}
    for weight_decay in (0, 1e9):
        content["optimizer"]["param_groups"][0]["weight_decay"] = weight_decay
        torch.save(content, checkpoint)
        run(clean_images, output, settings(steps=2), resume=checkpoint)
        weights[weight_decay] = load_weights(output).state
    assert same(weights[0], weights[1e9])


def test_a_checkpoint_of_another_network_is_refused(clean_images, output, tmp_path):
    save_weights(tmp_path / "start.safetensors", Hourglass(3, 1))
    start = tmp_path / "start.safetensors"
    run(clean_images, output, settings(steps=1), init=start)
    with pytest.raises(WeightsError, match=r"initial_weights was \w+…, now None"):
        run(clean_images, output, settings(), resume=output.with_suffix(".ckpt"))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"batch_size": 1}, "batch_size was 2, now 1"),
        ({"seed": 5}, "seed was 0, now 5"),
        ({"noise_share": 0.1}, "noise_share was 0.8, now 0.1"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_they_are_named(
    clean_images, output, change, difference
):
    steps = iter_pretrain(clean_images, output, settings(), device="cpu")
    next(steps)
    steps.close()
    checkpoint = output.with_suffix(".ckpt")
    before = checkpoint.read_bytes()
    with pytest.raises(WeightsError, match=f"other settings: {difference}. Give"):
        run(clean_images, output, settings(**change), resume=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_learning_rate_counts_whether_it_was_chosen_or_given(clean_images, output):
    steps = iter_pretrain(clean_images, output, settings(steps=2), device="cpu")
    next(steps)
    steps.close()
    checkpoint = output.with_suffix(".ckpt")
    config = settings(steps=2, learning_rate=2e-3)
    steps = run(clean_images, output, config, resume=checkpoint)
    assert [step.step for step in steps] == [2]


def test_a_checkpoint_of_other_images_is_refused(clean_images, output, rng):
    steps = iter_pretrain(clean_images, output, settings(), device="cpu")
    next(steps)
    steps.close()
    write(clean_images, "c.tif", rng.integers(0, 4000, (70, 80), np.uint16))
    with pytest.raises(WeightsError, match="the images are not the same"):
        run(clean_images, output, settings(), resume=output.with_suffix(".ckpt"))


def test_a_training_can_go_on_with_a_larger_budget_and_says_so(clean_images, output):
    run(clean_images, output, settings(steps=1))
    checkpoint = output.with_suffix(".ckpt")
    with pytest.warns(UserWarning, match="another budget.* steps was 1, now 2"):
        steps = run(clean_images, output, settings(steps=2), resume=checkpoint)
    assert [step.step for step in steps] == [2]


def test_a_discarded_training_leaves_nothing(clean_images, output):
    config = settings(steps=10, checkpoint_every=1)
    training = iter_pretrain(clean_images, output, config, device="cpu")
    next(training)
    assert output.with_suffix(".ckpt").exists()
    training.discard()
    assert list(output.parent.iterdir()) == []


def test_discarding_a_resumed_training_keeps_its_checkpoint(clean_images, output):
    training = iter_pretrain(clean_images, output, settings(), device="cpu")
    next(training)
    training.close()
    checkpoint = output.with_suffix(".ckpt")
    training = iter_pretrain(
        clean_images, output, settings(), resume=checkpoint, device="cpu"
    )
    next(training)
    training.discard()
    assert checkpoint.exists()


def test_discarding_a_training_before_its_first_step_keeps_an_earlier_checkpoint(
    clean_images, output
):
    run(clean_images, output, settings())
    earlier = output.with_suffix(".ckpt").read_bytes()
    iter_pretrain(
        clean_images, output, settings(), device="cpu", overwrite=True
    ).discard()
    assert output.with_suffix(".ckpt").read_bytes() == earlier


def test_discarding_a_training_resumed_from_elsewhere_leaves_only_that(
    clean_images, output, tmp_path
):
    run(clean_images, output, settings(steps=1))
    elsewhere = output.with_suffix(".ckpt").rename(tmp_path / "kept.ckpt")
    config = settings(steps=3, checkpoint_every=1)
    with pytest.warns(UserWarning, match="another budget"):
        training = iter_pretrain(
            clean_images, output, config, resume=elsewhere, device="cpu"
        )
    next(training)
    assert output.with_suffix(".ckpt").exists()
    training.discard()
    assert not output.with_suffix(".ckpt").exists()
    assert elsewhere.exists()
