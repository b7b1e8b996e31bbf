"""Adapt the network to an image once, on small crops, however large the image is.

A pass of the network over a plane costs a third of an iteration over it, and an
iteration over a crop next to nothing. So the network learns on crops what the image is
like, and then fills any number of planes by passes alone (`napari_mpi.engine.passes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_mpi.arrays.spread import evenly
from napari_mpi.config import FillConfig
from napari_mpi.engine.crops import Crop
from napari_mpi.engine.masked_plane import MaskedPlane, predict
from napari_mpi.engine.masking import masked_mse
from napari_mpi.engine.network import Hourglass, on_device
from napari_mpi.engine.repeated import Repeated, adam

__all__ = ["N_SNAPSHOTS", "AdaptStep", "Adaptation", "State"]

State = dict[str, Tensor]

# The networks along the way err differently; their mean errs less. They are kept from
# this share of the iterations on.
N_SNAPSHOTS = 6
"""Networks that an adaptation keeps at most."""

_FIRST_SNAPSHOT = 0.4
# Snapshots in a row that may be no better before adapting ends.
_PATIENCE = 2
_N_VALIDATION_CROPS = 8


@dataclass(frozen=True)
class AdaptStep:
    """One iteration that is done.

    Attributes
    ----------
    step, n_iter : int
        Iterations done so far, and how many there will be at most.
    loss : float
        Masked mean squared error against the noisy crops, in scaled units.
    validation : float or None
        Mean squared error, on pixels that are never trained on, of the mean of the
        predictions so far; None between two snapshots.
    """

    step: int
    n_iter: int
    loss: float
    validation: float | None = None


class Adaptation:
    """Train a network further on noisy crops; iterate over it to advance.

    Parameters
    ----------
    crops : sequence of Crop
        What to learn from. Each iteration takes the next `FillConfig.batch_size` of
        them, over and over.
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

    Raises
    ------
    ValueError
        If the network was made for another number of channels.

    Notes
    -----
    With early stopping, what is held out of the crops is hidden always and trained on
    never. Of the snapshots along the way as many are kept as predict it best together,
    or none, if the network as it came is better by more than one standard error: a few
    hundred noisy values seldom tell which of two good networks is better, and one that
    knows the image mostly is.
    """

    def __init__(
        self,
        crops: Sequence[Crop],
        network: Hourglass,
        config: FillConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._config = config
        self._network = on_device(network, device).train()
        generator = torch.Generator(device).manual_seed(seed)
        self._crops = [
            MaskedPlane(crop.noisy, network, config, generator) for crop in crops
        ]
        self._held_out = [
            plane.mask_of(crop.held_out & config.early_stopping)
            for plane, crop in zip(self._crops, crops, strict=True)
        ]
        self._start = self._state()
        self.states, self.kept_at = [self._start], [0]
        self.initial_validation: float | None = None

    def __iter__(self) -> Iterator[AdaptStep]:
        config = self._config
        optimizer = adam(self._network, config.learning_rate)
        learn = Repeated(partial(self._learn, optimizer))
        validation = _Validation(self._crops, self._held_out, config)
        stopping = config.n_iter > 0 and validation.n_pixels > 0
        if stopping:
            at_first = validation.errors([validation.predict(self._network)])
            self.initial_validation = float(at_first.mean())
        lowest = math.inf
        states: list[State] = []
        taken_at: list[int] = []
        predictions: list[list[Tensor]] = []
        places = np.linspace(
            _FIRST_SNAPSHOT * config.n_iter, config.n_iter, N_SNAPSHOTS
        )
        snapshots_at = set(places.round().astype(int).tolist())
        n_worse = 0
        for step in range(1, config.n_iter + 1):
            (loss,) = learn(*self._drawn(step))
            error = None
            if step in snapshots_at:
                states.append(self._state())
                taken_at.append(step)
                is_better = True
                if stopping:
                    predictions.append(validation.predict(self._network))
                    errors = validation.errors(predictions)
                    error = float(errors.mean())
                    is_better = error < lowest and not _surely_worse(errors, at_first)
                    lowest = min(lowest, error)
                if is_better:
                    self.states, self.kept_at = list(states), list(taken_at)
                n_worse = 0 if is_better else n_worse + 1
            # A graphics card has to be waited for: once a step.
            yield AdaptStep(step, config.n_iter, float(loss), error)
            if n_worse > _PATIENCE:
                return

    def _drawn(self, step: int) -> list[Tensor]:
        """Return the crops of a step, each with masks of what it shows and learns."""
        drawn, batch_size = [], self._config.batch_size
        for number in range((step - 1) * batch_size, step * batch_size):
            index = number % len(self._crops)
            crop, held_out = self._crops[index], self._held_out[index]
            mask = crop.mask(self._config.mask_ratio)  # (B, mask channels or 1, h, w)
            trained = torch.maximum(mask, held_out)
            drawn += [crop.noisy, mask * (1 - held_out), trained]
        return drawn

    def _learn(self, optimizer: torch.optim.Optimizer, *drawn: Tensor) -> tuple[Tensor]:
        """Train the network once; return the loss."""
        optimizer.zero_grad(set_to_none=True)
        losses = []
        # One crop at a time has its own batch-norm statistics, like a plane.
        for noisy, mask, trained in zip(
            drawn[::3], drawn[1::3], drawn[2::3], strict=True
        ):
            predicted = predict(self._network, noisy, mask, self._config)
            loss = masked_mse(predicted, noisy, trained)
            (loss / self._config.batch_size).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        optimizer.step()
        return (torch.stack(losses).mean(),)

    def _state(self) -> State:
        return {
            key: value.detach().clone()
            for key, value in self._network.state_dict().items()
        }


class _Validation:
    """Errors of predictions on pixels that are held out."""

    def __init__(
        self,
        crops: Sequence[MaskedPlane],
        held_out: Sequence[Tensor],
        config: FillConfig,
    ) -> None:
        number = min(len(crops), _N_VALIDATION_CROPS)
        self._config = config
        # The same masks each time: only the networks are compared.
        self._crops = [
            (crops[index], held_out[index] > 0, crops[index].mask(config.mask_ratio))
            for index in evenly(len(crops) - 1, number)
        ]
        self.n_pixels = sum(int(held.sum()) for _, held, _ in self._crops)

    @torch.no_grad()
    def predict(self, network: Hourglass) -> list[Tensor]:
        """Return the predictions of the held-out values, a vector for each crop."""
        return [
            predict(network, crop.noisy, mask * ~held, self._config)[
                held.expand_as(crop.noisy)
            ]
            for crop, held, mask in self._crops
        ]

    def errors(self, predictions: Sequence[list[Tensor]]) -> Tensor:
        """Return the squared errors of the mean of several predictions, shape (N,)."""
        differences = [
            torch.stack(parts).mean(0) - crop.noisy[held.expand_as(crop.noisy)]
            for parts, (crop, held, _) in zip(
                zip(*predictions, strict=True), self._crops, strict=True
            )
        ]
        return torch.cat(differences).square()


def _surely_worse(errors: Tensor, others: Tensor) -> bool:
    """Return whether errors exceed others by more than one standard error."""
    # Crops that overlap have pixels in common, which makes it larger in truth: the
    # smaller a plane, the sooner it is learnt by heart, and the less doubt is given.
    more = errors - others
    return bool(more.mean() > more.std() / math.sqrt(len(more)))
