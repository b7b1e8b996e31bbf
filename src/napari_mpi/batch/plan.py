"""What a batch would do, and what it would take."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from napari_mpi.batch.errors import reason
from napari_mpi.batch.inputs import Inputs, Job
from napari_mpi.batch.job import Settings, begin_job, finished
from napari_mpi.pipeline.api import Forecast

__all__ = ["Planned", "iter_plan"]


@dataclass(frozen=True)
class Planned:
    """What would be done with an image.

    Attributes
    ----------
    job : Job
        The image.
    done : bool
        Whether there is nothing left to do.
    forecast : Forecast or None
        What it would take, if there is something to do and it can be done.
    reason : str
        Why it cannot be done.
    """

    job: Job
    done: bool = False
    forecast: Forecast | None = None
    reason: str = ""


def iter_plan(inputs: Inputs, settings: Settings) -> Generator[Planned, None, None]:
    """Look at each image, and write nothing.

    Parameters
    ----------
    inputs : Inputs
        From `find_inputs`.
    settings : Settings
        From `checked_settings`.
    """
    for job, said in inputs.refused:
        yield Planned(job, reason=said)
    facts = settings.facts()
    for job in inputs.jobs:
        try:
            if finished(job, facts):
                planned = Planned(job, done=True)
            else:
                _, run = begin_job(job, settings)
                planned = Planned(job, forecast=run.forecast())
        except Exception as error:
            planned = Planned(job, reason=reason(error))
        yield planned
