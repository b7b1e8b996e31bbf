"""A plane in the form that the network takes, masks for it, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mpi.config import FillConfig
from napari_mpi.engine.convolution import gradients_in_bfloat16, in_bfloat16
from napari_mpi.engine.masking import have_twins, mask_pairs, random_mask
from napari_mpi.engine.network import Hourglass, memory_format

__all__ = ["MaskedPlane", "n_images", "predict"]


class MaskedPlane:
    """A scaled noisy plane as a batch of images, and masks that fit it.

    Parameters
    ----------
    plane : Tensor
        The scaled noisy plane, shape (C, H, W), float32.
    network : Hourglass
        The network that is to fill it.
    config : FillConfig
        Settings.
    generator : torch.Generator
        Source of the masks; the plane is moved to its device.

    Attributes
    ----------
    noisy : Tensor
        Shape (B, image channels, h, w).

    Raises
    ------
    ValueError
        If the network was made for another number of channels.
    """

    def __init__(
        self,
        plane: Tensor,
        network: Hourglass,
        config: FillConfig,
        generator: torch.Generator,
    ) -> None:
        self._config, self._generator = config, generator
        self._shape = tuple(plane.shape)  # (C, H, W)
        images = _to_images(plane, network.image_channels)
        self.noisy = (
            _split(images, config.pixel_shuffle)
            .to(generator.device)
            .contiguous(memory_format=memory_format(generator.device))
        )
        per_channel = config.mask_per_channel and not bool(have_twins(plane[None]))
        mask_channels = network.mask_channels if per_channel else 1
        self._mask_size = (len(images), mask_channels, *plane.shape[-2:])

    def mask(self, share: float) -> Tensor:
        """Draw a mask that hides a share, shape (B, mask channels or 1, h, w)."""
        drawn = random_mask(
            self._mask_size, share, self._generator, self._config.mask_shape
        )
        # Drawn before the split, so that mirrored borders are hidden together.
        return self.split(drawn)

    def mask_of(self, chosen: Tensor) -> Tensor:
        """Return chosen pixels of the plane (C, H, W) in the shape of a mask, as 1."""
        n_images, channels = self._mask_size[:2]
        per_channel = len(chosen) == n_images * channels
        images = chosen if per_channel else chosen[:1].expand(n_images, -1, -1)
        return self.split(
            images.reshape(self._mask_size).to(self.noisy.device, torch.float32)
        )

    def mask_pairs(self) -> Iterator[Tensor]:
        """Draw masks of the configured ratio, two at a time that complete each other.

        Yields
        ------
        Tensor
            Shape (B, mask channels or 1, h, w).
        """
        config = self._config
        for drawn in mask_pairs(
            self._mask_size, config.mask_ratio, self._generator, config.mask_shape
        ):
            yield self.split(drawn)

    def split(self, images: Tensor) -> Tensor:
        """Split (N, c, H, W) into sub-images (B, c, h, w), where that is configured."""
        return _split(images, self._config.pixel_shuffle)

    def to_plane(self, batch: Tensor) -> Tensor:
        """Return a batch (B, image channels, h, w) as a plane (C, H, W), a copy."""
        images = _join(batch, self._shape, self._config.pixel_shuffle)
        return _from_images(images, self._shape[0]).clone()


def predict(
    network: Hourglass, noisy: Tensor, mask: Tensor, config: FillConfig
) -> Tensor:
    """Let the network fill what the mask hides; float32, shape (B, C, h, w)."""
    seen = mask.expand(-1, network.mask_channels, -1, -1)
    with (
        in_bfloat16(noisy.device, config.precision == "bfloat16"),
        gradients_in_bfloat16(config.precision == "mixed"),
    ):
        predicted: Tensor = network(noisy * mask, seen)
    return predicted.float()


def n_images(n_channels: int, image_channels: int) -> int:
    """Return as how many images a network of so many channels sees a plane."""
    return n_channels if image_channels == 1 else 1


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
