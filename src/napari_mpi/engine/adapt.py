"""Adapt the network to an image once, on small crops, however large the image is.

A pass of the network over a plane costs a third of an iteration over it, and an
iteration over a crop next to nothing. So the network learns on crops what the image is
like, and then fills any number of planes by passes alone (`napari_mpi.engine.passes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mpi.config import FillConfig
from napari_mpi.engine.masked_plane import MaskedPlane, predict
from napari_mpi.engine.masking import HELD_OUT, masked_mse
from napari_mpi.engine.network import Hourglass

__all__ = ["AdaptStep", "Adaptation", "State", "cut_crops"]

State = dict[str, Tensor]

# The networks along the way err differently; their mean errs less. They are kept from
# this share of the iterations on.
_N_SNAPSHOTS = 6
_FIRST_SNAPSHOT = 0.4
# Snapshots in a row that may be no better before adapting ends.
_PATIENCE = 2
# Held-out pixels are still predicted better if their errors have fallen by so many
# standard errors from the first to the last of the snapshots.
_STILL_BETTER = 2.0
# Share of the progress bar until it is known whether it pays to go on.
_SHARE_UNTIL_THEN = 0.7
_N_VALIDATION_CROPS = 8


@dataclass(frozen=True)
class AdaptStep:
    """One iteration that is done.

    Attributes
    ----------
    step, n_iter : int
        Iterations done so far, and how many there will be unless it pays to go on.
    fraction : float
        Share of the work that is done, 0 to 1, at the least.
    loss : float
        Masked mean squared error against the noisy crops, in scaled units.
    validation : float or None
        Mean squared error, on pixels that are never trained on, of the mean of the
        predictions so far; None between two snapshots.
    """

    step: int
    n_iter: int
    fraction: float
    loss: float
    validation: float | None = None


class Adaptation:
    """Train a network further on noisy crops; iterate over it to advance.

    Parameters
    ----------
    crops : sequence of Tensor
        Scaled noisy crops of shape (C, h, w), float32. Each iteration takes the next
        `FillConfig.batch_size` of them, over and over.
    network : Hourglass
        A pre-trained network, which is trained further in place.
    config : FillConfig
        Settings.
    seed : int
        Seed of the masks.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    states : list of dict
        State dicts of the networks to fill with, valid at any time. Before the first
        snapshot it is the network as it came.
    kept_at : list of int
        The iterations after which these states were taken; 0 is before the first.
    initial_validation : float or None
        Like `AdaptStep.validation`, of the network as it came.

    Notes
    -----
    With early stopping, two percent of the pixels are hidden always and trained on
    never. Of the snapshots along the way as many are kept as predict them best
    together, or none, if the network as it came was better. If the pixels are still
    predicted better and better at the end, the network goes on learning for as long
    again, up to `FillConfig.max_iter`; images with much detail need that.
    """

    def __init__(
        self,
        crops: Sequence[Tensor],
        network: Hourglass,
        config: FillConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._config = config
        self._network = network.to(
            device=device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        ).train()
        generator = torch.Generator(device).manual_seed(seed)
        self._crops = [MaskedPlane(crop, network, config, generator) for crop in crops]
        share = HELD_OUT if config.early_stopping else 0.0
        self._held_out = [1 - crop.mask(share) for crop in self._crops]
        self._start = self._state()
        self.states, self.kept_at = [self._start], [0]
        self.initial_validation: float | None = None

    def __iter__(self) -> Iterator[AdaptStep]:
        config = self._config
        optimizer = torch.optim.Adam(
            self._network.parameters(), lr=config.learning_rate
        )
        validation = _Validation(self._crops, self._held_out, config)
        stopping = config.early_stopping and config.n_iter > 0
        lowest = math.inf
        if stopping:
            lowest = validation.error([validation.predict(self._network)])
            self.initial_validation = lowest
        kept: list[_Snapshot] = []
        step, n_iter, n_worse = 0, config.n_iter, 0
        places = np.linspace(_FIRST_SNAPSHOT * n_iter, n_iter, _N_SNAPSHOTS)
        while True:
            snapshots_at = set(places.round().astype(int).tolist())
            while step < n_iter:
                step += 1
                loss = self._step(optimizer, step)
                error = None
                if step in snapshots_at:
                    predicted = validation.predict(self._network) if stopping else []
                    kept.append(_Snapshot(step, self._state(), predicted))
                    if stopping:
                        error = validation.error([each.predicted for each in kept])
                    if error is None or error < lowest:
                        self.states = [each.state for each in kept]
                        self.kept_at = [each.step for each in kept]
                        lowest, n_worse = lowest if error is None else error, 0
                    else:
                        n_worse += 1
                yield AdaptStep(step, n_iter, _fraction(step, config), loss, error)
                if n_worse > _PATIENCE:
                    return
            longer = min(2 * n_iter, config.max_iter or n_iter)
            if longer == n_iter or not stopping or not validation.improves(kept):
                return
            n_iter = longer
            kept = [each for each in kept if each.step >= _FIRST_SNAPSHOT * n_iter]
            places = np.linspace(step, n_iter, _N_SNAPSHOTS - len(kept) + 1)[1:]

    def _step(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss, batch_size = 0.0, self._config.batch_size
        for number in range(batch_size):
            # One crop at a time has its own batch-norm statistics, like a plane.
            index = ((step - 1) * batch_size + number) % len(self._crops)
            loss += self._backward(index) / batch_size
        optimizer.step()
        return loss

    def _backward(self, index: int) -> float:
        crop, held_out = self._crops[index], self._held_out[index]
        drawn = crop.mask(self._config.mask_ratio)  # (B, mask channels or 1, h, w)
        mask = drawn * (1 - held_out)
        predicted = predict(self._network, crop.noisy, mask, self._config)
        loss = masked_mse(predicted, crop.noisy, torch.maximum(drawn, held_out))
        (loss / self._config.batch_size).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _state(self) -> State:
        return {
            key: value.detach().clone()
            for key, value in self._network.state_dict().items()
        }


@dataclass(frozen=True)
class _Snapshot:
    """The network at one step, and what it predicts for the held-out pixels."""

    step: int
    state: State
    predicted: list[Tensor]


class _Validation:
    """Errors of predictions on pixels that are held out."""

    def __init__(
        self,
        crops: Sequence[MaskedPlane],
        held_out: Sequence[Tensor],
        config: FillConfig,
    ) -> None:
        chosen = np.linspace(0, len(crops) - 1, min(len(crops), _N_VALIDATION_CROPS))
        self._config = config
        # The same masks each time: only the networks are compared.
        self._crops = [
            (crops[index], held_out[index] > 0, crops[index].mask(config.mask_ratio))
            for index in chosen.round().astype(int)
        ]

    @torch.no_grad()
    def predict(self, network: Hourglass) -> list[Tensor]:
        """Return the predictions of the held-out values, a vector for each crop."""
        return [
            predict(network, crop.noisy, mask * ~held, self._config)[
                held.expand_as(crop.noisy)
            ]
            for crop, held, mask in self._crops
        ]

    def error(self, predictions: Sequence[list[Tensor]]) -> float:
        """Return the mean squared error of the mean of several predictions."""
        squared = self._squared(predictions)
        return float(squared.mean()) if len(squared) else 0.0

    def improves(self, snapshots: Sequence[_Snapshot]) -> bool:
        """Tell whether the later half of the snapshots is better than the earlier."""
        half = len(snapshots) // 2
        predictions = [snapshot.predicted for snapshot in snapshots]
        gain = self._squared(predictions[:half]) - self._squared(predictions[-half:])
        if half == 0 or len(gain) < 2:
            return False
        standard_error = float(gain.std()) / math.sqrt(len(gain))
        return float(gain.mean()) > _STILL_BETTER * standard_error

    def _squared(self, predictions: Sequence[list[Tensor]]) -> Tensor:
        return torch.cat(
            [
                (torch.stack(parts).mean(0) - crop.noisy[held.expand_as(crop.noisy)])
                for parts, (crop, held, _) in zip(
                    zip(*predictions, strict=True), self._crops, strict=True
                )
            ]
        ).square()


def _fraction(step: int, config: FillConfig) -> float:
    n_iter, most = config.n_iter, config.max_iter or config.n_iter
    if most <= n_iter or not config.early_stopping:
        return step / n_iter
    if step <= n_iter:
        return _SHARE_UNTIL_THEN * step / n_iter
    return _SHARE_UNTIL_THEN + (1 - _SHARE_UNTIL_THEN) * (step - n_iter) / (
        most - n_iter
    )


def cut_crops(
    plane: NDArray[np.float32], size: int, number: int, rng: np.random.Generator
) -> list[Tensor]:
    """Cut crops at random places of a plane.

    Parameters
    ----------
    plane : ndarray
        Shape (C, H, W).
    size : int
        Side of the crops in pixels; a plane that is smaller is taken whole.
    number : int
        How many.
    rng : numpy.random.Generator
        Source of the places.

    Returns
    -------
    list of Tensor
        Copies of shape (C, h, w).
    """
    height, width = (min(size, side) for side in plane.shape[-2:])
    tops = rng.integers(plane.shape[-2] - height + 1, size=number)
    lefts = rng.integers(plane.shape[-1] - width + 1, size=number)
    return [
        torch.from_numpy(plane[:, top : top + height, left : left + width].copy())
        for top, left in zip(tops, lefts, strict=True)
    ]
