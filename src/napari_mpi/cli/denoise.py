"""``napari-mpi denoise``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_mpi.batch.errors import reason
from napari_mpi.cli.console import EXIT_FAILED, finish, say
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
    from napari_mpi.batch.results import write_result
    from napari_mpi.config import fill_config
    from napari_mpi.engine.devices import resolve_device
    from napari_mpi.io.files import read_image, require_writable
    from napari_mpi.pipeline.api import iter_denoise
    from napari_mpi.weights.loading import load_weights

    # What is wrong for every file is said once, before the first one is touched.
    options = fill_options(args)
    settings = {
        key: value
        for key, value in options.items()
        if key not in ("weights", "device", "seed")
    }
    fill_config(**settings)
    options["weights"] = load_weights(options["weights"])
    resolve_device(args.device)
    targets = _targets(args.inputs, args.output)
    failed = 0
    for source, target in targets.items():
        try:
            image = read_image(source)
            run = iter_denoise(
                image.data,
                rgb=image.rgb,
                channel_axis=image.channel_axis,
                uncertainty=args.uncertainty,
                **options,
            )
            require_writable(target, image)  # before the work, not after it
            if args.forecast:
                print(f"{source}: {run.forecast()}")
                continue
            result = finish(run, source.name)
            write_result(target, image, result, args.noise_map)
            _say_findings(source.name, result.report)
        except (ValueError, TypeError, OSError, MemoryError) as error:
            say(f"error: {source}: {reason(error)}")
            failed += 1
        else:
            print(target)
    if failed and len(targets) > 1:
        say(f"{failed} of {len(targets)} inputs failed, see above.")
    return EXIT_FAILED if failed else 0


def _say_findings(name: str, report: dict[str, Any]) -> None:
    from napari_mpi.pipeline.findings import what_was_done

    warnings = (report["verdict"] or {"warnings": ()})["warnings"]
    for words in (*what_was_done(report), *warnings):
        say(f"{name}: {words}")


def _targets(inputs: Iterable[Path], output: Path) -> dict[Path, Path]:
    """Return where each input's result goes, and make sure that it can go there."""
    from napari_mpi.batch.results import target_name
    from napari_mpi.io.files import stem_of
    from napari_mpi.io.image_data import SUFFIXES

    sources = list(dict.fromkeys(inputs))
    if output.suffix.lower() in (".tif", ".tiff", ".zarr"):
        if len(sources) > 1:
            raise ValueError(
                f"{output} is one file, but there are {len(sources)} inputs: give a "
                "folder instead."
            )
        if output.resolve() == sources[0].resolve():
            raise ValueError(f"{output} is the input itself: choose another name.")
        output.parent.mkdir(parents=True, exist_ok=True)
        return {sources[0]: output}
    if output.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{output}: results are written as .ome.tif, .tif or .ome.zarr. Name one "
            "of these, or a folder."
        )
    output.mkdir(parents=True, exist_ok=True)
    targets: dict[Path, Path] = {}
    for source in sources:
        stem = stem_of(source.resolve() if source.is_dir() else source)
        target = output / target_name(stem)
        clash = [old for old, taken in targets.items() if taken == target]
        if clash:
            raise ValueError(
                f"{clash[0]} and {source} would both be written to {target}: denoise "
                "them into different folders."
            )
        targets[source] = target
    return targets
