"""The engine: iterative filling, Algorithm 1 of Ma et al. (NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.config import FillConfig
from napari_mpi.masking import masked_mse, random_mask
from napari_mpi.network import Hourglass

__all__ = ["Fill", "FillStep"]


@dataclass(frozen=True)
class FillStep:
    """One iteration that is done.

    Attributes
    ----------
    step : int
        Iterations done so far, from 1.
    loss : float
        Masked mean squared error against the noisy plane, in scaled units.
    """

    step: int
    loss: float


class Fill:
    """Fill one plane; iterate over it to advance, stop whenever you like.

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
    look. Where hidden, the estimate follows :math:`\\bar y = \\beta \\bar y + (1 -
    \\beta) y_t`, starting from x.
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
        self._noisy = (
            _to_batch(plane, network.image_channels, config.pixel_shuffle)
            .to(device)
            .contiguous(memory_format=torch.channels_last)
        )  # (B, image channels, h, w)
        self._average = self._noisy.clone()
        per_channel = (
            config.mask_per_channel and self._shape[0] == network.image_channels
        )
        self._drawn_channels = network.mask_channels if per_channel else 1

    @property
    def estimate(self) -> Tensor:
        """The denoised plane so far, a copy of shape (C, H, W); valid at any time."""
        return _from_batch(
            self._average, self._shape, self._config.pixel_shuffle
        ).clone()

    def __iter__(self) -> Iterator[FillStep]:
        config, network, noisy = self._config, self._network, self._noisy
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        mask_shape = (len(noisy), self._drawn_channels, *noisy.shape[-2:])
        for step in range(1, config.n_iter + 1):
            mask = random_mask(mask_shape, config.mask_ratio, self._generator)
            seen = mask.expand(-1, network.mask_channels, -1, -1)
            with torch.autocast(
                noisy.device.type,
                torch.bfloat16,
                enabled=config.precision == "bfloat16",
            ):
                predicted = network(noisy * mask, seen)
            predicted = predicted.float()
            loss = masked_mse(predicted, noisy, mask)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            # ȳ + (1 - β)(1 - M)(y - ȳ): the running average, where hidden.
            rate = (1 - config.averaging) * (1 - mask)
            self._average += rate * (predicted.detach() - self._average)
            yield FillStep(step, float(loss.detach()))


def _to_batch(plane: Tensor, image_channels: int, factor: int) -> Tensor:
    """Return (C, H, W) as sub-images (B, image_channels, h, w)."""
    channels = len(plane)
    if channels == image_channels:
        batch = plane[None]
    elif channels == 1:
        batch = plane.expand(image_channels, -1, -1)[None]
    elif image_channels == 1:
        batch = plane[:, None]  # each colour is filled as a gray image
    else:
        raise ValueError(
            f"These weights are for images of {image_channels} channels, but the image "
            f"has {channels}. Choose gray weights, which fill any image."
        )
    if factor == 1:
        return batch
    height, width = plane.shape[-2:]
    batch = F.pad(batch, (0, -width % factor, 0, -height % factor), mode="reflect")
    split = F.pixel_unshuffle(batch, factor)  # (B, c * d * d, h, w), colours first
    rows, columns = split.shape[-2:]
    split = split.reshape(len(batch), image_channels, factor**2, rows, columns)
    return split.transpose(1, 2).reshape(-1, image_channels, rows, columns)


def _from_batch(batch: Tensor, shape: tuple[int, ...], factor: int) -> Tensor:
    """Undo `_to_batch`; repeated channels are averaged."""
    channels, height, width = shape
    if factor > 1:
        _, image_channels, rows, columns = batch.shape
        split = batch.reshape(-1, factor**2, image_channels, rows, columns)
        split = split.transpose(1, 2).reshape(
            -1, image_channels * factor**2, rows, columns
        )
        batch = F.pixel_shuffle(split, factor)[..., :height, :width]
    if channels == batch.shape[1]:
        return batch[0]
    if channels == 1:
        return batch.mean(dim=1)
    return batch[:, 0]
