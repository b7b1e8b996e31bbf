"""A result as files: the denoised image, and beside it what else is wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mpi.io.files import ImageData, stem_of, write_image
from napari_mpi.io.placement import PLACE
from napari_mpi.io.record import join_record, split_record
from napari_mpi.pipeline.api import Denoised

__all__ = [
    "ENDINGS",
    "EXTRAS",
    "extra_path",
    "is_result",
    "result_files",
    "target_name",
    "write_result",
]

ENDINGS = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}
"""Formats of results, and how their names end."""

EXTRAS = ("noise", "uncertainty")
"""What can be written beside the denoised image."""


def target_name(stem: str, ending: str = ENDINGS["ome-tiff"]) -> str:
    """Return what the denoised image of an input is called."""
    return f"{stem}_denoised{ending}"


def extra_path(target: Path, what: str) -> Path:
    """Return where a noise map or an uncertainty belongs to a denoised image."""
    stem = stem_of(target)
    ending = target.name.removeprefix(stem)
    return target.with_name(f"{stem.removesuffix('_denoised')}_{what}{ending}")


def result_files(target: Path, *, noise_map: bool, uncertainty: bool) -> list[Path]:
    """Return the files that a result is written to, the denoised image last."""
    asked = zip(EXTRAS, (noise_map, uncertainty), strict=True)
    return [*(extra_path(target, what) for what, wanted in asked if wanted), target]


def is_result(path: Path) -> bool:
    """Whether a file is called as results are."""
    return path.name.endswith(
        tuple(
            f"_{what}{ending}"
            for what in ("denoised", *EXTRAS)
            for ending in ENDINGS.values()
        )
    )


def write_result(
    target: Path,
    image: ImageData,
    result: Denoised,
    with_noise_map: bool,
    report: dict[str, Any] | None = None,
) -> list[Path]:
    """Write a result with the axes and pixel size of its input.

    Parameters
    ----------
    target : Path
        The denoised image; its ending tells the format.
    image : ImageData
        The input.
    result : Denoised
        What the run gave.
    with_noise_map : bool
        Whether to write the noise map beside it.
    report : dict, optional
        The record to write instead of the run's.

    Returns
    -------
    list of Path
        The files, the denoised image last.
    """
    # Of a result that is denoised again, the first run's record is of no use.
    text, _ = split_record(image.description)
    record = result.report if report is None else report
    described = replace(image, description=join_record(text, record))
    # A viewer shows them in its own way, in the input's place.
    place = {key: image.layer[key] for key in PLACE if key in image.layer}
    extras = {"noise": (result.noise_map, "noise map")} if with_noise_map else {}
    if result.uncertainty is not None:
        extras["uncertainty"] = (result.uncertainty, "uncertainty")
    files = []
    for what, (data, called) in extras.items():
        files.append(extra_path(target, what))
        write_image(
            files[-1],
            replace(
                described,
                data=data,
                name=f"{image.name} {called}",
                layer={**place, "role": called},
            ),
        )
    files.append(target)
    write_image(
        target,
        replace(
            described,
            data=result.image,
            name=f"{image.name} denoised",
            layer={**image.layer, "role": "denoised"},
        ),
    )
    return files
