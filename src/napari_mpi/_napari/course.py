"""Why a run stopped: its loss and validation error, live and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari.viewer import Viewer

from napari_mpi._napari.folds import Fold
from napari_mpi._napari.plots import Plot, Series, wrapped_label
from napari_mpi.pipeline.api import Progress
from napari_mpi.pipeline.course import Course, why_it_stopped

__all__ = ["CoursePanel"]

_GOING_ON = "The run goes on."


class CoursePanel(Fold):
    """A folded plot of how the network learnt.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(
            "why it stopped",
            "How well the network predicted hidden pixels while it learnt from your "
            "image, and which networks were used.",
        )
        used = Series("used", 2, line=False, size=11)
        # Apart, as what decides changes by little, and other crops have other errors.
        self.validation_plot = Plot(
            viewer,
            "iteration",
            "error",
            [Series("on held-out pixels", 1, size=5), used],
            height=105,
        )
        self.loss_plot = Plot(
            viewer,
            "iteration",
            "error",
            [Series("on the pixels it learns from", 0), used],
            height=105,
        )
        self.words = wrapped_label("There was no run yet.")
        for widget in (self.words, self.validation_plot, self.loss_plot):
            self.addWidget(widget)
        self.collapse(animate=False)
        self._course = Course()
        self._place: tuple[str, int] | None = None

    def begin(self) -> None:
        """Forget the last run."""
        self._course = Course()
        self.words.setText(_GOING_ON)
        self.now()

    def end(self) -> None:
        """Say that there is no report, if none was shown since the run began."""
        if self.words.text() == _GOING_ON:
            self.words.setText("The run ended without a result.")

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
        self.later()

    def show_report(self, report: Mapping[str, Any]) -> None:
        """Show what the report of a run tells."""
        self._course = Course.of(report)
        self.words.setText(why_it_stopped(report))
        self.now()

    def draw(self) -> None:
        """Plot the course so far."""
        course = self._course
        losses = dict(enumerate(course.losses, 1))
        deciding = course.validations or losses
        for plot, errors in (
            (self.validation_plot, course.validations),
            (self.loss_plot, losses),
        ):
            plot.setVisible(bool(errors))
            plot.set_points(0, list(errors), list(errors.values()))
            used = [step for step in course.kept if step in errors]
            used = used if errors is deciding else []
            plot.set_points(1, used, [errors[step] for step in used])
