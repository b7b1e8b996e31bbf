"""Which processors torch can use here."""

from __future__ import annotations

import torch

__all__ = ["available_devices", "prefers_bfloat16", "resolve_device", "wait_for"]

# What tells, in torch, that a processor multiplies bfloat16 itself: by matrix tiles
# (AMX), or in its vector units. Others only convert it, which is slower than float32.
_MULTIPLIES_BFLOAT16 = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


def available_devices() -> tuple[str, ...]:
    """Return the usable devices, the fastest first; "cpu" is always the last."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return (*devices, "cpu")


def resolve_device(name: str = "auto") -> torch.device:
    """Return the named device, or the fastest one for "auto".

    Parameters
    ----------
    name : str
        "auto", "cpu", "cuda" or "mps"; "cuda:1" for one of several.

    Raises
    ------
    ValueError
        If the device is unknown or not present.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    n_cuda = torch.cuda.device_count() if "cuda" in devices else 0
    numbered = [f"{kind}:0" for kind in devices]
    numbered += [f"cuda:{index}" for index in range(n_cuda)]
    if name not in (*devices, *numbered):
        raise ValueError(
            f"The device {name!r} is not available here: choose one of auto, "
            f"{', '.join(devices)}. A graphics card that is missing from this list "
            "needs its driver and a torch build that supports it."
        )
    return torch.device(name)


def prefers_bfloat16(device: torch.device) -> bool:
    """Whether convolutions are faster in bfloat16 there."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            # Older cards only emulate it, which is slower than float32.
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, name, lambda: False)()) for name in _MULTIPLIES_BFLOAT16
    )


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that this thread gave it."""
    if device.type == "cuda":
        # Not for the whole card, which may be recording for another thread.
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()
