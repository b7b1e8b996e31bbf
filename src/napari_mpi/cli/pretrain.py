"""``napari-mpi pretrain``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_mpi.cli.console import BAR, EXIT_INTERRUPTED, say
from napari_mpi.training.config import PretrainConfig

__all__ = ["add_parser"]

# What is told where there is no terminal for a bar, in seconds.
_TELL_EVERY = 300.0


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
        "--overwrite", action="store_true",
        help="start anew where an earlier training left weights or a checkpoint",
    )  # fmt: skip
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
    checkpoint = args.output.with_suffix(".ckpt")
    if args.resume is None and not args.overwrite:
        _require_unused(args.output, checkpoint)
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
        overwrite=True,  # or refused above, in the words of the command
    )
    try:
        hidden = None if processes.is_main else True  # None is for: if no terminal
        with (
            _terminated() as terminated,
            tqdm(total=1.0, desc="pretrain", bar_format=BAR, disable=hidden) as bar,
        ):
            tell_at = time.monotonic() + _TELL_EVERY
            for step in steps:
                where = f"step {step.step}, loss {step.loss:.5f}"
                bar.set_postfix_str(where, refresh=False)
                bar.update(step.progress - bar.n)
                if terminated:
                    raise KeyboardInterrupt
                if bar.disable and processes.is_main and time.monotonic() >= tell_at:
                    say(f"{where}, {step.progress:.0%} done")
                    tell_at = time.monotonic() + _TELL_EVERY
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


def _require_unused(output: Path, checkpoint: Path) -> None:
    """Refuse to begin anew over what an earlier training left."""
    if checkpoint.is_file():
        raise ValueError(
            f"{checkpoint} is there already: carry on with --resume {checkpoint}, or "
            "start anew with --overwrite."
        )
    if output.is_file():
        raise ValueError(
            f"{output} is there already: choose another name, or replace it with "
            "--overwrite."
        )


@contextlib.contextmanager
def _terminated() -> Iterator[list[int]]:
    """Collect the signals to end, which would lose what is not saved yet.

    A cluster's queue sends one when the time is over, and a launcher when another
    process failed.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
