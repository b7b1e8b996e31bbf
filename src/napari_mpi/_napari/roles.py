"""What a layer is: an image to denoise, or what came of a run."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer

__all__ = ["RECORD", "ROLE", "ROLES", "is_result", "record_of", "role_of"]

RECORD = "napari_mpi"
"""Where a layer's metadata hold `Denoised.report`."""

ROLE = "napari_mpi_role"
"""Where a layer's metadata say what it is of a run."""

ROLES = ("denoised", "noise map", "uncertainty")
"""What a run leaves; a trial leaves a "region"."""


def record_of(layer: Layer | None) -> dict[str, Any] | None:
    """Return the report of the run that made a layer, if there is one."""
    return None if layer is None else layer.metadata.get(RECORD) or None


def is_result(layer: Layer) -> bool:
    """Whether a run or a trial made a layer, or makes it just now."""
    return ROLE in layer.metadata or RECORD in layer.metadata


def role_of(layer: Layer) -> str:
    """Return what a result is: "denoised", "noise map", "uncertainty" or "region"."""
    role = layer.metadata.get(ROLE)
    if role is None:
        # A file that was opened again has kept its name and its record only.
        role = next((extra for extra in ROLES[1:] if extra in layer.name), "denoised")
    return str(role)
