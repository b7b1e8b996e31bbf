"""The record of one channel, out of that of a run over several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["channel_record"]


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
