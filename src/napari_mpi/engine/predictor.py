"""A network on a device that predicts plane after plane."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from napari_mpi.config import FillConfig
from napari_mpi.engine.adapt import State
from napari_mpi.engine.masked_plane import predict
from napari_mpi.engine.network import Hourglass, on_device
from napari_mpi.engine.repeated import Repeated

__all__ = ["Predictor"]


class Predictor:
    """A network on a device that predicts plane after plane; call it to do so.

    Parameters
    ----------
    network : Hourglass
        The network, which is moved to the device and changed in place.
    config : FillConfig
        Settings.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    network : Hourglass
        As given.
    device : torch.device
        As given.

    Notes
    -----
    To use one for all planes of a run saves building networks, and recording what is
    repeated (see `napari_mpi.engine.repeated`).
    """

    def __init__(
        self, network: Hourglass, config: FillConfig, device: torch.device
    ) -> None:
        self.network, self.device = on_device(network, device), device
        work = partial(_predict, network, config)
        self._of_own_statistics = Repeated(work)
        self._of_fixed_statistics = Repeated(work)
        self._measure = work

    def take(self, state: State) -> None:
        """Take on a state; each batch is normalised by its own statistics from now."""
        self.network.load_state_dict(state)
        self.network.train()

    @torch.no_grad()
    def fix_statistics(self, noisy: Tensor, mask: Tensor) -> None:
        """Measure the statistics of a batch, and normalise by these from now on."""
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # What this batch says replaces what was known.
                module.momentum = 1.0
        self._measure(noisy, mask)
        self.network.eval()

    @torch.no_grad()
    def __call__(self, noisy: Tensor, mask: Tensor) -> Tensor:
        """Fill what the mask hides; valid until the next call.

        Parameters
        ----------
        noisy : Tensor
            Shape (B, image channels, h, w), scaled.
        mask : Tensor
            Shape (B, mask channels or 1, h, w), 0 where hidden.

        Returns
        -------
        Tensor
            Shape (B, image channels, h, w), float32.
        """
        training = self.network.training
        work = self._of_own_statistics if training else self._of_fixed_statistics
        (predicted,) = work(noisy, mask)
        return predicted


def _predict(
    network: Hourglass, config: FillConfig, noisy: Tensor, mask: Tensor
) -> tuple[Tensor]:
    # No method: what a predictor recorded is to be gone as soon as it is.
    return (predict(network, noisy, mask, config),)
