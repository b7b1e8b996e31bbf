"""The engine: iterative filling, Algorithm 1 of Ma et al. (NeurIPS 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from napari_mpi.config import FillConfig
from napari_mpi.engine.masked_plane import MaskedPlane, predict
from napari_mpi.engine.masking import HELD_OUT, masked_mse
from napari_mpi.engine.network import Hourglass, on_device
from napari_mpi.engine.repeated import Repeated, adam

__all__ = ["Fill", "FillStep"]

_PATIENCE = 40  # iterations without a better estimate
_N_PREDICTIONS = 12  # of each pixel, before estimates are compared


@dataclass(frozen=True)
class FillStep:
    """One iteration that is done.

    Attributes
    ----------
    step : int
        Iterations done so far, from 1.
    loss : float
        Masked mean squared error against the noisy plane, in scaled units.
    validation : float or None
        Mean squared error of the estimate on pixels that are never trained on, if
        there are any.
    kept : int
        The iteration whose estimate is the best so far.
    """

    step: int
    loss: float
    validation: float | None
    kept: int


class Fill:
    r"""Fill one plane; iterate over it to advance, stop whenever you like.

    Parameters
    ----------
    plane : Tensor
        The scaled noisy plane, shape (C, H, W), float32.
    network : Hourglass
        A pre-trained network, which is trained further in place.
    config : FillConfig
        Settings.
    seed : int
        Seed of the masks. The same seed gives the same result on a processor, and on
        a graphics card the same but for rounding.
    device : torch.device
        Where to compute.

    Raises
    ------
    ValueError
        If the network was made for another number of channels.

    Notes
    -----
    In iteration t a mask :math:`M_t` hides a share p of the pixels, the network
    predicts :math:`y_t = D(M_t x, M_t)` and is pulled towards x where it could not
    look. Where hidden, the estimate follows :math:`\bar y = \beta \bar y + (1 -
    \beta) y_t`, starting from x, or from the first prediction if bias-corrected.

    With early stopping, two percent of the pixels are hidden always and trained on
    never. The estimate is the one that comes closest to them, and filling ends when
    it has not become better for a while.
    """

    def __init__(
        self,
        plane: Tensor,
        network: Hourglass,
        config: FillConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._config = config
        self._network = on_device(network, device).train()
        # Batch norm uses each plane's own statistics, as the authors do.
        self._plane = MaskedPlane(
            plane, network, config, torch.Generator(device).manual_seed(seed)
        )
        # The noisy values themselves are as close to held-out ones as can be, and of
        # no use to tell which estimate is.
        bias_corrected = config.bias_corrected or config.early_stopping
        self._average = _Average.start(self._plane.noisy, bias_corrected)
        self._best = self._average

    @property
    def estimate(self) -> Tensor:
        """The denoised plane so far, a copy of shape (C, H, W); valid at any time."""
        return self._plane.to_plane(self._best.mean)

    @property
    def spread(self) -> Tensor:
        """Variance of the predictions that the estimate averages, shape (C, H, W).

        Where the network finds the pixel hard to tell from its neighbours, its
        predictions scatter.
        """
        return self._plane.to_plane(self._best.variance)

    def __iter__(self) -> Iterator[FillStep]:
        config, plane = self._config, self._plane
        optimizer = adam(self._network, config.learning_rate)
        learn = Repeated(partial(self._learn, optimizer))
        held_out = 1 - plane.mask(HELD_OUT) if config.early_stopping else None
        lowest, kept = math.inf, 0
        for step in range(1, config.n_iter + 1):
            mask = plane.mask(config.mask_ratio)  # (B, mask channels or 1, h, w)
            trained = mask
            if held_out is not None:
                trained = torch.maximum(mask, held_out)
                mask = mask * (1 - held_out)
            predicted, loss = learn(mask, trained)
            self._average = self._average.with_prediction(
                predicted, mask, config.averaging
            )
            validation = None
            if held_out is None:
                self._best, kept = self._average, step
            else:
                validation = self._error_on(held_out)
                # Held-out pixels are hidden always, the others had fewer predictions.
                if validation < lowest or step <= _N_PREDICTIONS / config.mask_ratio:
                    lowest, kept = validation, step
                    self._best = self._average
            yield FillStep(step, float(loss), validation, kept)
            if step - kept >= _PATIENCE:
                return

    def _learn(
        self, optimizer: torch.optim.Optimizer, mask: Tensor, trained: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Train the network once; return what it predicted, and the loss."""
        noisy = self._plane.noisy
        predicted = predict(self._network, noisy, mask, self._config)
        loss = masked_mse(predicted, noisy, trained)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return predicted.detach(), loss.detach()

    def _error_on(self, held_out: Tensor) -> float:
        # Noise that is independent of what the network saw adds a constant to this.
        difference = held_out * (self._average.mean - self._plane.noisy)
        n_values = held_out.expand_as(difference).sum()
        return float(difference.square().sum() / n_values.clamp_min(1))


@dataclass(frozen=True)
class _Average:
    """Running mean and variance of the predictions of hidden pixels."""

    mean: Tensor  # (B, C, h, w)
    variance: Tensor  # (B, C, h, w)
    weight: Tensor  # (B, C, h, w), 0 before the first value, 1 after many

    @classmethod
    def start(cls, noisy: Tensor, bias_corrected: bool) -> _Average:
        """Start with the noisy image, as a value that counts or as a mere stand-in."""
        weight = torch.full_like(noisy, 0.0 if bias_corrected else 1.0)
        return cls(noisy.clone(), torch.zeros_like(noisy), weight)

    def with_prediction(self, predicted: Tensor, mask: Tensor, beta: float) -> _Average:
        """Return ȳ + (1 - β)(1 - M)(y - ȳ), with weights that add up to one."""
        hidden = 1 - mask
        weight = self.weight + (1 - beta) * hidden * (1 - self.weight)
        rate = (1 - beta) * hidden / weight.clamp_min(1 - beta)
        difference = predicted - self.mean
        # The first value's distance from the stand-in is no spread of predictions.
        known = (self.weight > 0).to(rate.dtype)
        variance = (1 - rate) * (self.variance + known * rate * difference.square())
        return _Average(self.mean + rate * difference, variance, weight)
