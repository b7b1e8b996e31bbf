"""Lines of JSON within a description, each with a key of its own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["take_lines", "with_line"]


def with_line(description: str, key: str, content: Any) -> str:
    r"""Return a description whose last line holds content under a key.

    Examples
    --------
    >>> with_line("HeLa", "seed", 3)
    'HeLa\n{"seed": 3}'
    """
    # Settings may be numbers of NumPy's.
    line = json.dumps({key: content}, ensure_ascii=False, default=np.generic.item)
    return f"{description}\n{line}".strip()


def take_lines(description: str, key: str) -> tuple[str, Any]:
    r"""Undo `with_line`; of several lines with the key, the last one counts.

    Returns
    -------
    description : str
        The text without such lines.
    content : object
        What JSON can hold; None if there is no such line.

    Examples
    --------
    >>> take_lines('HeLa\n{"seed": 3}', "seed")
    ('HeLa', 3)
    """
    text, content = [], None
    for line in description.splitlines():
        if not line.startswith(f'{{"{key}"'):
            text.append(line)
            continue
        try:
            content = json.loads(line)[key]
        except (ValueError, RecursionError):
            text.append(line)
    return "\n".join(text), content
