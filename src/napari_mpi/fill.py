"""The engine: iterative filling, Algorithm 1 of Ma et al. (NeurIPS 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.config import FillConfig
from napari_mpi.masking import masked_mse, random_mask
from napari_mpi.network import Hourglass

__all__ = ["Fill", "FillStep"]

_HELD_OUT = 0.02  # share of pixels
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
    """

    step: int
    loss: float
    validation: float | None = None


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
        Seed of the masks. The same seed on the same device gives the same result.
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
        self._shape = tuple(plane.shape)  # (C, H, W)
        self._network = network.to(
            device=device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        ).train()
        # Batch norm uses each plane's own statistics, as the authors do.
        self._generator = torch.Generator(device).manual_seed(seed)
        images = _to_images(plane, network.image_channels)
        self._noisy = (
            _split(images, config.pixel_shuffle)
            .to(device)
            .contiguous(memory_format=torch.channels_last)
        )  # (B, image channels, h, w)
        # A hidden value must not be there to read in an equal channel.
        per_channel = config.mask_per_channel and not bool((plane == plane[:1]).all())
        mask_channels = network.mask_channels if per_channel else 1
        self._mask_size = (len(images), mask_channels, *plane.shape[-2:])
        self._average = _Average.start(self._noisy, config.bias_corrected)
        self._best = self._average

    @property
    def estimate(self) -> Tensor:
        """The denoised plane so far, a copy of shape (C, H, W); valid at any time."""
        return self._as_plane(self._best.mean)

    @property
    def spread(self) -> Tensor:
        """Variance of the predictions that the estimate averages, shape (C, H, W).

        Where the network finds the pixel hard to tell from its neighbours, its
        predictions scatter.
        """
        return self._as_plane(self._best.variance)

    def _as_plane(self, batch: Tensor) -> Tensor:
        images = _join(batch, self._shape, self._config.pixel_shuffle)
        return _from_images(images, self._shape[0]).clone()

    def __iter__(self) -> Iterator[FillStep]:
        config, network, noisy = self._config, self._network, self._noisy
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        held_out = self._draw_held_out() if config.early_stopping else None
        lowest, lowest_at = math.inf, 0
        for step in range(1, config.n_iter + 1):
            # Drawn before the split, so that mirrored borders are hidden together.
            mask = _split(
                self._draw(config.mask_ratio), config.pixel_shuffle
            )  # (B, mask channels or 1, h, w)
            trained = mask
            if held_out is not None:
                trained = torch.maximum(mask, held_out)
                mask = mask * (1 - held_out)
            seen = mask.expand(-1, network.mask_channels, -1, -1)
            with torch.autocast(
                noisy.device.type,
                torch.bfloat16,
                enabled=config.precision == "bfloat16",
            ):
                predicted = network(noisy * mask, seen)
            predicted = predicted.float()
            loss = masked_mse(predicted, noisy, trained)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            self._average = self._average.with_prediction(
                predicted.detach(), mask, config.averaging
            )
            validation = None
            if held_out is None:
                self._best = self._average
            else:
                validation = self._error_on(held_out)
                # Held-out pixels are hidden always, the others had fewer predictions.
                if validation < lowest or step <= _N_PREDICTIONS / config.mask_ratio:
                    lowest, lowest_at = validation, step
                    self._best = self._average
            yield FillStep(step, float(loss.detach()), validation)
            if held_out is not None and step - lowest_at >= _PATIENCE:
                return

    def _draw_held_out(self) -> Tensor:
        """Return a mask of shape (B, mask channels or 1, h, w), 1 where held out."""
        return 1 - _split(self._draw(_HELD_OUT), self._config.pixel_shuffle)

    def _draw(self, share: float) -> Tensor:
        shape = self._config.mask_shape
        return random_mask(self._mask_size, share, self._generator, shape)

    def _error_on(self, held_out: Tensor) -> float:
        # Noise that is independent of what the network saw adds a constant to this.
        squared = (held_out * (self._average.mean - self._noisy)).square().sum()
        n_values = held_out.expand_as(self._noisy).sum()
        return float(squared / n_values.clamp_min(1))


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


def _to_images(plane: Tensor, image_channels: int) -> Tensor:
    """Return a plane (C, H, W) as images (N, image_channels, H, W)."""
    channels = len(plane)
    if channels == image_channels:
        return plane[None]
    if channels == 1:
        return plane.expand(image_channels, -1, -1)[None]
    if image_channels == 1:
        return plane[:, None]  # each colour is filled as a gray image
    raise ValueError(
        f"These weights are for images of {image_channels} channels, but the image "
        f"has {channels}. Choose gray weights, which fill any image."
    )


def _from_images(images: Tensor, channels: int) -> Tensor:
    """Undo `_to_images`; repeated channels are averaged."""
    if images.shape[1] == channels:
        return images[0]
    return images.mean(dim=1) if channels == 1 else images[:, 0]


def _split(images: Tensor, factor: int) -> Tensor:
    """Split (N, c, H, W) into sub-images (N * d * d, c, H / d, W / d), d the factor."""
    if factor == 1:
        return images
    n_images, channels, height, width = images.shape
    padding = (0, -width % factor, 0, -height % factor)
    padded = F.pad(images, padding, mode="reflect")
    split = F.pixel_unshuffle(padded, factor)  # (N, c * d * d, h, w), c outermost
    rows, columns = split.shape[-2:]
    split = split.reshape(n_images, channels, factor**2, rows, columns)
    return split.transpose(1, 2).reshape(-1, channels, rows, columns)


def _join(batch: Tensor, shape: tuple[int, ...], factor: int) -> Tensor:
    """Undo `_split` for a plane of the given (C, H, W)."""
    if factor == 1:
        return batch
    _, height, width = shape
    _, channels, rows, columns = batch.shape
    split = batch.reshape(-1, factor**2, channels, rows, columns).transpose(1, 2)
    whole = F.pixel_shuffle(
        split.reshape(-1, channels * factor**2, rows, columns), factor
    )
    return whole[..., :height, :width]
