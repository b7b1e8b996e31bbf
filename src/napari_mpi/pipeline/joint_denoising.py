"""Several runs that follow each other as one: over channels, or colour components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from napari_mpi.pipeline.checkpoints import Checkpoints
from napari_mpi.pipeline.denoising import Denoised, Denoising, Progress
from napari_mpi.pipeline.findings import warnings_of
from napari_mpi.pipeline.forecast import Forecast

__all__ = ["JointDenoising", "joint_report", "reports_by_name"]


class JointDenoising(Denoising):
    """Several runs that follow each other as one.

    Parameters
    ----------
    runs : sequence of Denoising
        Each over the same number of planes.
    """

    def __init__(self, runs: Sequence[Denoising]) -> None:
        self._runs = list(runs)

    def __next__(self) -> Progress:
        n_runs = len(self._runs)
        for number, run in enumerate(self._runs):
            for progress in run:
                n_planes = progress.n_planes
                return replace(
                    progress,
                    plane=number * n_planes + progress.plane,
                    n_planes=n_runs * n_planes,
                    fraction=(number + progress.fraction) / n_runs,
                )
        raise StopIteration

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if all its parts are."""
        reasons = [run.unchanged for run in self._runs]
        return None if None in reasons else reasons[0]

    def restore(self, checkpoints: Checkpoints) -> None:
        """Carry on from what an earlier run kept of each part."""
        for number, run in enumerate(self._runs):
            run.restore(checkpoints.part(f"part-{number}"))

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        for run in self._runs:
            run.close()

    def forecast(self, n_planes: int | None = None) -> Forecast:
        """Tell what the run takes; its parts need memory one after the other."""
        forecasts = [run.forecast(n_planes) for run in self._runs]
        return Forecast(
            sum(forecast.seconds for forecast in forecasts),
            max(forecast.memory for forecast in forecasts),
        )


def joint_report(parts: Sequence[Denoised]) -> dict[str, Any]:
    """Return the first part's report with what is to be counted over all of them."""
    reports = [part.report for part in parts]
    joined = [report["joined"] for report in reports if report["joined"] is not None]
    return {
        **reports[0],
        "joined": round(fmean(joined), 2) if joined else None,
        "iterations": sum(report["iterations"] for report in reports),
        "stuck": sum(report["stuck"] for report in reports) / len(reports),
        "complete": all(report["complete"] for report in reports),
        # Each once, though several parts met it.
        "fallbacks": list(
            dict.fromkeys(step for report in reports for step in report["fallbacks"])
        ),
        "seconds": round(sum(report["seconds"] for report in reports), 2),
    }


def reports_by_name(parts: Sequence[Denoised], names: Sequence[str]) -> dict[str, Any]:
    """Return what was chosen for parts that have names, and found in them."""
    reports = [part.report for part in parts]
    return {
        "choice": _choice(reports, names),
        "verdict": _verdict(reports, names),
        "channels": reports,
    }


def _choice(reports: list[dict[str, Any]], names: Sequence[str]) -> str | None:
    """Say once what was chosen for all parts, and for each where they differ."""
    choices = [report["choice"] for report in reports]
    if len(set(choices)) == 1:
        first: str | None = choices[0]
        return first
    return " ".join(
        f"{name}: {choice or 'nothing was measured.'}"
        for name, choice in zip(names, choices, strict=True)
    )


def _verdict(
    reports: list[dict[str, Any]], names: Sequence[str]
) -> dict[str, Any] | None:
    """Return the verdict with most to warn about, and the warnings of all."""
    verdicts = [report["verdict"] for report in reports]
    given = [verdict for verdict in verdicts if verdict is not None]
    if not given:
        return None
    warnings = tuple(
        f"{name}: {warning}"
        for name, report in zip(names, reports, strict=True)
        for warning in warnings_of(report)
    )
    worst = max(given, key=lambda verdict: len(verdict["warnings"]))
    return {**worst, "warnings": warnings}
