"""Options of all commands that denoise."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from napari_mpi.config import (
    NOISE_KINDS,
    PRESETS,
    AdaptTo,
    PixelType,
    Precision,
    ScalingMode,
)
from napari_mpi.pipeline.replay import COMMAND_SETTINGS

__all__ = ["add_fill_options", "fill_options"]


def add_fill_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    parser.add_argument(
        "--preset", choices=PRESETS, default="auto",
        help="auto measures the noise and chooses by it (default), fast does so in a "
        "fraction of the time, paper and paper-fast are the published settings",
    )  # fmt: skip
    parser.add_argument(
        "--noise", choices=NOISE_KINDS,
        help="independent from pixel to pixel (photon noise), correlated, or "
        "strongly-correlated; without it, 'auto' measures the noise",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        default="universal",
        metavar="NAME|FILE",
        help="a name that 'napari-mpi weights list' shows, .safetensors or .pth file "
        "(default universal)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto (default), cuda, cuda:1, mps or cpu"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random masks (default 0)"
    )
    expert = parser.add_argument_group("single settings, instead of the preset's")
    expert.add_argument(
        "--n-iter", type=int, metavar="T",
        help="iterations of learning, for each plane with paper and paper-fast",
    )  # fmt: skip
    expert.add_argument(
        "--n-passes", type=int, metavar="N",
        help="passes over each plane after learning (auto, fast)",
    )  # fmt: skip
    expert.add_argument(
        "--adapt-to", choices=get_args(AdaptTo),
        help="learn once from the whole stack (auto, fast), or from each plane",
    )  # fmt: skip
    expert.add_argument(
        "--neighbours", type=int, metavar="N",
        help="planes on either side that may tell of a plane (auto, fast); 0 for none",
    )  # fmt: skip
    expert.add_argument(
        "--mask-ratio", type=float, metavar="P", help="share of the pixels to hide"
    )
    expert.add_argument(
        "--averaging", type=float, metavar="BETA",
        help="weight of the average so far against the next estimate (paper, "
        "paper-fast)",
    )  # fmt: skip
    expert.add_argument("--learning-rate", type=float, metavar="RATE")
    expert.add_argument(
        "--pixel-shuffle", type=int, metavar="D",
        help="take planes apart into D x D sub-images, against noise that is shared",
    )  # fmt: skip
    expert.add_argument(
        "--scaling", choices=get_args(ScalingMode),
        help="which intensities the network sees as 0 and 1",
    )  # fmt: skip
    expert.add_argument(
        "--precision", choices=get_args(Precision),
        help="of the network's arithmetic",
    )  # fmt: skip
    expert.add_argument(
        "--pixel-type", choices=get_args(PixelType),
        help="of the result: the input's, or float32; without it, float32 where whole "
        "numbers are too coarse, as counts of few photons are",
    )  # fmt: skip


def fill_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as keywords of `napari_mpi.denoise`."""
    names = ("preset", "noise", "weights", "device", "seed", *COMMAND_SETTINGS)
    return {name: getattr(args, name) for name in names}
