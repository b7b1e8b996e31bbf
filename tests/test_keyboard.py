import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QProgressBar, QWidget

from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.keyboard import controls

# The least width in pixels that a dock must fit into.
WIDTH = 300


@pytest.fixture
def widget(make_napari_viewer, noisy):
    """The dock with all of its controls to be seen."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image([noisy] * 3, name="cells")
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
    dock = widget.native
    shown = [*controls(dock), *dock.findChildren(QProgressBar), widget.status.native]
    assert len(shown) > 20
    for control in shown:
        said = tooltip(control, dock)
        assert said.endswith("."), (control, control.accessibleName(), said)


def test_every_control_that_can_be_reached_has_a_name(widget):
    for control in controls(widget.native):
        named = control
        while named is not widget.native and not named.accessibleName():
            named = named.parentWidget()
        text = control.text() if isinstance(control, QAbstractButton) else ""
        assert text or named is not widget.native, control


def test_tab_goes_through_the_controls_from_top_to_bottom(widget):
    dock = widget.native
    widget.keep_button.enabled = widget.cancel_button.enabled = True
    in_order = controls(dock)
    in_order[0].setFocus()
    visited = []
    for _ in range(len(in_order)):
        visited.append(QApplication.focusWidget())
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    visited = [one for one in visited if one in in_order]
    places = [one.mapTo(dock, QPoint(0, 0)) for one in visited]
    rows = [place.y() for place in places]
    assert len(visited) > 15
    assert all(later > row - 8 for row, later in zip(rows, rows[1:], strict=False))


def test_the_buttons_have_letters_of_their_own(widget):
    buttons = [
        widget.run_button,
        widget.try_button,
        widget.keep_button,
        widget.cancel_button,
    ]
    letters = [button.text.partition("&")[2][:1].lower() for button in buttons]
    assert all(letters)
    assert len(set(letters)) == len(buttons)


def test_alt_and_its_letter_press_a_button(widget, qtbot):
    widget.native.window().activateWindow()
    with qtbot.waitSignal(widget.try_button.native.clicked, timeout=5000):
        widget.native.setFocus()
        QTest.keyClick(widget.native, Qt.Key.Key_T, Qt.KeyboardModifier.AltModifier)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)


def test_the_dock_fits_into_a_narrow_window(widget):
    assert widget.native.minimumSizeHint().width() <= WIDTH
    widget.status.value = "A long sentence about the noise that was found. " * 9
    widget.run_button.text = "&Run on 12 layers"
    QApplication.processEvents()
    assert widget.native.minimumSizeHint().width() <= WIDTH
