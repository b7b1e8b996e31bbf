"""Make a dock usable from the keyboard and by screen readers."""

from __future__ import annotations

from itertools import pairwise

from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QWidget

__all__ = ["controls", "make_reachable"]


def make_reachable(dock: Container, *folded: Container) -> None:
    """Name every control as its label does, and let Tab go through them in order.

    Parameters
    ----------
    dock : Container
        The dock.
    *folded : Container
        Controls that Qt has put into it, where magicgui does not see them.
    """
    for container in (dock, *folded):
        _name_controls(container, "")
    in_order = controls(dock.native)
    for before, after in pairwise(in_order):
        QWidget.setTabOrder(before, after)


def controls(inside: QWidget) -> list[QWidget]:
    """Return all that Tab can reach, in the order in which it is laid out."""
    found = [
        child
        for child in _in_layout_order(inside)
        if child.focusPolicy() & Qt.FocusPolicy.TabFocus
        # Parts of a spin box are reached with it.
        and child.focusProxy() is None
    ]
    return found


def _name_controls(container: Container, tooltip: str) -> None:
    for widget in container:
        said = widget.tooltip or tooltip
        # Without a name a screen reader would say "spin box" and no more.
        widget.native.setAccessibleName(widget.label or container.label)
        widget.native.setAccessibleDescription(said)
        if isinstance(widget, Container):
            _name_controls(widget, said)


def _in_layout_order(parent: QWidget) -> list[QWidget]:
    layout = parent.layout()
    if layout is None:
        return []
    found = []
    for place in range(layout.count()):
        child = layout.itemAt(place).widget()
        if child is not None:
            inside = child.widget() if isinstance(child, QScrollArea) else child
            found += [child, *_in_layout_order(inside)]
    return found
