"""Tells the docks when the weights in the weights folder change."""

from __future__ import annotations

from psygnal import Signal

__all__ = ["library_events"]


class LibraryEvents:
    """What happens to the weights folder within napari."""

    changed = Signal()


library_events = LibraryEvents()
"""Emit `changed` after weights were saved, imported, downloaded or deleted, and after
another folder was chosen."""
