"""Lines that repeat a run, from its report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

__all__ = ["COMMAND_SETTINGS", "as_command", "as_python"]

COMMAND_SETTINGS = (
    "n_iter",
    "n_passes",
    "adapt_to",
    "neighbours",
    "mask_ratio",
    "averaging",
    "learning_rate",
    "pixel_shuffle",
    "scaling",
    "precision",
    "pixel_type",
)
"""Settings that the command line has an option for."""


def as_python(report: Mapping[str, Any]) -> str:
    """Return Python lines that give the same result, but for rounding on a card.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.

    Examples
    --------
    >>> report = {"preset": "auto", "noise": None, "settings": {}, "rgb": False,
    ...           "weights_source": "universal", "device": "cpu", "seed": 3,
    ...           "uncertainty": False}
    >>> print(as_python(report))
    from napari_mpi import denoise
    <BLANKLINE>
    result = denoise(image, device='cpu', seed=3)
    """
    names = ["denoise"]
    given = {key: repr(value) for key, value in _given(report).items()}
    if report["preset"] == "custom":
        names = ["FillConfig", "denoise"]
        fields = ", ".join(f"{k}={v!r}" for k, v in report["config"].items())
        given["preset"] = f"FillConfig({fields})"
    if report["rgb"]:
        given["rgb"] = "True"
    if report.get("channel_axis") is not None:
        given["channel_axis"] = repr(report["channel_axis"])
    if report["uncertainty"]:
        given["uncertainty"] = "True"
    image = f"image[{report['planes']}]" if report.get("planes") else "image"
    arguments = ", ".join([image, *(f"{k}={v}" for k, v in given.items())])
    imports = ", ".join(names)
    return f"from napari_mpi import {imports}\n\nresult = denoise({arguments})"


def as_command(
    report: Mapping[str, Any], source: str = "IN.tif", output: str = "results"
) -> str:
    """Return a command that gives the same result, but for rounding on a card.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.
    source, output : str
        The file to denoise, and where the result goes.

    Raises
    ------
    ValueError
        If the run took some planes only, or has settings that the command line has
        no option for.
    """
    if report.get("planes"):
        raise ValueError(
            f"The command line takes whole files, and this run took the planes "
            f"[{report['planes']}] only: repeat the run in Python."
        )
    given = _given(report)
    unknown = sorted(set(report["settings"]) - set(COMMAND_SETTINGS))
    if report["preset"] == "custom" or unknown:
        what = ", ".join(unknown) or "a configuration of its own"
        raise ValueError(
            f"The command line has no option for {what}: repeat the run in Python."
        )
    words = ["napari-mpi", "denoise", source, "-o", output]
    for key, value in given.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    if report["uncertainty"]:
        words.append("--uncertainty")
    return shlex.join(words)


def _given(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from a call without arguments."""
    asked = {
        "preset": report["preset"],
        "noise": report["noise"],
        "weights": report["weights_source"] or report["weights"],
    }
    plain = {"preset": "auto", "noise": None, "weights": "universal"}
    given = {key: value for key, value in asked.items() if value != plain[key]}
    # Another device or seed gives another result, so they are always written out.
    return given | {
        "device": report["device"],
        "seed": report["seed"],
        **report["settings"],
    }
