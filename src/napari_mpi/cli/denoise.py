"""``napari-mpi denoise``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_mpi.batch.errors import reason
from napari_mpi.cli.console import (
    EXIT_FAILED,
    finish,
    naming_warnings,
    say,
    say_error,
)
from napari_mpi.cli.fill_options import add_fill_options, fill_options

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    denoise = commands.add_parser("denoise", help="denoise image files")
    denoise.set_defaults(run=_denoise)
    denoise.add_argument(
        "inputs", nargs="+", type=Path, metavar="IN", help="a file, or a folder whose "
        "images are the planes of one stack"
    )  # fmt: skip
    denoise.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="folder for the results, or the name of the one result (.ome.tif, .tif, "
        ".ome.zarr)",
    )  # fmt: skip
    add_fill_options(denoise)
    denoise.add_argument(
        "--noise-map", action="store_true", help="also write what was removed"
    )
    denoise.add_argument(
        "--uncertainty", action="store_true",
        help="also write the estimated standard error of each pixel",
    )  # fmt: skip
    denoise.add_argument(
        "--forecast", action="store_true",
        help="only say how long each input will take, and how much memory",
    )  # fmt: skip


def _denoise(args: argparse.Namespace) -> int:
    from napari_mpi.batch.api import checked_settings
    from napari_mpi.batch.results import result_files, write_result
    from napari_mpi.batch.run import begin_run
    from napari_mpi.io.atomic import require_folder_writable

    # What is wrong for every file is said once, before the first one is touched.
    asked = fill_options(args) | {"uncertainty": args.uncertainty}
    options = checked_settings(asked).options
    targets = _targets(args.inputs, args.output)
    files = {
        source: result_files(
            target, noise_map=args.noise_map, uncertainty=args.uncertainty
        )
        for source, target in targets.items()
    }
    _require_none_is_input(files)
    failed = 0
    for source, target in targets.items():
        try:
            with naming_warnings(source.name):
                image, run = begin_run(source, files[source], options)
                if args.forecast:
                    print(f"{source}: {run.forecast()}")
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                require_folder_writable(target.parent)
                result = finish(run, source.name)
                write_result(target, image, result, args.noise_map)
            _say_findings(source.name, result.report)
        except (ValueError, TypeError, OSError, MemoryError, RuntimeError) as error:
            say_error(source, reason(error))
            failed += 1
        else:
            print(target)
    if failed and len(targets) > 1:
        say(f"{failed} of {len(targets)} inputs failed, see above.")
    return EXIT_FAILED if failed else 0


def _say_findings(name: str, report: dict[str, Any]) -> None:
    from napari_mpi.pipeline.findings import warnings_of, what_was_done

    for words in (*what_was_done(report), *warnings_of(report)):
        say(f"{name}: {words}")


def _require_none_is_input(files: Mapping[Path, Iterable[Path]]) -> None:
    """Refuse to write a result over an image that was given.

    Parameters
    ----------
    files : mapping
        The files of the result of each input.
    """
    inputs = {source.resolve() for source in files}
    for source, written in files.items():
        for file in written:
            if file.resolve() in inputs:
                raise ValueError(
                    f"The result of {source} would be written over the input {file}: "
                    "choose another folder or name."
                )


def _targets(inputs: Iterable[Path], output: Path) -> dict[Path, Path]:
    """Return where each input's result goes."""
    from napari_mpi.batch.results import target_name
    from napari_mpi.io.atomic import as_one_file
    from napari_mpi.io.files import stem_of
    from napari_mpi.io.image_data import SUFFIXES

    sources = list(dict.fromkeys(inputs))
    if output.suffix.lower() in (".tif", ".tiff", ".zarr"):
        if len(sources) > 1:
            raise ValueError(
                f"{output} is one file, but there are {len(sources)} inputs: give a "
                "folder instead."
            )
        return {sources[0]: output}
    if output.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{output}: results are written as .ome.tif, .tif or .ome.zarr. Name one "
            "of these, or a folder."
        )
    if output.is_file():
        raise ValueError(
            f"{output} is a file: expected a folder, or the name of a result that ends "
            "in .ome.tif, .tif or .ome.zarr."
        )
    sources_of: dict[str, Path] = {}
    targets: dict[Path, Path] = {}
    for source in sources:
        stem = stem_of(source.resolve() if source.is_dir() else source)
        target = targets[source] = output / target_name(stem)
        other = sources_of.setdefault(as_one_file(target), source)
        if other is not source:
            raise ValueError(
                f"{other} and {source} would both be written to {target}: denoise "
                "them into different folders."
            )
    return targets
