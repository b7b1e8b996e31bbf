import json

import pytest
import torch
from safetensors.torch import save_file

from napari_mpi.engine.network import Hourglass
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.tensors import WeightsError


@pytest.fixture
def network() -> Hourglass:
    torch.manual_seed(0)
    return Hourglass(1, 1)


@pytest.fixture
def saved(tmp_path, network):
    path = tmp_path / "lab.safetensors"
    save_weights(path, network, {"steps": 3, "data": ["a", "b"]})
    return path


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def rewrite(path, state, **metadata):
    """Write a file as this package does, but with any content."""
    metadata = {"format": "napari-mpi-1", "card": "{}", **metadata}
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)
    return path


def test_weights_and_card_come_back_as_they_were_saved(saved, network):
    loaded = load_weights(saved)
    assert same(loaded.state, network.state_dict())
    assert loaded.card == {"steps": 3, "data": ["a", "b"]}
    assert (loaded.image_channels, loaded.mask_channels) == (1, 1)
    assert loaded.name == "lab.safetensors"
    assert len(loaded.sha256) == 64


@pytest.mark.parametrize("channels", [(3, 1), (3, 3)])
def test_the_shape_of_the_network_comes_back(tmp_path, channels):
    save_weights(tmp_path / "rgb.safetensors", Hourglass(*channels))
    built = load_weights(tmp_path / "rgb.safetensors").build()
    assert (built.image_channels, built.mask_channels) == channels


def test_a_network_in_channels_last_order_is_saved_the_same(tmp_path, network, saved):
    path = tmp_path / "other.safetensors"
    save_weights(path, network.to(memory_format=torch.channels_last))
    assert same(load_weights(path).state, load_weights(saved).state)


def test_each_built_network_is_a_copy(saved):
    loaded = load_weights(saved)
    first, second = loaded.build(), loaded.build()
    with torch.no_grad():
        first.head.weight.add_(1)
    assert torch.equal(second.head.weight, loaded.state["head.weight"])


def test_saving_leaves_one_complete_file(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["lab.safetensors"]


def test_a_failed_save_leaves_the_old_file(saved, network, monkeypatch):
    before = saved.read_bytes()

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(saved, network, {"steps": 4})
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


@pytest.mark.parametrize("name", [*BUNDLED, "bundled"])
def test_bundled_weights_load_by_name(name):
    loaded = load_weights(name)
    assert loaded.name in BUNDLED
    assert loaded.build()


def test_the_default_is_the_bundled_ones():
    assert load_weights().sha256 == load_weights("bundled").sha256


def test_loading_draws_no_random_numbers():
    before = torch.get_rng_state()
    load_weights().build()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_that_was_written_again_is_read_again(saved):
    before = load_weights(saved)
    save_weights(saved, Hourglass(1, 1), {"steps": 4})
    after = load_weights(saved)
    assert (before.card["steps"], after.card["steps"]) == (3, 4)
    assert before.sha256 != after.sha256


def test_loaded_weights_pass_through(saved):
    loaded = load_weights(saved)
    assert load_weights(loaded) is loaded


@pytest.mark.parametrize("name", ["nonsense", "missing.pth", "", "."])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(
        FileNotFoundError, match="give one of universal, universal-rgb, the path"
    ):
        load_weights(name)


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"model\.onnx: expected a \.safetensors"):
        load_weights(path)


@pytest.mark.parametrize("share", [0, 0.0001, 0.3, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"lab\.safetensors is damaged"):
        load_weights(saved)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "bert.safetensors")
    with pytest.raises(WeightsError, match="was not written by napari-mpi"):
        load_weights(tmp_path / "bert.safetensors")


def test_a_damaged_card_is_refused(tmp_path, network):
    path = rewrite(tmp_path / "a.safetensors", network.state_dict(), card="{")
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(path)


def without_one(state):
    del state["levels.deeper.merge_norm.bias"]


def with_one_more(state):
    state["levels.extra"] = torch.zeros(1)


def with_a_wider_layer(state):
    state["levels.merge_norm.bias"] = torch.zeros(129)


def with_another_type(state):
    state["levels.merge_norm.bias"] = torch.zeros(128, dtype=torch.int32)


@pytest.mark.parametrize(
    "spoil", [without_one, with_one_more, with_a_wider_layer, with_another_type]
)
def test_weights_of_another_network_are_refused(tmp_path, network, spoil):
    state = dict(network.state_dict())
    spoil(state)
    path = rewrite(tmp_path / "a.safetensors", state)
    with pytest.raises(WeightsError, match=r"does not fit.* 'levels\.\w"):
        load_weights(path)


@pytest.mark.parametrize(
    ("image_channels", "inputs", "message"),
    [
        (3, 5, "5 input and 3 output channels"),
        (2, 2, "2 input and 2 output channels"),
        (0, 1, "images of 0 channels: expected 1 to 64"),
        (65, 66, "images of 65 channels: expected 1 to 64"),
    ],
)
def test_impossible_channels_are_refused(
    tmp_path, network, image_channels, inputs, message
):
    state = dict(network.state_dict())
    state["head.weight"] = torch.zeros(image_channels, 64, 1, 1)
    state["levels.skip.conv.weight"] = torch.zeros(64, inputs, 1, 1)
    path = rewrite(tmp_path / "a.safetensors", state)
    with pytest.raises(WeightsError, match=message):
        load_weights(path)


def test_a_file_without_first_or_last_layer_is_refused(tmp_path):
    path = rewrite(tmp_path / "a.safetensors", {"head.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="first or last layer is missing"):
        load_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, network, value):
    with torch.no_grad():
        network.head.weight[0, 0] = value
    save_weights(tmp_path / "a.safetensors", network)
    with pytest.raises(WeightsError, match="NaN or infinite"):
        load_weights(tmp_path / "a.safetensors")


def test_a_card_that_is_nested_without_end_is_refused(tmp_path, network):
    path = tmp_path / "a.safetensors"
    rewrite(path, network.state_dict(), card="[" * 100_000)
    with pytest.raises(WeightsError, match="damaged or no safetensors"):
        load_weights(path)


def test_the_bundled_cards_say_how_the_weights_were_made():
    for name in BUNDLED:
        card = load_weights(name).card
        assert card
        assert json.dumps(dict(card))
