import pytest
import torch

from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.tensors import WeightsError


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {}},
        {"params": [1]},
        {"params": {}},
        {"params": {"net.1.0.1.1.weight": 3}},
        {"params": {"encoder.weight": torch.zeros(1)}},
        {"params": {"net." + 5 * "1.1.7." + "2.weight": torch.zeros(1)}},
        {"params": {"net.1.1.7.9.1.weight": torch.zeros(1)}},
        torch.zeros(3),
    ],
)
def test_a_pickle_that_is_no_state_dict_of_the_network_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"weights\.pth (is no MPI|does not desc)"):
        load_weights(tmp_path / "weights.pth")


def test_official_weights_survive_conversion(tmp_path, shared_data):
    for official in sorted((shared_data / "weights").glob("*.pth")):
        loaded = load_weights(official)
        save_weights(tmp_path / "own.safetensors", loaded.build(), loaded.card)
        own = load_weights(tmp_path / "own.safetensors")
        assert own.state.keys() == loaded.state.keys()
        assert all(torch.equal(own.state[key], loaded.state[key]) for key in own.state)
        assert own.card == {"origin": "official MPI weights"}


def test_official_weights_with_a_missing_layer_are_refused(tmp_path, shared_data):
    official = shared_data / "weights" / "imgnet_30_multchannel_skip.pth"
    content = torch.load(official, weights_only=True)
    del content["params"]["net.1.1.7.2.bias"]
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"does not fit.*deeper\.merge_norm\.bias"):
        load_weights(tmp_path / "weights.pth")
