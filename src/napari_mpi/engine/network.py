"""The hourglass network of masked pre-training.

The architecture is the "skip" hourglass of Deep Image Prior (Ulyanov et al., CVPR
2018) as used by Ma et al. (NeurIPS 2024): five levels of 64 channels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mpi.engine.borders import mirrored
from napari_mpi.engine.convolution import convolve

__all__ = ["MULTIPLE", "N_LEVELS", "Hourglass", "memory_format", "on_device"]

N_LEVELS = 5
_WIDTH = 64
# Each level halves the plane, and a 3x3 reflection needs two pixels at the bottom.
MULTIPLE: int = 2**N_LEVELS
_MIN_SIZE = 2 * MULTIPLE


class _ConvNormAct(nn.Module):
    """Convolution with reflected borders, batch norm, LeakyReLU(0.2)."""

    def __init__(self, in_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            _WIDTH,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            padding_mode="reflect",
        )
        self.norm = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        border = self.conv.kernel_size[0] // 2
        convolved = convolve(
            _reflected(x, border),
            self.conv.weight,
            self.conv.bias,
            self.conv.stride[0],
        )
        # In place: batch norm's own gradient does not need its output.
        return F.leaky_relu_(self.norm(convolved), 0.2)


# Which of a kernel's three rows or columns fall onto each small pixel, once an image is
# enlarged twofold and convolved.
_SHARING = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))


class _Level(nn.Module):
    """One level: a 1x1 skip beside a branch at half the size, merged on the way up."""

    sharing: Tensor

    def __init__(self, in_channels: int, deeper: nn.Module | None) -> None:
        super().__init__()
        self.skip = _ConvNormAct(in_channels, 1)
        self.down = nn.Sequential(
            _ConvNormAct(in_channels, 3, stride=2), _ConvNormAct(_WIDTH, 3)
        )
        self.deeper = deeper
        self.merge_norm = nn.BatchNorm2d(2 * _WIDTH)
        self.up = nn.Sequential(_ConvNormAct(2 * _WIDTH, 3), _ConvNormAct(_WIDTH, 1))
        # On the device once: each copy would wait for a graphics card.
        sharing = torch.tensor(_SHARING, dtype=torch.float32)
        self.register_buffer("sharing", sharing, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        below = self.down(x)  # (B, 64, H/2, W/2)
        if self.deeper is not None:
            below = self.deeper(below)
        # By definition: enlarge `below` twofold, join it to the skip, normalise, then
        # convolve. Each pixel of `below` stands for four equal ones, so it may as well
        # be normalised small, and enlarged by the convolution, which costs far less.
        skip = self._normalised(self.skip(x), slice(_WIDTH))
        below = self._normalised(below, slice(_WIDTH, None))
        merge = cast(_ConvNormAct, self.up[0])
        weight = merge.conv.weight  # (64, 128, 3, 3)
        merged = convolve(_reflected(skip, 1), weight[:, :_WIDTH], merge.conv.bias)
        merged += _enlarged_and_convolved(below, weight[:, _WIDTH:], self.sharing)
        out: Tensor = self.up[1](F.leaky_relu_(merge.norm(merged), 0.2))
        return out

    def _normalised(self, x: Tensor, channels: slice) -> Tensor:
        """Apply a part of the batch norm to the channels that it is for."""
        norm = self.merge_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.momentum is not None
        return F.batch_norm(
            x,
            norm.running_mean[channels],
            norm.running_var[channels],
            norm.weight[channels],
            norm.bias[channels],
            norm.training,
            norm.momentum,
            norm.eps,
        )


def _reflected(x: Tensor, border: int) -> Tensor:
    """Continue each side by its mirror image."""
    return F.pad(x, (border,) * 4, mode="reflect") if border else x


def _enlarged_and_convolved(small: Tensor, weight: Tensor, sharing: Tensor) -> Tensor:
    """Enlarge twofold to the nearest pixel, then convolve 3x3 with reflected borders.

    The nine weights fall onto two by two small pixels. Those that share one are added
    up first, which leaves a transposed convolution.
    """
    kernel = torch.einsum("tk,oikl,sl->iots", sharing, weight, sharing)  # (i, o, 4, 4)
    padded = F.pad(small, (1, 1, 1, 1), mode="replicate")
    # Cut off afterwards, as the weights' gradient takes much longer with padding.
    return F.pad(convolve(padded, kernel, stride=2, transposed=True), (-3, -3, -3, -3))


class Hourglass(nn.Module):
    """Predict an image from its visible pixels and the mask that hid the others.

    Parameters
    ----------
    image_channels : int
        Channels of the image, 1 for gray and 3 for RGB.
    mask_channels : int
        1 for one mask shared by all image channels, or `image_channels` for a mask
        per channel.

    Notes
    -----
    With 3 + 1 input channels there are 746,115 trainable parameters.
    """

    def __init__(self, image_channels: int = 1, mask_channels: int = 1) -> None:
        super().__init__()
        if image_channels < 1:
            raise ValueError(
                f"Expected at least one image channel, got {image_channels}."
            )
        if mask_channels not in (1, image_channels):
            raise ValueError(
                f"Expected 1 or {image_channels} mask channels for {image_channels} "
                f"image channels, got {mask_channels}."
            )
        self.image_channels = image_channels
        self.mask_channels = mask_channels
        deeper = None
        for _ in range(N_LEVELS - 1):
            deeper = _Level(_WIDTH, deeper)
        self.levels = _Level(image_channels + mask_channels, deeper)
        self.head = nn.Conv2d(_WIDTH, image_channels, 1)

    def forward(self, visible: Tensor, mask: Tensor) -> Tensor:
        """Fill in the pixels where the mask is 0.

        Parameters
        ----------
        visible : Tensor
            The image with hidden pixels set to 0, shape (B, C, H, W), values 0 to 1.
        mask : Tensor
            1 where a pixel is visible, shape (B, 1 or C, H, W).

        Returns
        -------
        Tensor
            The predicted image, shape (B, C, H, W), values 0 to 1.
        """
        height, width = visible.shape[-2:]
        x = torch.cat([visible, mask], dim=1)  # (B, C + mask channels, H, W)
        # Mirroring image and mask together keeps a hidden pixel hidden in its mirror
        # image too; padding the image first would show it.
        rows, columns = padded_size(height) - height, padded_size(width) - width
        x = mirrored(x, (0, rows), (0, columns))
        out: Tensor = torch.sigmoid(self.head(self.levels(x)))
        return out[..., :height, :width]


def on_device(network: Hourglass, device: torch.device) -> Hourglass:
    """Move a network, in place, and lay it out as convolutions are fastest."""
    moved: Hourglass = network.to(
        device=device,
        memory_format=memory_format(device),  # type: ignore[call-overload]
    )
    return moved


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the order of values with which convolutions are fastest there."""
    # Batch norm on Apple's cards has had errors in the other one.
    is_mps = device.type == "mps"
    return torch.contiguous_format if is_mps else torch.channels_last


def padded_size(size: int) -> int:
    """Return the next length that the five halvings divide, in pixels."""
    return max(_MIN_SIZE, -(-size // MULTIPLE) * MULTIPLE)
