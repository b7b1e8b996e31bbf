"""``napari-mpi pretrain``."""

from __future__ import annotations

import argparse
import signal
import warnings
from pathlib import Path
from typing import Any

from napari_mpi.cli.console import BAR, EXIT_INTERRUPTED, say
from napari_mpi.config import PretrainConfig

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    pretrain = commands.add_parser(
        "pretrain", help="train weights on your own clean images"
    )
    pretrain.set_defaults(run=_pretrain)
    pretrain.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="folders of images"
    )
    pretrain.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.safetensors"
    )
    pretrain.add_argument(
        "--init",
        metavar="NAME|FILE",
        help="weights to start from, for instance bundled; without it, from nothing",
    )
    budget = pretrain.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="how long (default 60)")
    budget.add_argument("--steps", type=int, help="how many steps, instead")
    pretrain.add_argument(
        "--resume", type=Path, metavar="FILE", help="the .ckpt of an interrupted run"
    )
    pretrain.add_argument(
        "--crop-size", type=int, default=64, help="side in pixels (default 64)"
    )
    pretrain.add_argument(
        "--batch-size", type=int, default=16,
        help="crops in each step, in each process (default 16)",
    )  # fmt: skip
    pretrain.add_argument(
        "--learning-rate", type=float, metavar="RATE",
        help="size of the first steps (default 0.002, with --init 0.0002)",
    )  # fmt: skip
    pretrain.add_argument(
        "--synthetic", type=float, default=0.0, metavar="SHARE",
        help="share of procedural fluorescence images among the crops, 0 to 1",
    )  # fmt: skip
    pretrain.add_argument(
        "--noise", type=float, default=0.8, metavar="SHARE",
        help="share of crops that get simulated noise, 0 to 1 (default 0.8)",
    )  # fmt: skip
    pretrain.add_argument(
        "--rgb", action="store_true", help="train a network for RGB images"
    )
    pretrain.add_argument("--seed", type=int, default=0)
    pretrain.add_argument("--device", default="auto")


def _pretrain(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from napari_mpi.training.pretrain import iter_pretrain
    from napari_mpi.training.processes import join_processes

    if args.steps is None and args.minutes is None:
        args.minutes = 60.0
    config = PretrainConfig(
        steps=args.steps,
        minutes=args.minutes,
        crop_size=args.crop_size,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        synthetic_share=args.synthetic,
        noise_share=args.noise,
        rgb=args.rgb,
        seed=args.seed,
    )
    processes = join_processes(args.device)
    if not processes.is_main:
        warnings.simplefilter("ignore")  # the first process gives the same ones
    steps = iter_pretrain(
        args.folders,
        args.output,
        config,
        init=args.init,
        resume=args.resume,
        device=args.device,
    )
    checkpoint = args.output.with_suffix(".ckpt")
    terminated: list[int] = []
    if processes.count > 1:
        # A launcher sends this when another process failed. The checkpoint that is
        # written then would be lost if it took effect at once.
        signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    try:
        hidden = None if processes.is_main else True  # None is for: if no terminal
        with tqdm(total=1.0, desc="pretrain", bar_format=BAR, disable=hidden) as bar:
            for step in steps:
                bar.set_postfix_str(
                    f"step {step.step}, loss {step.loss:.5f}", refresh=False
                )
                bar.update(step.progress - bar.n)
                if terminated:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        steps.close()
        if processes.is_main:
            carry_on = f" Carry on with the same command and --resume {checkpoint}"
            say(f"stopped.{carry_on if checkpoint.is_file() else ''}")
        return EXIT_INTERRUPTED
    if not processes.is_main:
        return 0
    if steps.comparison is not None:
        say(steps.comparison.sentence)
    else:
        say(
            "not compared with any other weights: the images are too small and too few "
            "to hold a part out."
        )
    print(args.output)
    return 0
