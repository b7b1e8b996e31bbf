"""Keeps what lists weights up to date."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakMethod

from qtpy.QtCore import QFileSystemWatcher
from qtpy.QtWidgets import QWidget

from napari_mpi._napari.library_events import library_events
from napari_mpi.weights.folder import weights_folder

__all__ = ["LibraryFollower"]


class LibraryFollower(QFileSystemWatcher):  # type: ignore[misc]
    """Calls back when the weights change, in napari or from outside.

    Parameters
    ----------
    parent : QWidget
        What is kept up to date; the following ends with it.
    refresh : bound method
        Called without arguments. Only a weak reference to it is kept.
    """

    def __init__(self, parent: QWidget, refresh: Callable[[], None]) -> None:
        super().__init__(parent)
        self._refresh = WeakMethod(refresh)
        self._watch()
        self.directoryChanged.connect(self._on_change)
        library_events.changed.connect(self._on_change)

    def _on_change(self) -> None:
        # The folder may be a new one, or may have appeared only now.
        self._watch()
        refresh = self._refresh()
        if refresh is not None:
            refresh()

    def _watch(self) -> None:
        folder = weights_folder()
        wanted = [str(folder)] if folder.is_dir() else []
        if self.directories() != wanted:
            if self.directories():
                self.removePaths(self.directories())
            if wanted:
                self.addPaths(wanted)
