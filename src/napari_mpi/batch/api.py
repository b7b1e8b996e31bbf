"""A batch from its inputs to its summary."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from napari_mpi.batch.cluster import on_cluster
from napari_mpi.batch.inputs import Inputs, Job, find_inputs
from napari_mpi.batch.job import Settings, run_job
from napari_mpi.batch.records import Record
from napari_mpi.batch.results import ENDINGS
from napari_mpi.batch.summary import Summary
from napari_mpi.batch.workers import in_processes
from napari_mpi.config import checked_seed, given_settings
from napari_mpi.engine.devices import resolve_device
from napari_mpi.pipeline.api import Progress
from napari_mpi.weights.loading import load_weights

__all__ = ["checked_settings", "denoise_files", "iter_batch"]

_NOT_FILLING = ("weights", "device", "seed", "uncertainty")
_FROM_THE_FILE = ("rgb", "channel_axis")


def checked_settings(
    options: dict[str, Any],
    *,
    noise_map: bool = False,
    threads: int = 1,
    elsewhere: bool = False,
) -> Settings:
    """Return the settings of a batch; what is wrong for every image is said here.

    Parameters
    ----------
    options : dict
        Keywords of `napari_mpi.denoise`.
    noise_map : bool
        Whether to write the noise maps, too.
    threads : int
        Threads for each image on the processor.
    elsewhere : bool
        Whether the work is done on other machines, which may have other devices.

    Raises
    ------
    ValueError, TypeError
        If a setting is wrong, or there is none of its name.
    FileNotFoundError, WeightsError
        If there are no such weights, or they cannot be used.
    """
    defaults = {"preset": "auto", "noise": None, "weights": "universal"}
    options = {**defaults, "device": "auto", "seed": 0, **options}
    for name in _FROM_THE_FILE:
        if name in options:
            raise ValueError(f"{name} is taken from each file here: leave it out.")
    if "uncertainty" in options:
        options["uncertainty"] = bool(options["uncertainty"])  # NumPy's is no JSON
    filling = {k: v for k, v in options.items() if k not in _NOT_FILLING}
    options |= given_settings(**filling)
    options["seed"] = checked_seed(options["seed"])
    options["weights"] = load_weights(options["weights"]).source
    if not options["weights"]:
        raise ValueError("Weights of a batch come from a file: save them first.")
    if not elsewhere:
        resolve_device(options["device"])  # again where the work is done
    if threads < 1:
        raise ValueError(f"threads is {threads}: expected at least 1.")
    return Settings(options, bool(noise_map), threads)


def iter_batch(
    inputs: Inputs,
    output: Path,
    settings: Settings,
    *,
    workers: int = 0,
    scheduler: str | None = None,
    progress: Callable[[Job, Progress], None] | None = None,
) -> Generator[Record, None, None]:
    """Work through a batch, and yield the record of each image when it is there.

    `batch.csv` and `batch.html` in the output folder are kept up to date.

    Parameters
    ----------
    inputs : Inputs
        From `find_inputs`.
    output : Path
        The output folder.
    settings : Settings
        From `checked_settings`.
    workers : int
        Processes to start; 0 works in this one.
    scheduler : str, optional
        Address of a dask.distributed scheduler, whose workers are taken instead.
    progress : callable, optional
        It is told of each piece of work that is done in this process.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}: expected 0 or more.")
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    summary = Summary(output, inputs.jobs)
    for job, said in inputs.refused:
        record = Record.of(job, "failed", said)
        summary.refuse(record)
        yield record
    if scheduler is not None:
        records = on_cluster(inputs.jobs, settings, scheduler)
    elif workers > 0:
        device = resolve_device(settings.options["device"])
        all_cards = device == torch.device("cuda")
        n_cards = torch.cuda.device_count() if all_cards else 0
        records = in_processes(inputs.jobs, settings, workers, n_cards)
    else:
        records = _here(inputs, settings, progress)
    try:
        with closing(records):
            for job, record in records:
                summary.add(job, record)
                yield record
    finally:  # however it ends, what is done is told
        summary.write()


def _here(
    inputs: Inputs,
    settings: Settings,
    progress: Callable[[Job, Progress], None] | None,
) -> Generator[tuple[Job, Record], None, None]:
    for job in inputs.jobs:
        told = None if progress is None else partial(progress, job)
        yield job, run_job(job, settings, told)


def denoise_files(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    noise_map: bool = False,
    format: Literal["ome-tiff", "ome-zarr"] = "ome-tiff",
    workers: int = 0,
    scheduler: str | None = None,
    threads: int = 1,
    **options: Any,
) -> list[Record]:
    """Denoise many image files; the same call carries on after an interruption.

    Parameters
    ----------
    inputs : path or iterable of path
        Files, patterns, and folders, which are searched with all folders inside.
    output : path
        Folder of the results, of their summaries ``batch.csv`` and ``batch.html``,
        and of ``.napari-mpi``, which holds what a later call needs to carry on.
    noise_map : bool
        Whether to write the noise maps, too.
    format : {"ome-tiff", "ome-zarr"}
        Format of the results.
    workers : int
        Processes to start; 0 works in this one. A script that starts any needs the
        line ``if __name__ == "__main__":`` above the call.
    scheduler : str, optional
        Address of a dask.distributed scheduler, whose workers are taken instead.
    threads : int
        Threads for each image on the processor. The last bits of a result depend on
        it, and on nothing else here.
    **options
        Keywords of `napari_mpi.denoise` but for `rgb` and `channel_axis`, which are
        taken from each file; for instance ``preset="fast"``.

    Returns
    -------
    list of Record
        For each image its `status`, the `reason` if it failed, its `target`, and what
        was found.

    Warns
    -----
    UserWarning
        Of each file or folder that was left out.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    settings = checked_settings(
        options,
        noise_map=noise_map,
        threads=threads,
        elsewhere=scheduler is not None,
    )
    if format not in ENDINGS:
        raise ValueError(f"format is {format!r}: choose one of {', '.join(ENDINGS)}.")
    found = find_inputs(inputs, Path(output), ENDINGS[format])
    for said in found.left_out:
        warnings.warn(said, stacklevel=2)
    return list(
        iter_batch(found, Path(output), settings, workers=workers, scheduler=scheduler)
    )
