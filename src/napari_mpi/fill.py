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
    \beta) y_t`, starting from x.
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
        self._average = self._noisy.clone()
        # A hidden value must not be there to read in an equal channel.
        per_channel = config.mask_per_channel and not bool((plane == plane[:1]).all())
        mask_channels = network.mask_channels if per_channel else 1
        self._mask_shape = (len(images), mask_channels, *plane.shape[-2:])

    @property
    def estimate(self) -> Tensor:
        """The denoised plane so far, a copy of shape (C, H, W); valid at any time."""
        images = _join(self._average, self._shape, self._config.pixel_shuffle)
        return _from_images(images, self._shape[0]).clone()

    def __iter__(self) -> Iterator[FillStep]:
        config, network, noisy = self._config, self._network, self._noisy
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        for step in range(1, config.n_iter + 1):
            # Drawn before the split, so that mirrored borders are hidden together.
            mask = _split(
                random_mask(self._mask_shape, config.mask_ratio, self._generator),
                config.pixel_shuffle,
            )  # (B, mask channels or 1, h, w)
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
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # ȳ + (1 - β)(1 - M)(y - ȳ): the running average, where hidden.
            rate = (1 - config.averaging) * (1 - mask)
            self._average += rate * (predicted.detach() - self._average)
            yield FillStep(step, float(loss.detach()))


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
