"""What a report says about the noise and about trust: words first, then figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_mpi.arrays.colour import ONE_BY_ONE
from napari_mpi.arrays.planes import numbered_channels

__all__ = [
    "NOTHING_SUSPICIOUS",
    "Figure",
    "about_trust",
    "figures",
    "headline",
    "in_words",
    "warnings_of",
    "what_was_done",
]

NOTHING_SUSPICIOUS = "Nothing suspicious was found in the noise map."
"""What is said of a result that was judged, and gives no reason for doubt."""


@dataclass(frozen=True)
class Figure:
    """A figure and what it means.

    Attributes
    ----------
    name, value : str
        Ready to be shown.
    meaning : str
        One plain sentence.
    """

    name: str
    value: str
    meaning: str


def headline(report: Mapping[str, Any]) -> str:
    """Return in a few words whether the noise map gives reason for doubt.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.
    """
    if report.get("verdict") is None:
        return "not judged"
    number = len(warnings_of(report))
    if number == 0:
        return "nothing suspicious"
    return f"{number} warning{'s' if number > 1 else ''}"


def in_words(report: Mapping[str, Any]) -> list[str]:
    """Return sentences about how far the result can be trusted, and what was found.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.

    Examples
    --------
    >>> in_words({"verdict": {"warnings": []}})
    ['Nothing suspicious was found in the noise map.']
    """
    said = about_trust(report)
    if not report.get("complete", True):
        said.append(
            f"{report['planes_done']} of {report['n_planes']} planes are finished; the "
            "others are not, or only in part."
        )
    return [*said, *what_was_done(report), *report.get("fallbacks", ())]


def about_trust(report: Mapping[str, Any]) -> list[str]:
    """Return sentences about how far the result can be trusted.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.
    """
    if report.get("verdict") is not None:
        return warnings_of(report) or [NOTHING_SUSPICIOUS]
    if report.get("stuck") and report.get("complete", True):
        return ["Nothing but stuck pixels was changed, so there is nothing to judge."]
    if report.get("planes_done") and report.get("complete", True):
        return ["The image was returned as it is, so there is nothing to judge."]
    return ["No plane was filled, so there is nothing to judge."]


def warnings_of(report: Mapping[str, Any]) -> list[str]:
    """Return what the noise map gives to be careful about; nothing if not judged.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.
    """
    verdict = report.get("verdict")
    return [] if verdict is None else list(verdict["warnings"])


def what_was_done(report: Mapping[str, Any]) -> list[str]:
    """Return sentences about what was found in the image, and done with it.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.
    """
    said: list[str] = []
    if stuck := report.get("stuck"):
        said.append(
            f"{100 * stuck:.2g} % of the pixels are stuck at the lowest or highest "
            "value, and were filled from their neighbours."
        )
    if joined := report.get("joined"):
        said.append(
            "Planes were joined with those beside them where these show the same: each "
            f"counts as {joined:.1f} planes in the mean."
        )
    if choice := report.get("choice"):
        said.append(choice)
    if report.get("widened"):
        said.append(
            "The result is in float32, and keeps what lies between the whole numbers "
            "of the input."
        )
    return said


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return what was measured before and after, in the image's units.

    Parameters
    ----------
    report : mapping
        `Denoised.report`; of channels and stains, each has its own.
    """
    found: list[Figure] = []
    if channels := report.get("channels"):
        names: Sequence[str] = ONE_BY_ONE.names
        if not report.get("rgb"):
            names = numbered_channels(len(channels))
        for name, channel in zip(names, channels, strict=True):
            for figure in figures(channel):
                found.append(replace(figure, name=f"{name}: {figure.name}"))
        return found
    if (noise := report.get("noise_estimate")) is not None:
        found += _of_noise(noise)
    if (verdict := report.get("verdict")) is not None:
        found += _of_verdict(verdict)
    return found


def _of_noise(noise: Mapping[str, Any]) -> list[Figure]:
    extent = noise["signal_range"]
    relative = f" ({_percent(noise['rms'] / extent)})" if extent else ""
    return [
        Figure(
            "noise of the input",
            f"{noise['rms']:.3g}{relative}",
            "Standard deviation of the input's noise, in the image's units and as a "
            "share of the signal range.",
        ),
        Figure(
            "shared by neighbours",
            f"{_percent(noise['correlation'][0])}, {_percent(noise['correlation'][1])}",
            "Correlation of the noise of neighbouring pixels along Y and X: 0 where "
            "each pixel has its own noise, as photons and read-out make it.",
        ),
        Figure(
            "stripes",
            f"{_percent(noise['stripes'][0])}, {_percent(noise['stripes'][1])}",
            "Share of the noise variance that all pixels of a row, and of a column, "
            "have in common.",
        ),
        Figure(
            "gain",
            f"{noise['gain']:.3g}",
            "Growth of the noise variance per unit of intensity: for photon noise the "
            "counts that one photo-electron gives.",
        ),
        Figure(
            "speckle",
            _percent(noise["speckle"]),
            "Standard deviation of noise that grows in proportion to the intensity, as "
            "a share of that: of coherent light, of flicker, of pixels that differ.",
        ),
        Figure(
            "fall towards the brightest",
            _percent(1 - 1 / (1 + noise["compression"] * extent)),
            "How much weaker the noise is in the brightest regions than in the "
            "darkest, as a gamma correction or a logarithm makes it.",
        ),
        Figure(
            "read noise",
            f"{noise['read_noise']:.3g}",
            "Standard deviation of the noise in the darkest regions.",
        ),
        Figure(
            "saturated",
            _percent(noise["saturated"]),
            "Share of the input's pixels at the highest value that occurs.",
        ),
    ]


def _of_verdict(verdict: Mapping[str, Any]) -> list[Figure]:
    return [
        Figure(
            "noise map",
            f"{verdict['std']:.3g}",
            "Standard deviation of the noise map; a good one has about that of the "
            "noise.",
        ),
        Figure(
            "noise left",
            _percent(verdict["noise_left"]),
            "Noise of the denoised image as a share of the input's.",
        ),
        Figure(
            "detail in the noise map",
            _percent(verdict["structure_removed"]),
            "Share of the contrast of the strongest fine structures that is in the "
            "noise map instead of the denoised image.",
        ),
        Figure(
            "excess correlation",
            _percent(verdict["correlation"]),
            "How much more neighbouring pixels of the noise map correlate than those "
            "of the noise; above 15 % it holds structure.",
        ),
        Figure(
            "shift of the mean",
            _percent(verdict["drift"]),
            "Mean of the noise map as a share of the noise's standard deviation: how "
            "far the mean intensity has gone down.",
        ),
        Figure(
            "clipped",
            _percent(verdict["clipped"]),
            "Share of pixels that denoising has put to an end of the pixel type's "
            "range.",
        ),
        Figure(
            "rounding",
            _percent(verdict["rounding"]),
            "Error by rounding to whole numbers as a share of the noise.",
        ),
    ]


def _percent(share: float) -> str:
    rounded = round(100 * share, 1)
    # No minus before nothing.
    return f"{rounded + 0.0:.1f} %" if abs(rounded) < 10 else f"{rounded:.0f} %"
