import pytest
import torch
from torch.nn import functional as F

from napari_mpi.engine.network import Hourglass, padded_size
from napari_mpi.weights.loading import load_weights

OFFICIAL = {
    "imgnet_80_95_singlechannel_skip.pth": (1, 746_115),
    "imgnet_30_multchannel_skip.pth": (3, 747_395),
}


def a_network(image_channels: int = 1, mask_channels: int = 1) -> Hourglass:
    torch.manual_seed(0)
    return Hourglass(image_channels, mask_channels)


def an_input(*shape: int, mask_channels: int = 1, ratio: float = 0.5):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(shape, generator=generator)
    mask_shape = (shape[0], mask_channels, *shape[2:])
    mask = (torch.rand(mask_shape, generator=generator) >= ratio).float()
    return image, mask


def n_parameters(network: Hourglass) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def as_the_official_keys_define(state, x):
    """The network once more, straight from the numbers in the official keys."""

    def conv(x, key, stride=1):
        weight = state[f"{key}.weight"]
        if weight.shape[-1] == 3:
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, weight, state[f"{key}.bias"], stride)

    def norm(x, key):
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = x.var((0, 2, 3), correction=0, keepdim=True)
        scale = state[f"{key}.weight"].view(1, -1, 1, 1)
        shift = state[f"{key}.bias"].view(1, -1, 1, 1)
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def block(x, conv_key, norm_key, stride=1):
        return F.leaky_relu(norm(conv(x, conv_key, stride), norm_key), 0.2)

    def level(x, path):
        skip = block(x, f"{path}.1.0.1.1", f"{path}.1.0.2")
        deeper = block(x, f"{path}.1.1.1.1", f"{path}.1.1.2", stride=2)
        deeper = block(deeper, f"{path}.1.1.4.1", f"{path}.1.1.5")
        if f"{path}.1.1.7.2.weight" in state:
            deeper = level(deeper, f"{path}.1.1.7")
        deeper = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        merged = norm(torch.cat([skip, deeper], dim=1), f"{path}.2")
        merged = block(merged, f"{path}.3.1", f"{path}.4")
        return block(merged, f"{path}.6.1", f"{path}.7")

    return torch.sigmoid(conv(level(x, "net"), "net.9.1"))


def test_an_rgb_network_with_one_mask_has_746115_parameters():
    assert n_parameters(Hourglass(3, 1)) == 746_115


@pytest.mark.parametrize(("name", "expected"), OFFICIAL.items())
def test_an_official_file_gives_the_network_of_its_shape(shared_data, name, expected):
    network = load_weights(shared_data / "weights" / name).build()
    assert network.image_channels == 3
    assert (network.mask_channels, n_parameters(network)) == expected


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 3, 64, 96)])
def test_the_output_is_what_an_official_file_defines(shared_data, name, shape):
    path = shared_data / "weights" / name
    state = torch.load(path, weights_only=True)["params"]
    network = load_weights(path).build()
    image, mask = an_input(*shape, mask_channels=network.mask_channels)
    with torch.no_grad():
        expected = as_the_official_keys_define(
            state, torch.cat([image * mask, mask], dim=1)
        )
        torch.testing.assert_close(
            network(image * mask, mask), expected, atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 64), (1, 70), (100, 17)])
def test_any_size_comes_back_within_0_to_1(size):
    image, mask = an_input(1, 1, *size)
    filled = a_network()(image * mask, mask)
    assert filled.shape == image.shape
    assert 0 <= float(filled.detach().min()) <= float(filled.detach().max()) <= 1


def test_the_three_forms_of_masks_and_channels():
    for channels, mask_channels in ((1, 1), (3, 1), (3, 3), (2, 2)):
        image, mask = an_input(1, channels, 16, 16, mask_channels=mask_channels)
        network = a_network(channels, mask_channels)
        assert network(image * mask, mask).shape == image.shape


@pytest.mark.parametrize("size", [(16, 16), (33, 50)])
def test_a_hidden_pixel_is_hidden_in_its_mirror_image_too(size):
    image, mask = an_input(1, 1, *size)
    network, seen = a_network(), []
    network.levels.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(image * mask, mask)
    (x,) = seen
    assert x.shape[-2:] == (64, 64)
    assert torch.equal(x[:, :1] != 0, x[:, 1:] != 0)
    assert set(x[:, 0].unique().tolist()) == set((image * mask).unique().tolist())


@pytest.mark.parametrize("size", [(16, 16), (33, 50)])
def test_a_hidden_pixel_does_not_influence_its_own_prediction(size):
    image, mask = an_input(1, 1, *size)
    corner_and_edges = [(0, 0), (size[0] - 1, size[1] - 1), (size[0] - 1, 3)]
    for row, column in corner_and_edges:
        mask[..., row, column] = 0
    network = a_network()
    before = network(image * mask, mask)
    for row, column in corner_and_edges:
        changed = image.clone()
        changed[..., row, column] = 1 - changed[..., row, column]
        after = network(changed * mask, mask)
        assert after[0, 0, row, column] == before[0, 0, row, column]


def test_a_visible_pixel_does_influence_its_neighbours():
    image, mask = an_input(1, 1, 33, 50)
    mask[..., 32, 49], mask[..., 32, 48] = 1, 0
    changed = image.clone()
    changed[..., 32, 49] = 1 - changed[..., 32, 49]
    network = a_network()
    before, after = network(image * mask, mask), network(changed * mask, mask)
    assert before[0, 0, 32, 48] != after[0, 0, 32, 48]


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 64), (64, 64), (65, 96), (96, 96), (97, 128)]
)
def test_sides_are_extended_to_a_multiple_of_32_that_is_at_least_64(size, expected):
    assert padded_size(size) == expected


def test_impossible_channels_are_refused():
    with pytest.raises(ValueError, match="at least one image channel, got 0"):
        Hourglass(0, 1)
    with pytest.raises(ValueError, match=r"1 or 3 mask channels .* got 2"):
        Hourglass(3, 2)
