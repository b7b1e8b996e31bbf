"""The course of a run, iteration by iteration, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Course", "why_it_stopped"]


@dataclass
class Course:
    """How well hidden pixels were predicted, iteration by iteration.

    Attributes
    ----------
    losses : list of float
        Mean squared error on the pixels that were trained on.
    validations : dict
        The same on held-out pixels, by the iteration after which it was measured; 0 is
        before the first.
    kept : list of int
        The iterations whose network, or estimate, is used.
    """

    losses: list[float] = field(default_factory=list)
    validations: dict[int, float] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Course:
        """Return the course that a report tells of; empty if nothing was learnt."""
        course = report.get("filling") or _learnt(report)
        if not course or not course["losses"]:
            return cls()
        errors = [course.get("initial_validation"), *course["validations"]]
        validations = {
            step: error for step, error in enumerate(errors) if error is not None
        }
        return cls(list(course["losses"]), validations, list(course["kept_at"]))


def _learnt(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the last adaptation that had iterations, if there is any."""
    learnt = [one for one in report.get("adaptations", ()) if one["losses"]]
    return learnt[-1] if learnt else None


def why_it_stopped(report: Mapping[str, Any]) -> str:
    """Tell how long the network learnt from the image, and why no longer.

    Parameters
    ----------
    report : mapping
        `Denoised.report`.

    Examples
    --------
    >>> why_it_stopped({"adaptations": [], "filling": None, "config": {}})
    'The network did not learn from this image, so there is no curve.'
    """
    if report.get("filling"):
        return _of_filling(report)
    learnt = _learnt(report)
    if learnt is None and (n_done := report.get("iterations")):
        return f"The learning was stopped by hand after {n_done} iterations."
    if learnt is None:
        return "The network did not learn from this image, so there is no curve."
    return _of_adaptation(learnt, report)


def _of_adaptation(adaptation: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    config = report["config"]
    n_done = len(adaptation["losses"])
    most = config["n_iter"]
    kept = adaptation["kept_at"]
    of_plane = ""
    if len(report["adaptations"]) > 1:
        of_plane = f" from plane {adaptation['first_plane'] + 1}"
    if n_done < most and config["early_stopping"]:
        said = (
            f"The network learnt{of_plane} for {n_done} of at most {most} iterations: "
            "then held-out pixels were predicted no better."
        )
    elif config["early_stopping"]:
        said = (
            f"The network learnt{of_plane} for all {most} iterations, as held-out "
            "pixels were predicted better and better, or nearly so, to the end."
        )
    else:
        said = (
            f"The network learnt{of_plane} for {n_done} iterations, a fixed number"
            f"{_why_fixed(report)}."
        )
    if kept == [0]:
        return (
            f"{said} Nothing of it helped with them, so the weights were used as they "
            "came."
        )
    if len(kept) == 1:
        return f"{said} The network of iteration {kept[0]} is used."
    return (
        f"{said} The {len(kept)} networks of iterations {kept[0]} to {kept[-1]} are "
        "used together."
    )


def _why_fixed(report: Mapping[str, Any]) -> str:
    noise = report.get("noise_estimate")
    if noise and noise["shared"]:
        return ": with such noise no held-out pixel tells when to stop"
    return ""  # as it was asked for


def _of_filling(report: Mapping[str, Any]) -> str:
    filling, config = report["filling"], report["config"]
    n_done, most = len(filling["losses"]), config["n_iter"]
    of_plane = ""
    if report["n_planes"] > 1:
        of_plane = f" The curve is that of plane {filling['plane'] + 1}."
    if not report["complete"] and n_done < most:
        return f"It was stopped by hand after {n_done} of {most} iterations.{of_plane}"
    if not config["early_stopping"]:
        return (
            f"The preset has a fixed number of {most} iterations for each plane; the "
            f"estimate is the running average of their predictions.{of_plane}"
        )
    (best,) = Course.of(report).kept
    return (
        f"It ended after {n_done} of at most {most} iterations. The estimate is that "
        f"of iteration {best}, which came closest to held-out pixels.{of_plane}"
    )
