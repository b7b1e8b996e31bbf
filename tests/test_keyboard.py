from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QProgressBar,
    QScrollArea,
    QWidget,
)

from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.keyboard import controls

# The least width in pixels that a dock must fit into.
WIDTH = 300


@pytest.fixture
def widget(make_napari_viewer, noisy):
    """The dock with all of its controls to be seen."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.stack([noisy] * 3), name="cells")
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MPI denoise")
    widget.form.planes.which.value = "range"
    widget.form.weights.value = "from file…"
    widget.form.advanced_fold.expand(animate=False)
    QApplication.processEvents()
    return widget


def tooltip(control: QWidget, dock: QWidget) -> str:
    """What Qt shows at this control: its own tooltip, or that of what it lies in."""
    while control is not dock:
        if control.toolTip():
            return control.toolTip()
        control = control.parentWidget()
    return ""


def test_every_control_has_a_tooltip_that_is_a_sentence(widget):
    dock = widget
    shown = [*controls(dock), *dock.findChildren(QProgressBar), widget.status.native]
    assert len(shown) > 20
    for control in shown:
        said = tooltip(control, dock)
        assert said.endswith("."), (control, control.accessibleName(), said)


def test_every_control_that_can_be_reached_has_a_name(widget):
    for control in controls(widget):
        named = control
        while named is not widget and not named.accessibleName():
            named = named.parentWidget()
        text = control.text() if isinstance(control, QAbstractButton) else ""
        assert text or named is not widget, control


def test_tab_goes_through_the_controls_from_top_to_bottom(qtbot):
    # A window of its own, so that the chain holds nothing else.
    widget = DenoiseWidget(ViewerModel())
    widget.form.planes.follow(Image(np.zeros((3, 20, 20))))
    widget.form.planes.which.value = "range"
    widget.form.advanced_fold.expand(animate=False)
    widget.show()
    QApplication.processEvents()
    in_order = controls(widget)
    chain, here = [], in_order[0]
    while here not in chain:
        chain.append(here)
        here = here.nextInFocusChain()
    assert [one for one in chain if one in in_order] == in_order
    shown = [
        one
        for one in in_order
        # An area that scrolls ends below what it holds.
        if one.isVisibleTo(widget) and not isinstance(one, QScrollArea)
    ]
    assert len(shown) > 18
    rows = [one.mapTo(widget, QPoint(0, one.height())).y() for one in shown]
    # Controls of one row may differ in height.
    assert all(below > row - 10 for row, below in pairwise(rows))
    widget.close()


def test_each_button_is_pressed_by_alt_and_a_letter_of_its_own(widget):
    shortcuts = [
        button.native.shortcut().toString()
        for button in (
            widget.run_button,
            widget.try_button,
            widget.keep_button,
            widget.cancel_button,
        )
    ]
    assert shortcuts == ["Alt+R", "Alt+T", "Alt+K", "Alt+C"]


def test_the_dock_fits_into_a_narrow_window(widget):
    assert widget.minimumSizeHint().width() <= WIDTH
    widget.status.value = "A long sentence about the noise that was found. " * 9
    widget.run_button.text = "&Run on 12 layers"
    QApplication.processEvents()
    assert widget.minimumSizeHint().width() <= WIDTH


def test_the_unfolded_dock_fits_onto_a_small_screen_and_scrolls(widget):
    widget.form.advanced_fold.expand(animate=False)
    widget.resize(WIDTH, 500)
    QApplication.processEvents()
    assert widget.minimumSizeHint().height() <= 400
    assert widget.widget().height() > widget.viewport().height()
    assert widget.verticalScrollBar().maximum() > 0
