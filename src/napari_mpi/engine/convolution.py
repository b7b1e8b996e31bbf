"""Convolutions whose gradients may be computed with less precision than they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["convolve", "gradients_in_bfloat16", "in_bfloat16"]

_rough_gradients: ContextVar[bool] = ContextVar("_rough_gradients", default=False)


def in_bfloat16(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    """Compute in bfloat16 inside, wherever torch does, if that is enabled."""
    # Some devices warn of what they cannot do even where they need not.
    return torch.autocast(device.type, torch.bfloat16) if enabled else nullcontext()


@contextmanager
def gradients_in_bfloat16(enabled: bool) -> Iterator[None]:
    """Let `convolve` inside have its gradients computed in bfloat16.

    Two thirds of the arithmetic of a training step are gradients. What is predicted
    stays as it is in float32: rounded gradients are noise too weak for Adam to care,
    whereas a rounded prediction follows weak structure less closely.
    """
    token = _rough_gradients.set(enabled)
    try:
        yield
    finally:
        _rough_gradients.reset(token)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    *,
    transposed: bool = False,
) -> Tensor:
    """Convolve without padding.

    Parameters
    ----------
    x : Tensor
        Shape (B, I, H, W).
    weight : Tensor
        Shape (O, I, k, k), or (I, O, k, k) if transposed.
    bias : Tensor or None
        Shape (O,).
    stride : int
        Step in pixels.
    transposed : bool
        Spread each pixel by the kernel instead of gathering its surroundings.

    Returns
    -------
    Tensor
        Shape (B, O, h, w).
    """
    if _rough_gradients.get() and torch.is_grad_enabled():
        rough: Tensor = _RoughlyDerived.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, stride, transposed
        )
        return rough
    convolution = F.conv_transpose2d if transposed else F.conv2d
    return convolution(x, weight, bias, stride)


class _RoughlyDerived(torch.autograd.Function):
    """A convolution in the precision of its input, with gradients in bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x.to(torch.bfloat16), weight)
        ctx.n_biases = None if bias is None else [len(bias)]
        ctx.geometry = _geometry(stride, transposed)
        convolved: Tensor = torch.ops.aten.convolution(x, weight, bias, *ctx.geometry)
        return convolved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        gradients = torch.ops.aten.convolution_backward(
            gradient.to(torch.bfloat16),
            x,
            weight.to(torch.bfloat16),
            ctx.n_biases,
            *ctx.geometry,
            wanted,
        )
        of_x, of_weight, of_bias = (
            found.to(gradient.dtype) if asked else None
            for found, asked in zip(gradients, wanted, strict=True)
        )
        return of_x, of_weight, of_bias, None, None


def _geometry(stride: int, transposed: bool) -> tuple[Any, ...]:
    """Return what torch asks for: stride, padding, dilation, ..., groups."""
    return [stride, stride], [0, 0], [1, 1], transposed, [0, 0], 1
