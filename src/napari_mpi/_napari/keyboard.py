"""Make a dock usable from the keyboard and by screen readers."""

from __future__ import annotations

from itertools import pairwise

from magicgui.widgets import Container, Widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QWidget

__all__ = ["controls", "make_reachable"]


def make_reachable(dock: QWidget, *parts: Widget) -> None:
    """Name every control as its label does, and let Tab go through them in order.

    Parameters
    ----------
    dock : QWidget
        The dock.
    *parts : Widget
        Controls in it, and containers of controls.
    """
    for part in parts:
        _name(part, "", "")
    in_order = controls(dock)
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


def _name(widget: Widget, label: str, tooltip: str) -> None:
    label, tooltip = widget.label or label, widget.tooltip or tooltip
    # Without a name a screen reader would say "spin box" and no more.
    widget.native.setAccessibleName(label)
    widget.native.setAccessibleDescription(tooltip)
    if isinstance(widget, Container):
        for part in widget:
            _name(part, label, tooltip)


def _in_layout_order(parent: QWidget) -> list[QWidget]:
    inside = parent.widget() if isinstance(parent, QScrollArea) else parent
    layout = inside.layout()
    if layout is None:
        return []
    found = []
    for place in range(layout.count()):
        child = layout.itemAt(place).widget()
        if child is not None:
            found += [child, *_in_layout_order(child)]
    return found
