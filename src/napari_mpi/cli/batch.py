"""``napari-mpi batch``."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mpi.cli.console import EXIT_FAILED, say, say_error
from napari_mpi.cli.fill_options import add_fill_options, fill_options

if TYPE_CHECKING:  # these load torch, which a quick `--help` does without
    from napari_mpi.batch.inputs import Inputs
    from napari_mpi.batch.job import Settings
    from napari_mpi.batch.records import Record

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    batch = commands.add_parser(
        "batch",
        help="denoise many files, one by one; carries on after an interruption",
        description="Denoise many images, each on its own. The same command carries on "
        "where an earlier one was interrupted, leaves finished images alone, and does "
        "those again whose file or settings have changed. batch.csv and batch.html in "
        "OUT tell what became of each; the folder OUT/.napari-mpi holds what is needed "
        "to carry on.",
    )
    batch.set_defaults(run=_batch)
    batch.add_argument(
        "inputs", nargs="+", metavar="IN",
        help="a file, a pattern such as 'data/**/*.tif', or a folder, which is "
        "searched with all folders inside it; every image is denoised on its own "
        "(the command 'denoise' takes a folder as one stack). Files that are named "
        "*_denoised, *_noise or *_uncertainty as results are left out",
    )  # fmt: skip
    batch.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="folder for the results, which keep their places within the folder given",
    )  # fmt: skip
    batch.add_argument(
        "--noise-map", action="store_true", help="also write what was removed"
    )
    batch.add_argument(
        "--uncertainty", action="store_true",
        help="also write the estimated standard error of each pixel",
    )  # fmt: skip
    batch.add_argument(
        "--format", choices=("ome-tiff", "ome-zarr"), default="ome-tiff",
        help="format of the results (default: ome-tiff)",
    )  # fmt: skip
    batch.add_argument(
        "--dry-run", action="store_true",
        help="only list what would be done, with time and memory",
    )  # fmt: skip
    batch.add_argument(
        "--workers", type=int, metavar="N",
        help="processes that share the work (default: one for each graphics card, or "
        "one for each core of the processor; 0: none besides the command itself). "
        "Results do not depend on it",
    )  # fmt: skip
    batch.add_argument(
        "--threads", type=int, default=1, metavar="N",
        help="threads for each image on the processor (default 1); the last bits of a "
        "result depend on it",
    )  # fmt: skip
    batch.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="let the workers of a dask.distributed cluster do it; they see the same "
        "folders under the same names",
    )  # fmt: skip
    add_fill_options(batch)


def _batch(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from napari_mpi.batch.api import checked_settings, iter_batch
    from napari_mpi.batch.inputs import find_inputs
    from napari_mpi.batch.results import ENDINGS
    from napari_mpi.batch.workers import sensible_workers
    from napari_mpi.engine.devices import resolve_device

    if args.workers is not None and args.workers < 0:
        raise ValueError(f"--workers is {args.workers}: expected 0 or more.")
    if args.output.name.endswith(tuple(ENDINGS.values())) or args.output.is_file():
        raise ValueError(
            f"-o is {args.output}: expected a folder. The command 'denoise' takes the "
            "name of a result."
        )
    options = fill_options(args) | {"uncertainty": args.uncertainty}
    settings = checked_settings(
        options,
        noise_map=args.noise_map,
        threads=args.threads,
        elsewhere=args.scheduler is not None,
    )
    found = find_inputs(args.inputs, args.output, ENDINGS[args.format])
    if found.n_results:
        say(f"{found.n_results} files are named as results are, and were left out.")
    for said in found.left_out:
        say(said)
    workers = args.workers or 0
    if args.workers is None and args.scheduler is None:
        device = resolve_device(settings.options["device"])
        workers = sensible_workers(device, args.threads)
    if args.dry_run:
        return _dry_run(found, settings, max(1, workers))
    counts: Counter[str] = Counter()
    n_all = len(found.jobs) + len(found.refused)
    with tqdm(total=n_all, desc="batch", unit="image", disable=None) as bar:
        for record in iter_batch(
            found, args.output, settings, workers=workers, scheduler=args.scheduler
        ):
            counts[record.status] += 1
            bar.clear()
            _tell(record)
            bar.update()
    words = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    say(f"{words}; see {args.output / 'batch.html'}")
    return EXIT_FAILED if counts["failed"] else 0


def _tell(record: Record) -> None:
    from napari_mpi.pipeline.findings import NOTHING_SUSPICIOUS

    if record.status == "failed":
        say_error(record.name, record.reason)
        return
    if record.status != "done":
        say(f"{record.name}: {record.status}")
        return
    if record.earlier:
        say(f"{record.name}: already done")
    else:
        for words in (record.reason, record.verdict):
            if words and words != NOTHING_SUSPICIOUS:
                say(f"{record.name}: {words}")
    print(record.target)


def _dry_run(found: Inputs, settings: Settings, workers: int) -> int:
    from napari_mpi.batch.plan import iter_plan
    from napari_mpi.pipeline.forecast import Forecast

    refused: list[tuple[str, str]] = []
    forecasts: list[Forecast] = []
    for planned in iter_plan(found, settings):
        job, forecast = planned.job, planned.forecast
        if planned.done:
            print(f"{job.name}: already done")
        elif forecast is None:
            refused.append((job.name, planned.reason))
        else:
            forecasts.append(forecast)
            print(f"{job.name}: {forecast} -> {job.target}")
    for name, said in refused:
        say_error(name, said)
    if forecasts:
        workers = min(workers, len(forecasts))
        seconds = [forecast.seconds for forecast in forecasts]
        whole = Forecast(
            # The longest one is at work all the time, whatever the others do.
            max(sum(seconds) / workers, *seconds),
            workers * max(forecast.memory for forecast in forecasts),
        )
        with_workers = "one worker" if workers == 1 else f"{workers} workers"
        print(f"{len(forecasts)} of {len(found.jobs)}: {whole} with {with_workers}")
    return EXIT_FAILED if refused else 0
