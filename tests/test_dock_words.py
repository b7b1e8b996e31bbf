"""What the dock says is about the image that is chosen."""

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_mpi.pipeline.api import Progress

TIMEOUT = 60_000  # milliseconds


@pytest.fixture
def widget(denoise_dock):
    denoise_dock.form.advanced.n_iter.value = 1
    denoise_dock.form.advanced.n_passes.value = 2
    return denoise_dock


def finish(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)


def test_what_is_said_of_one_image_is_not_said_of_another(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    finish(widget, qtbot)
    words = widget.trust.words.text()
    assert widget.status.value.startswith("Done")
    assert not words.startswith("Last run")

    viewer.add_image(noisy + 1, name="other")
    assert widget.form.image.value.name == "other"
    assert (widget.status.value, widget.progress.value) == ("Ready.", 0)
    assert widget.trust.words.text() == f"Last run, of cells: {words}"

    for name in ("cells", "cells denoised"):
        widget.form.image.value = viewer.layers[name]
        assert widget.trust.words.text() == words
    viewer.layers.remove(cells)
    del cells
    widget.form.image.value = viewer.layers["other"]
    assert widget.trust.words.text() == f"Last run, of cells: {words}"


def test_nothing_can_be_kept_while_the_network_learns(viewer, widget, noisy):
    viewer.add_image(noisy, name="cells")
    widget.run()
    try:
        assert not widget.keep_button.enabled
        widget._on_yielded(Progress("adapting", 0, 1, 1, 9, 0.1, 0.5))
        assert not widget.keep_button.enabled
        widget._on_yielded(Progress("filling", 0, 1, 1, 9, 0.5))
        assert widget.keep_button.enabled
    finally:
        widget.cancel()


@pytest.mark.parametrize("button", ["run_button", "try_button"])
@pytest.mark.parametrize("labels", [False, True])
def test_without_an_image_the_dock_says_what_is_missing(viewer, widget, button, labels):
    if labels:
        viewer.add_labels(np.zeros((20, 20), int))
    getattr(widget, button).clicked.emit(True)
    assert not widget.running
    assert widget.status.value.startswith("There is no image layer to denoise")


def test_an_image_that_is_refused_is_no_failure_of_the_program(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(noisy[:10, :10], name="tiny")
    notification_manager.records.clear()
    widget.run()
    finish(widget, qtbot)
    (record,) = notification_manager.records
    assert (str(record.severity), widget.progress.value) == ("warning", 0)
    assert "10x10 pixels, and at least 16x16 are needed" in record.message
    assert "at least 16x16" in widget.status.value


def test_a_run_that_is_cancelled_leaves_no_progress(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.run()
    widget.progress.value = 400
    widget.cancel()
    finish(widget, qtbot)
    assert widget.progress.value == 0
    assert widget.status.value.startswith("Cancelled")


def test_what_is_copied_is_said(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.run()
    finish(widget, qtbot)
    widget.replay.python_button.clicked.emit(True)
    assert widget.status.value.startswith("Copied")
    assert "image" in widget.status.value
    widget.replay.command_button.clicked.emit(True)
    assert "IN.tif" in widget.status.value
