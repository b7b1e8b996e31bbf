"""The command ``napari-mpi``: its commands, exit codes and errors."""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Sequence

from napari_mpi import __version__
from napari_mpi.batch.errors import reason
from napari_mpi.cli import batch, demo, denoise, info, pretrain, weights
from napari_mpi.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, say

__all__ = ["main"]

_COMMANDS = (denoise, batch, demo, info, weights, pretrain)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 means that all went well, 1 that something failed, 2 that the command was wrong,
    130 that it was stopped with Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    # A name that the terminal cannot show must not end the work.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # A warning is one line for the reader, not a place in our source.
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    try:
        code: int = args.run(args)
    except KeyboardInterrupt:
        say("stopped. Finished files are complete; nothing half-written was left.")
        return EXIT_INTERRUPTED
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        say(f"error: {reason(error)}")
        return EXIT_FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-mpi",
        description="Remove the noise from microscopy images, with nothing but the "
        "noisy image.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
