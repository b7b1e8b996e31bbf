"""``napari-mpi weights``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mpi.cli.console import say

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    weights = commands.add_parser(
        "weights", help="list, download, import or delete weights"
    )
    actions = weights.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser(
        "list", help="what is here, and what can be fetched"
    ).set_defaults(run=_weights_list)
    download = actions.add_parser("download", help="fetch weights by name")
    download.set_defaults(run=_weights_download)
    download.add_argument("name", metavar="NAME")
    importing = actions.add_parser("import", help="add a weights file of your own")
    importing.set_defaults(run=_weights_import)
    importing.add_argument("file", type=Path, metavar="FILE")
    deleting = actions.add_parser(
        "delete", help="delete weights from the weights folder"
    )
    deleting.set_defaults(run=_weights_delete)
    deleting.add_argument("name", metavar="NAME")
    facts = actions.add_parser("info", help="show what is known of some weights")
    facts.set_defaults(run=_weights_info)
    facts.add_argument("name", nargs="?", default="universal", metavar="NAME|FILE")


def _weights_list(args: argparse.Namespace) -> int:
    from napari_mpi.weights.download import ONLINE
    from napari_mpi.weights.folder import BUNDLED, weights_folder
    from napari_mpi.weights.library import installed_weights

    installed = installed_weights()
    for name in BUNDLED:
        print(f"{name:<22} bundled")
    for name, path in installed.items():
        print(f"{name:<22} {path}")
    for name, online in ONLINE.items():
        if name not in installed:
            print(f"{name:<22} online: {online.description} ({online.licence})")
    print(f"Weights of your own are kept in {weights_folder()}.")
    return 0


def _weights_download(args: argparse.Namespace) -> int:
    from napari_mpi.weights.download import ONLINE, download_weights

    path = download_weights(args.name)
    say(f"terms of use: {ONLINE[args.name].licence}")
    print(path)
    return 0


def _weights_import(args: argparse.Namespace) -> int:
    from napari_mpi.weights.library import import_weights

    print(import_weights(args.file))
    return 0


def _weights_delete(args: argparse.Namespace) -> int:
    from napari_mpi.weights.library import delete_weights

    for path in delete_weights(args.name):
        print(path)
    return 0


def _weights_info(args: argparse.Namespace) -> int:
    from napari_mpi.weights.loading import load_weights

    weights = load_weights(args.name)
    print(f"name       {weights.name}")
    print(f"sha256     {weights.sha256}")
    print(f"channels   {weights.image_channels} of the image")
    print(f"           {weights.mask_channels} of the mask")
    _print_card(weights.card)
    return 0


def _print_card(card: Mapping[str, Any], indent: str = "") -> None:
    for key, value in card.items():
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, Mapping):
                print(f"{indent}{key}:")
                _print_card(part, indent + "  ")
        if not any(isinstance(part, Mapping) for part in parts):
            print(f"{indent}{key:<10} {', '.join(map(str, parts))}")
