"""Small plots in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from numpy.typing import ArrayLike
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QFontMetrics
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_mpi._napari.listening import Listener

__all__ = ["Plot", "Series", "wrapped_label"]

# By Okabe and Ito, told apart with any colour vision; darker on a light ground.
_COLOURS = {
    "dark": ("#56b4e9", "#e69f00", "#f0f1f2"),
    "light": ("#0072b2", "#b35900", "#202020"),
}
_HEIGHT = 130  # pixels
_LINES_BELOW = 2.6  # room for tick labels and title, in lines of text


@dataclass(frozen=True)
class Series:
    """Values that a plot shows.

    Attributes
    ----------
    name : str
        What the key below the plot calls it.
    colour : int
        Which of the three colours: 0 and 1 stand out, 2 is that of text.
    line : bool
        Whether the points are joined.
    size : int
        Of the points' symbols in pixels, 0 for none.
    """

    name: str
    colour: int
    line: bool = True
    size: int = 0


class Plot(QWidget):  # type: ignore[misc]
    """A plot as wide as the dock, with a key below.

    Drawing takes some milliseconds, where matplotlib's canvas takes fifty and more.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme is followed.
    x, y : str
        What the axes show.
    series : sequence of Series
        What is plotted; empty until `set_points`.
    height : int
        In pixels, without the key.
    """

    def __init__(
        self,
        viewer: Viewer,
        x: str,
        y: str,
        series: Sequence[Series],
        *,
        height: int = _HEIGHT,
    ) -> None:
        super().__init__()
        self._viewer, self._series = viewer, list(series)
        self._titles = {"bottom": x, "left": y}
        self._plot = pg.PlotWidget()
        self._plot.setFixedHeight(height)
        self._plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._plot.setMenuEnabled(False)
        # So that the wheel scrolls the dock.
        self._plot.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # there is nothing to do
        self._plot.hideButtons()
        for side in self._titles:
            # It would print factors like x0.001 at the axis.
            self._plot.getAxis(side).enableAutoSIPrefix(False)
        line = QFontMetrics(self._plot.font()).height()
        self._plot.getAxis("bottom").setHeight(round(_LINES_BELOW * line))
        # The highest tick's label reaches beyond the axis, and so does its title.
        self._plot.getPlotItem().layout.setContentsMargins(0, line // 2, 6, 5)
        self._items = [self._plot.plot([], []) for _ in self._series]
        self._key = wrapped_label()
        self._key.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        layout.addWidget(self._key)
        self._follow_theme()
        self._on_theme = Listener(self._follow_theme)
        viewer.events.theme.connect(self._on_theme.hear)

    def set_points(self, number: int, x: ArrayLike, y: ArrayLike) -> None:
        """Show other values of a series."""
        self._items[number].setData(np.asarray(x, float), np.asarray(y, float))
        self._write_key()

    def points(self, number: int) -> tuple[list[float], list[float]]:
        """Return what is shown of a series."""
        x, y = self._items[number].getOriginalDataset()
        return ([], []) if x is None else (list(x), list(y))

    def set_x_title(self, title: str) -> None:
        """Name the axis below anew."""
        if title != self._titles["bottom"]:
            self._titles["bottom"] = title
            self._follow_theme()

    def _follow_theme(self, event: Any = None) -> None:
        theme = get_theme(self._viewer.theme)
        text = theme.text.as_hex()
        colours = self._colours()
        self._plot.setBackground(theme.background.as_hex())
        for side, title in self._titles.items():
            axis = self._plot.getAxis(side)
            axis.setPen(theme.secondary.as_hex())
            axis.setTextPen(text)
            axis.setLabel(title, color=text)
        for series, item in zip(self._series, self._items, strict=True):
            colour = colours[series.colour]
            item.setPen(pg.mkPen(colour, width=1.5) if series.line else None)
            item.setSymbol("o" if series.size else None)
            item.setSymbolSize(series.size)
            item.setSymbolPen(colour)
            item.setSymbolBrush(colour if series.line else None)
        self._write_key()

    def _colours(self) -> tuple[str, str, str]:
        background = QColor(get_theme(self._viewer.theme).background.as_hex())
        return _COLOURS["light" if background.lightness() > 127 else "dark"]

    def _write_key(self) -> None:
        """Name what is shown."""
        colours = self._colours()
        entries = [
            f'<span style="color: {colours[series.colour]}">'
            f"{'━' if series.line else '○'}</span>&nbsp;{series.name}"
            for number, series in enumerate(self._series)
            if self.points(number)[0]
        ]
        self._key.setText(" &nbsp; ".join(entries))


def wrapped_label(text: str = "") -> Any:
    """Make a label that takes more lines instead of more width."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
