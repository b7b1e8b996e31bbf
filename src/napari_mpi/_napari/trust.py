"""How far a result can be trusted: words first, figures on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_mpi._napari.course import CoursePanel
from napari_mpi._napari.folds import Fold, one_at_a_time
from napari_mpi._napari.plots import Series, wrapped_label
from napari_mpi._napari.profile import ProfilePanel
from napari_mpi._napari.result_layers import ResultFold, ResultLayers
from napari_mpi.analysis.noise import NoiseEstimate
from napari_mpi.analysis.photon_transfer import photon_transfer
from napari_mpi.pipeline.findings import figures, headline, in_words

__all__ = ["TrustPanel"]


class TrustPanel(QWidget):  # type: ignore[misc]
    """What is to be said about a result; all figures are folded away at first.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.setToolTip("What was found, and how far the result can be trusted.")
        self.setAccessibleName("about the result")
        self._viewer = viewer
        self._report: Mapping[str, Any] | None = None
        self.words = wrapped_label()
        self.words.hide()
        self.course = CoursePanel(viewer)
        self.figures = FiguresPanel()
        self.profile = ProfilePanel(viewer)
        self.photon_transfer = PhotonTransferPanel(viewer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.words)
        folds = [self.course, self.figures, self.profile, self.photon_transfer]
        for fold in folds:
            layout.addWidget(fold)
        one_at_a_time(folds)

    def begin(self) -> None:
        """Say nothing of other runs, as one begins."""
        self.words.hide()
        self.course.begin()

    def show_report(
        self,
        report: Mapping[str, Any] | None,
        chosen: Image | None = None,
        about: str = "",
    ) -> None:
        """Show what the report of a run tells.

        Parameters
        ----------
        report : mapping or None
            `Denoised.report`, if there was a run.
        chosen : napari.layers.Image, optional
            The layer that the user has chosen; of results with one report, it is the
            one to look at.
        about : str
            What the report is of, if not of the chosen layer.
        """
        self._report = report
        self.words.setVisible(report is not None)
        if report is not None:
            self.words.setText(" ".join([about, *in_words(report)]).lstrip())
            self.words.setToolTip(f"The noise map: {headline(report)}.")
            self.course.show_report(report)
            self.figures.show_report(report)
        for fold in (self.profile, self.photon_transfer):
            fold.show_report(report, chosen)


class FiguresPanel(Fold):
    """A folded table of what was measured before and after a run."""

    def __init__(self) -> None:
        super().__init__(
            "figures of the noise",
            "What was measured of the noise before the run, and of the noise map after "
            "it. Point at a line to read what it means.",
        )
        content = QWidget()
        self.table = QFormLayout(content)
        self.table.setContentsMargins(0, 0, 0, 0)
        self.table.setVerticalSpacing(2)
        self.addWidget(content)
        self.table.addRow(wrapped_label("There was no run yet."))
        self.collapse(animate=False)

    def show_report(self, report: Mapping[str, Any]) -> None:
        """List the figures of a report."""
        while self.table.rowCount():
            self.table.removeRow(0)
        found = figures(report)
        for figure in found:
            name, value = QLabel(figure.name), wrapped_label(figure.value)
            for label in (name, value):
                label.setToolTip(figure.meaning)
            self.table.addRow(name, value)
        if not found:
            self.table.addRow(wrapped_label("Nothing was measured in this run."))


class PhotonTransferPanel(ResultFold):
    """A folded plot of the removed noise over the intensity.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(
            viewer,
            "noise and intensity",
            "How strong the removed noise is at each intensity of the shown slice, and "
            "how strong the noise of the input was estimated to be.",
            "denoised intensity",
            "variance",
            [
                Series("removed", 0, line=False, size=7),
                Series("estimated before", 1),
            ],
        )

    def plot_plane(self, layers: ResultLayers, index: tuple[int, ...]) -> None:
        """Plot the plane that is shown."""
        assert self._report is not None
        found = photon_transfer(*layers.planes(index))
        self.plot.set_points(0, found.intensity, found.variance)
        report = layers.record_at(self._report, index)
        noise = report["noise_estimate"]
        if noise is None or report["rgb"]:
            self.plot.set_points(1, [], [])
        else:
            # The line has a bend where the intensity falls below the offset.
            steps = np.linspace(found.intensity[0], found.intensity[-1], 33)
            self.plot.set_points(1, steps, NoiseEstimate(**noise).variance(steps))
        self.words.setText(
            "Circles far above the line: structure was removed, too. Far below: noise "
            "was left. A little below is usual, as a part of each pixel's own value is "
            "kept."
        )
