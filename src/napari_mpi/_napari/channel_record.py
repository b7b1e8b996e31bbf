"""Records that come with files: of single channels, and whether they are sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.pipeline.course import Course, why_it_stopped
from napari_mpi.pipeline.findings import figures, headline, in_words
from napari_mpi.pipeline.replay import as_python

__all__ = ["can_be_told", "channel_record"]


def channel_record(report: Mapping[str, Any], channel: int) -> dict[str, Any]:
    """Return the record of one channel as if it had been denoised alone.

    Each channel is: what was found in it, and the lines that repeat its run, are its
    own.

    Parameters
    ----------
    report : mapping
        `Denoised.report`; one that does not tell channels apart is returned as it is.
    channel : int
        Number of the channel in the result.

    Examples
    --------
    >>> report = {"seed": 3, "channel_axis": 0, "planes": "0:2, 5:6",
    ...           "channels": [{"seed": 3}, {"seed": 3}]}
    >>> channel_record(report, 1)
    {'seed': 3, 'planes': '5:6'}
    """
    parts, axis = report.get("channels") or (), report.get("channel_axis")
    if axis is None or channel >= len(parts):
        return dict(report)
    own = dict(parts[channel])
    planes = str(report.get("planes") or "").split(", ")
    del planes[axis : axis + 1]
    return own | ({"planes": ", ".join(planes)} if any(planes) else {})


def can_be_told(record: Mapping[str, Any]) -> bool:
    """Whether the panels can show all of a record.

    Another version may have written it, or its file may be damaged.

    Parameters
    ----------
    record : mapping
        `Denoised.report` as a file held it.
    """
    try:
        said = [as_python(record), headline(record), *in_words(record)]
        said += [why_it_stopped(record), *(one.value for one in figures(record))]
        course = Course.of(record)
        for error in (*course.losses, *course.validations.values(), *course.kept):
            float(error)
        if record["noise_estimate"] is not None:
            NoiseEstimate(**record["noise_estimate"]).variance(np.zeros(1))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False
    return all(isinstance(one, str) for one in said)
