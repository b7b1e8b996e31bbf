"""A small loss curve in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

__all__ = ["LossCurve"]

_HEIGHT = 130  # pixels
# Steps are averaged to so many points, which the eye can follow.
_MAX_POINTS = 100


class LossCurve(FigureCanvasQTAgg):  # type: ignore[misc]
    """A curve over steps, as wide as the dock.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._figure = Figure(layout="constrained")
        super().__init__(self._figure)
        self._viewer = viewer
        self._axes = self._figure.add_subplot()
        (self.line,) = self._axes.semilogy([], [], linewidth=1.5)
        self._axes.set_xlabel("step", fontsize=8)
        self._axes.set_ylabel("error", fontsize=8)
        self._axes.tick_params(which="both", labelsize=7)
        self.setMinimumHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setToolTip(
            "How far the network is off when it fills in hidden pixels of the images "
            "it learns from. It should fall, and level off at the end."
        )
        self._follow_theme()
        viewer.events.theme.connect(self._follow_theme)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a modest size; a figure's own is larger than a dock."""
        return QSize(200, _HEIGHT)

    def show_losses(self, losses: Sequence[float]) -> None:
        """Show the losses of all steps so far."""
        n_points = min(len(losses), _MAX_POINTS)
        parts = np.array_split(np.asarray(losses, float), max(n_points, 1))
        last_steps = np.cumsum([len(part) for part in parts])
        # A loss of exactly 0 has no place on a logarithmic axis.
        means = [max(float(part.mean()), 1e-9) for part in parts if len(part)]
        self.line.set_data(last_steps[: len(means)], means)
        self._axes.relim()
        self._axes.autoscale_view()
        self.draw_idle()

    def _follow_theme(self, event: Any = None) -> None:
        theme = get_theme(self._viewer.theme)
        text, ground = theme.text.as_hex(), theme.background.as_hex()
        self._figure.set_facecolor(ground)
        self._axes.set_facecolor(ground)
        self._axes.tick_params(which="both", colors=text)
        for spine in self._axes.spines.values():
            spine.set_color(theme.secondary.as_hex())
        self._axes.xaxis.label.set_color(text)
        self._axes.yaxis.label.set_color(text)
        # Colours that are told apart from either ground with any colour vision.
        dark = QColor(ground).lightness() < 128
        self.line.set_color("#56b4e9" if dark else "#0072b2")
        self.draw_idle()
