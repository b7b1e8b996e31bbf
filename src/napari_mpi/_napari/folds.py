"""Parts of a dock that stay small until they are unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QSizePolicy
from superqt import QCollapsible

__all__ = ["Fold", "one_at_a_time"]

# What is shown follows its data at this interval, and costs nothing while folded.
_REDRAW = 300  # milliseconds
_ANY_HEIGHT = 2**24 - 1  # Qt's own limit


class Fold(QCollapsible):  # type: ignore[misc]
    """A folded part of a dock, whose `draw` is called soon after `later`.

    Parameters
    ----------
    title : str
        What is seen while it is folded.
    tooltip : str
        What is inside, in a plain sentence.
    """

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__(title)
        self.setToolTip(tooltip)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW)
        self._timer.timeout.connect(self.now)
        self.toggled.connect(self.now)

    def expand(self, animate: bool = False) -> None:
        """Unfold at once, to whatever height the content comes to need."""
        super().expand(animate=False)
        self.content().setMaximumHeight(_ANY_HEIGHT)

    def collapse(self, animate: bool = False) -> None:
        """Fold at once."""
        super().collapse(animate=False)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Leave the height as it is; the parent would cut off lines that wrap."""
        return False

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw the arrow anew, in the theme's colour."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self.setCollapsedIcon("▲")
            self.setExpandedIcon("▼")

    def later(self, event: Any = None) -> None:
        """Draw soon, and once for all calls until then."""
        if self.isExpanded() and not self._timer.isActive():
            self._timer.start()

    def now(self, event: Any = None) -> None:
        """Draw what is seen."""
        if self.isExpanded():
            self.draw()

    def draw(self) -> None:
        """Bring the content up to date."""


def one_at_a_time(folds: Sequence[QCollapsible]) -> None:
    """Fold the others when one of the folds is unfolded, so that all fit the dock."""

    def fold_others(opened: QCollapsible, is_open: bool) -> None:
        if is_open:
            for fold in folds:
                if fold is not opened:
                    fold.collapse(animate=False)

    for fold in folds:
        fold.toggled.connect(partial(fold_others, fold))
