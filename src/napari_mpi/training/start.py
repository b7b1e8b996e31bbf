"""What a training starts from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_mpi.engine.network import Hourglass
from napari_mpi.training.config import PretrainConfig
from napari_mpi.weights.loading import Weights, load_weights
from napari_mpi.weights.tensors import WeightsError

__all__ = ["baseline", "starting_network"]


def starting_network(initial: Weights | None, config: PretrainConfig) -> Hourglass:
    """Return the network that a training begins with.

    Parameters
    ----------
    initial : Weights, optional
        What it knows; without it, nothing.
    config : PretrainConfig
        The seed of a start from nothing, and whether it is for RGB images.

    Raises
    ------
    WeightsError
        If the weights are for another number of channels.
    """
    # The initialisation draws from torch's global generator; leave that as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Hourglass(3, 3) if config.rgb else Hourglass(1, 1)
    if initial is None:
        return network
    if not config.rgb or initial.image_channels == 3:
        return initial.build()
    if initial.image_channels != 1:
        raise WeightsError(
            f"{initial.name} is for images of {initial.image_channels} channels: start "
            "an RGB network from gray or from RGB weights."
        )
    network.load_state_dict(_for_rgb(initial.state))
    return network


def baseline(initial: Weights | None, config: PretrainConfig) -> tuple[str, Hourglass]:
    """Return what a training has to beat, by name and as a network."""
    # Weights from nothing have to beat what everyone has already. So have those for RGB
    # that began with gray ones, which mix the colours at first.
    weights = initial or load_weights()
    if config.rgb and weights.image_channels == 1:
        weights = load_weights("universal-rgb")
    return weights.name, starting_network(weights, config)


def _for_rgb(gray: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Widen gray weights: a quarter of the filters for each colour, one for the mean.

    Were all filters for the mean, all colours would be treated alike, and so would be
    what they learn from.
    """
    state = dict(gray)
    of_colour = torch.cat([torch.eye(3), torch.full((1, 3), 1 / 3)])
    for key in ("levels.skip.conv.weight", "levels.down.0.conv.weight"):
        image, mask = gray[key].chunk(2, dim=1)  # (64, 1, k, k) each
        shares = of_colour.repeat(len(image) // 4, 1)[..., None, None]  # (64, 3, 1, 1)
        state[key] = torch.cat([image * shares, mask * shares], dim=1)
    for key in ("head.weight", "head.bias"):
        state[key] = torch.cat([gray[key]] * 3)
    return state
