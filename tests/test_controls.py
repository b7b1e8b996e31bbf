import pytest
from magicgui.widgets import CheckBox
from qtpy.QtCore import QPoint

from napari_mpi._napari.batch_dock import BatchWidget
from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.train_dock import TrainWidget


@pytest.mark.parametrize("dock", [DenoiseWidget, BatchWidget, TrainWidget])
def test_the_controls_of_a_form_begin_below_each_other(make_napari_viewer, dock, qtbot):
    viewer = make_napari_viewer(show=True)
    widget = dock(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(widget.form.native.isVisible)
    labelled = [control for control in widget.form if not isinstance(control, CheckBox)]
    shown = [control.native for control in labelled if control.visible]
    assert len(shown) > 3

    def begins() -> set[int]:
        return {control.mapTo(widget, QPoint()).x() for control in shown}

    qtbot.waitUntil(lambda: len(begins()) == 1)
    before = begins().pop()
    viewer.window._qt_window.setStyleSheet("QLabel { font-size: 17pt }")
    qtbot.waitUntil(lambda: len(begins()) == 1 and begins().pop() > before)


def test_a_dock_that_scrolls_is_wide_enough_for_its_bar(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(900, 500)
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.form.advanced_fold.expand()
    qtbot.waitUntil(widget.verticalScrollBar().isVisible)
    content = widget.widget()
    qtbot.waitUntil(
        lambda: widget.viewport().width() >= content.minimumSizeHint().width()
    )
