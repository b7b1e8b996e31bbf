"""What the docks that compute in a thread have in common."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Label, ProgressBar
from napari.utils.notifications import notification_manager, show_warning
from qtpy.QtWidgets import QSizePolicy

__all__ = ["RunDock"]


class RunDock:
    """A dock with a progress bar, a status and a worker, one at a time.

    It is mixed into the dock's widget, which says what its worker's yields and result
    mean, and which buttons a run enables.
    """

    progress: ProgressBar
    status: Label
    _worker: Any = None
    _closed = False  # what the thread still has to say finds no widgets any more

    def _set_up(self, work: str, said: str) -> None:
        """Make progress bar and status of a kind of work."""
        self.progress = ProgressBar(
            label="progress",
            max=1000,
            value=0,
            tooltip=f"How much of the {work} is done.",
        )
        self.status = Label(value=said, tooltip="What is being done, or was found.")
        self.status.native.setWordWrap(True)
        # A long text takes more lines; it must not pull the dock wide.
        self.status.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._worker is not None

    def _start(self, worker: Any) -> None:
        """Let a worker begin, and hear what it says."""
        self._worker = worker
        worker.yielded.connect(self._on_yielded)
        worker.warned.connect(self._on_warning)
        worker.returned.connect(self._on_result)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_finished)
        self.progress.value = 0
        self._set_running(True)
        worker.start()

    def _say(self, outcome: str) -> None:
        self.status.value = outcome

    def _refuse(self, why: str) -> None:
        """Say why nothing is begun."""
        show_warning(why)
        self.status.value = why

    def _on_yielded(self, item: Any) -> None: ...

    def _on_result(self, result: Any) -> None: ...

    def _set_running(self, running: bool) -> None: ...

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        show_warning(str(warning[0]))

    def _on_error(self, error: Exception) -> None:
        notification_manager.receive_error(type(error), error, error.__traceback__)
        if not self._closed:
            self._say(f"Not done: {error}")

    def _on_finished(self) -> None:
        self._worker = None
        if not self._closed:
            self._set_running(False)

    def _on_closed(self) -> None:
        """End when the dock or the window is gone; connected to `destroyed`."""
        self._closed = True
        if self._worker is not None:
            self._worker.quit()
