"""The record of a run, as it travels in a file beside the description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from napari_mpi.config import NOISE_KINDS, PRESETS, FillConfig
from napari_mpi.io.description import take_lines, with_line

__all__ = ["join_record", "split_record", "valid_record"]

_KEY = "napari_mpi"
# An index like "0:2, 5:6", or nothing.
_PLANES = r"([0-9]+:[0-9]+(, [0-9]+:[0-9]+)*)?"
_SETTINGS = {field.name for field in fields(FillConfig)}


def join_record(description: str, record: Mapping[str, Any] | None) -> str:
    r"""Return a description whose last line is the record of a run.

    Parameters
    ----------
    description : str
        Free text.
    record : mapping, optional
        `Denoised.report`.

    Examples
    --------
    >>> join_record("HeLa", {"seed": 3})
    'HeLa\n{"napari_mpi": {"seed": 3}}'
    """
    if record is None:
        return description
    return with_line(description, _KEY, record)


def split_record(description: str) -> tuple[str, dict[str, Any] | None]:
    """Undo `join_record`.

    Returns
    -------
    description : str
        The text without records; of several, the last one counts.
    record : dict or None
        The record, if there is one that `valid_record` accepts.
    """
    text, record = take_lines(description, _KEY)
    return text, valid_record(record)


def valid_record(record: Any) -> dict[str, Any] | None:
    """Return the record if a run can be repeated from it, or else None.

    A file may come from anywhere, and its record becomes lines of Python that a user
    runs: nothing may stand in it but names and values of settings.

    Parameters
    ----------
    record : object
        What stood in the file.
    """
    if not isinstance(record, dict):
        return None
    valid = (
        record.get("preset") in (*PRESETS, "custom")
        and record.get("noise") in (None, *NOISE_KINDS)
        and _are_settings(record.get("settings"))
        and _are_settings(record.get("config"))
        and isinstance(record.get("weights"), str)
        and isinstance(record.get("weights_source", ""), str)
        and isinstance(record.get("device"), str)
        and type(record.get("seed")) is int
        and isinstance(record.get("rgb"), bool)
        and isinstance(record.get("uncertainty"), bool)
        and type(record.get("channel_axis", 0)) is int
        and re.fullmatch(_PLANES, str(record.get("planes", ""))) is not None
        and _are_records(record.get("channels", []))
    )
    return record if valid else None


def _are_records(found: Any) -> bool:
    # Those of channels have none in them, so a file cannot nest them without end.
    return isinstance(found, list) and all(
        valid_record(one) is not None and "channels" not in one for one in found
    )


def _are_settings(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and found.keys() <= _SETTINGS
        and all(
            value is None or isinstance(value, (str, int, float))
            for value in found.values()
        )
    )
