"""Why a run stopped: its loss and validation error, live and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from superqt import QCollapsible

from napari_mpi._napari.plots import Plot, Series, wrapped_label
from napari_mpi.pipeline.api import Progress
from napari_mpi.pipeline.course import Course, why_it_stopped

__all__ = ["CoursePanel"]

# The plot follows a run at this interval.
_REDRAW = 400  # milliseconds
_LOSS, _VALIDATION, _KEPT = range(3)


class CoursePanel(QCollapsible):  # type: ignore[misc]
    """A folded plot of how the network learnt.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("why it stopped")
        self.setToolTip(
            "How well the network predicted hidden pixels while it learnt from your "
            "image, and which networks were used."
        )
        self.plot = Plot(
            viewer,
            "iteration",
            "squared error",
            [
                Series("trained-on pixels", 0),
                Series("held-out pixels", 1, size=5),
                Series("used", 2, line=False, size=11),
            ],
        )
        self.words = wrapped_label("There was no run yet.")
        self.addWidget(self.plot)
        self.addWidget(self.words)
        self.collapse(animate=False)
        self._course = Course()
        self._place: tuple[str, int] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW)
        self._timer.timeout.connect(self._draw)
        self.toggled.connect(self._draw)

    def begin(self) -> None:
        """Forget the last run."""
        self._course = Course()
        self.words.setText("The run goes on.")
        self._draw()

    def follow(self, progress: Progress) -> None:
        """Take the figures of an iteration; they are drawn a few times a second."""
        if progress.loss is None:
            return
        place = (progress.phase, progress.plane)
        if place != self._place or progress.step <= len(self._course.losses):
            self._course = Course()  # another plane, or a new start with less memory
            self._place = place
        self._course.losses.append(progress.loss)
        if progress.validation is not None:
            self._course.validations[progress.step] = progress.validation
        if not self._timer.isActive():
            self._timer.start()

    def show_report(self, report: Mapping[str, Any]) -> None:
        """Show what the report of a run tells."""
        self._course = Course.of(report)
        said = [report.get("choice"), why_it_stopped(report)]
        self.words.setText(" ".join(filter(None, said)))
        self._draw()

    def _draw(self) -> None:
        if not self.isExpanded():
            return  # what nobody sees costs nothing; it is drawn when unfolded
        course = self._course
        steps = range(1, len(course.losses) + 1)
        heights = dict(zip(steps, course.losses, strict=True)) | course.validations
        kept = [step for step in course.kept if step in heights]
        self.plot.setVisible(bool(course.losses))
        self.plot.set_points(_LOSS, steps, course.losses)
        self.plot.set_points(
            _VALIDATION, list(course.validations), list(course.validations.values())
        )
        self.plot.set_points(_KEPT, kept, [heights[step] for step in kept])
