"""Fill a plane by passes of networks that are adapted already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mpi.arrays.spread import evenly
from napari_mpi.arrays.tiles import Tile, blended_tiles
from napari_mpi.config import FillConfig
from napari_mpi.engine.adapt import State
from napari_mpi.engine.masked_plane import MaskedPlane
from napari_mpi.engine.network import MULTIPLE
from napari_mpi.engine.predictor import Predictor

__all__ = ["TILE_SIZE", "PassStep", "Passes", "n_passes_made"]

TILE_SIZE = 768
"""Planes up to this side, in pixels, are passed through the network whole."""

_OVERLAP = 96  # pixels
_LEAST_TILE = 192  # pixels, of sub-images
# What batch norm needs to know of a plane that is too large to be looked at whole.
_STATISTICS_SIZE, _STATISTICS_GRID = 96, 6


@dataclass(frozen=True)
class PassStep:
    """A piece of the work that is done.

    Attributes
    ----------
    done, total : int
        Tiles, over all passes.
    """

    done: int
    total: int


def n_passes_made(config: FillConfig, n_networks: int) -> int:
    """Return how many passes are made: each network makes whole pairs of them."""
    return 2 * n_networks * -(-config.n_passes // (2 * n_networks))


class Passes:
    """Fill one plane; iterate over it to advance, stop whenever you like.

    Parameters
    ----------
    plane : Tensor
        The scaled noisy plane, shape (C, H, W), float32.
    predictor : Predictor
        A network that the states fit; it takes them on in turn.
    states : sequence of dict
        State dicts of adapted networks.
    config : FillConfig
        Settings.
    seed : int
        Seed of the masks.
    tile_size : int
        Side of the tiles that a larger plane is taken apart into, in its pixels.

    Raises
    ------
    ValueError
        If the network was made for another number of channels.

    Notes
    -----
    The estimate of a pixel is the mean of its predictions in those passes in which it
    was hidden. Batch norm uses the plane's own statistics. For a plane in tiles they
    are measured once on a grid of crops and then stay, so that all tiles are treated
    alike.
    """

    def __init__(
        self,
        plane: Tensor,
        predictor: Predictor,
        states: Sequence[State],
        config: FillConfig,
        *,
        seed: int,
        tile_size: int = TILE_SIZE,
    ) -> None:
        self._config, self._states = config, states
        self._predictor = predictor
        generator = torch.Generator(predictor.device).manual_seed(seed)
        self._plane = MaskedPlane(plane, predictor.network, config, generator)
        noisy = self._plane.noisy
        height, width = noisy.shape[-2:]
        # Sub-images are filled together, so each of their tiles has to be smaller.
        side = max(tile_size // config.pixel_shuffle, min(tile_size, _LEAST_TILE))
        overlap = min(_OVERLAP, side // 4)
        self._tiles = list(blended_tiles((height, width), side, overlap, MULTIPLE))
        self._weights = [
            torch.from_numpy(tile.weight).to(noisy.device) for tile in self._tiles
        ]
        self._mean = noisy.clone()
        self._scatter = torch.zeros_like(noisy)  # sum of squared deviations
        self._count = torch.zeros_like(noisy)

    @property
    def estimate(self) -> Tensor:
        """The denoised plane so far, a copy of shape (C, H, W); valid at any time."""
        return self._plane.to_plane(self._mean)

    @property
    def has_all(self) -> bool:
        """Whether each pixel has a prediction; the others are still noisy."""
        return bool((self._count > 0).all())

    @property
    def spread(self) -> Tensor:
        """Variance of the predictions that the estimate averages, shape (C, H, W)."""
        spread = self._scatter / (self._count - 1).clamp_min(1)
        # One prediction does not scatter, and is no more certain than several.
        scatters = self._count > 1
        typical = (spread * scatters).sum() / scatters.sum().clamp_min(1)
        return self._plane.to_plane(torch.where(scatters, spread, typical))

    def __iter__(self) -> Iterator[PassStep]:
        n_passes = n_passes_made(self._config, len(self._states))
        masks = self._plane.mask_pairs()
        total = n_passes * len(self._tiles)
        done = 0
        for state in self._states:
            self._predictor.take(state)
            if len(self._tiles) > 1:
                self._fix_statistics(next(self._plane.mask_pairs()))
            for _ in range(n_passes // len(self._states)):
                mask = next(masks)  # (B, mask channels or 1, h, w)
                for _ in self._pass(mask):
                    done += 1
                    yield PassStep(done, total)
        if not self.has_all:
            # Few passes that hide little leave pixels out by chance.
            left = (self._count[:, : mask.shape[1]] == 0).to(mask.dtype)
            for _ in self._pass(1 - left):
                yield PassStep(done, total)

    def _pass(self, mask: Tensor) -> Iterator[None]:
        """Predict what a mask hides, and pause after each tile."""
        predicted = torch.zeros_like(self._mean)
        for tile, weight in zip(self._tiles, self._weights, strict=True):
            self._fill_tile(tile, weight, mask, predicted)
            if tile is self._tiles[-1]:
                self._add(predicted, mask)
            yield

    def _fill_tile(
        self, tile: Tile, weight: Tensor, mask: Tensor, predicted: Tensor
    ) -> None:
        rows, columns = tile.index
        noisy = self._plane.noisy[..., rows, columns]
        filled = self._predictor(noisy, mask[..., rows, columns])
        predicted[..., rows, columns] += filled * weight

    def _add(self, predicted: Tensor, mask: Tensor) -> None:
        """Let the predictions of hidden pixels count, in place (Welford's update)."""
        hidden = (1 - mask).expand_as(predicted)
        # The first prediction's distance from the stand-in is no scatter.
        known = hidden * (self._count > 0)
        self._count += hidden
        deviation = predicted - self._mean
        self._mean += hidden * deviation / self._count.clamp_min(1)
        self._scatter += known * (deviation * (predicted - self._mean)).clamp_min(0)

    def _fix_statistics(self, mask: Tensor) -> None:
        noisy = self._plane.noisy
        # Sub-images are looked at together, so each of them at fewer places.
        grid = max(2, _STATISTICS_GRID // self._config.pixel_shuffle)
        places = [
            (rows, columns)
            for rows in _evenly(noisy.shape[-2], grid)
            for columns in _evenly(noisy.shape[-1], grid)
        ]
        self._predictor.fix_statistics(
            torch.cat([noisy[..., rows, columns] for rows, columns in places]),
            torch.cat([mask[..., rows, columns] for rows, columns in places]),
        )


def _evenly(length: int, most: int) -> list[slice]:
    """Spread at most so many slices of equal length over an axis."""
    size = min(_STATISTICS_SIZE, length)
    number = min(most, -(-length // size))
    starts = evenly(length - size, number)
    return [slice(start, start + size) for start in starts]
