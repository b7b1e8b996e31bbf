"""Which processors torch can use here."""

from __future__ import annotations

import torch

__all__ = ["available_devices", "resolve_device"]


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

    Raises
    ------
    ValueError
        If the device is unknown or not present.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    kind, _, index = name.partition(":")
    known = kind in devices and (
        not index
        or (kind == "cuda" and index.isdigit() and int(index) < _n_cuda())
        or index == "0"
    )
    if not known:
        raise ValueError(
            f"The device {name!r} is not available here: choose one of auto, "
            f"{', '.join(devices)}. A graphics card that is missing from this list "
            "needs its driver and a torch build that supports it."
        )
    return torch.device(name)


def _n_cuda() -> int:
    return torch.cuda.device_count()
