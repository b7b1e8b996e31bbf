"""``napari-mpi info``."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    info = commands.add_parser("info", help="show versions, devices and weights")
    info.set_defaults(run=_info)


def _info(args: argparse.Namespace) -> int:
    import torch

    from napari_mpi.engine.devices import available_devices
    from napari_mpi.weights.folder import BUNDLED
    from napari_mpi.weights.loading import load_weights

    print(f"python     {platform.python_version()} on {platform.platform()}")
    for package in ("napari-mpi", "napari", "torch", "numpy", "tifffile"):
        try:
            print(f"{package:<10} {version(package)}")
        except PackageNotFoundError:
            print(f"{package:<10} not installed")
    for device in available_devices():
        cuda = device == "cuda"
        label = torch.cuda.get_device_name(0) if cuda else platform.machine()
        print(f"device     {device} ({label})")
    for name in BUNDLED:
        weights = load_weights(name)
        colours = "RGB" if weights.image_channels == 3 else "gray"
        print(
            f"weights    {name}: for {colours} images, "
            f"{weights.card.get('steps', '?')} training steps, "
            f"sha256 {weights.sha256[:12]}"
        )
    return 0
