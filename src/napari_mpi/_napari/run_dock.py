"""What the docks that compute in a thread have in common."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, Widget
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_mpi._napari.controls import align_labels
from napari_mpi._napari.keyboard import make_reachable
from napari_mpi._napari.notices import show_error

__all__ = ["RunDock"]


class RunDock(QScrollArea):  # type: ignore[misc]
    """A dock with a form, a progress bar, a status and a worker, one at a time.

    Each dock says what its worker's yields and result mean, and which buttons a run
    enables.
    """

    form: Container
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

    def _lay_out(self, *parts: Widget | QWidget) -> None:
        """Put the parts of the dock below each other, and let Tab go through them."""
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(2, 2, 2, 2)
        for part in parts:
            layout.addWidget(part.native if isinstance(part, Widget) else part)
        layout.addStretch()
        # On a small screen the dock scrolls; its parts do not shrink.
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        controls = [part for part in parts if isinstance(part, Widget)]
        make_reachable(content, *controls, self.form.advanced)
        self._set_running(False)
        # Qt drops a widget's own slots before it says that the widget is destroyed.
        self.destroyed.connect(lambda: self._on_closed())

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Lay the forms out in the window's font."""
        super().showEvent(event)
        self._align_labels()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the window's font, and end when the dock is closed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.isVisible():
            self._align_labels()
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            # It may only be on its way into another dock.
            QTimer.singleShot(0, self._end_if_taken_out)

    def _end_if_taken_out(self) -> None:
        # napari takes this out of the dock that it closes, and does not delete it.
        if self.parent() is None:
            self._on_closed()
            self.deleteLater()

    def _align_labels(self) -> None:
        align_labels(self.form)
        align_labels(self.form.advanced)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Ask for the width of the content, which does not scroll sideways."""
        hint: QSize = super().minimumSizeHint()
        if self.widget() is not None:
            bar = self.verticalScrollBar().sizeHint().width()
            beside = bar + 2 * self.frameWidth()  # napari's style draws a frame
            hint.setWidth(self.widget().minimumSizeHint().width() + beside)
        return hint

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Ask for another width when the content does, which Qt's own class forgets."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are; napari calls it when they change."""
        if not self._closed:
            self.form.reset_choices()

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._worker is not None

    def _start(self, worker: Any) -> None:
        """Let a worker begin, and hear what it says."""
        self._worker = worker
        # Bound methods would be dropped with the widget, and the end never heard of.
        worker.yielded.connect(lambda item: self._on_yielded(item))
        worker.warned.connect(lambda warning: self._on_warning(warning))
        worker.returned.connect(lambda result: self._on_result(result))
        worker.errored.connect(lambda error: self._on_error(error))
        worker.finished.connect(lambda: self._on_finished())
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
        show_error(error)
        if not self._closed:
            self._say(f"Not done: {error}")

    def _on_finished(self) -> None:
        self._worker = None
        if not self._closed:
            self._set_running(False)

    def _on_closed(self) -> None:
        """End when the dock is closed, or gone with its window."""
        self._closed = True
        if self._worker is not None:
            self._worker.quit()
