"""What the dock says is about the image that is chosen."""

import numpy as np
import pytest
from docks import TIMEOUT, finish
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from napari_mpi.pipeline.api import Progress


@pytest.fixture
def widget(widget):
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 2
    return widget


def test_what_is_said_of_one_image_is_not_said_of_another(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    finish(widget, qtbot)
    words = widget.trust.words.text()
    assert widget.status.value.startswith("Done")
    assert not words.startswith("Last result")

    viewer.add_image(noisy + 1, name="other")
    assert widget.form.image.value.name == "other"
    assert (widget.status.value, widget.progress.value) == ("Ready.", 0)
    assert widget.trust.words.text() == f"Last result, of cells: {words}"

    widget.form.image.value = cells
    assert widget.trust.words.text() == words
    widget.form.image.value = viewer.layers["cells denoised"]
    assert widget.trust.words.text() == f"The run that made this image: {words}"
    viewer.layers.remove(cells)
    del cells
    widget.form.image.value = viewer.layers["other"]
    assert widget.trust.words.text() == f"Last result, of cells: {words}"


def test_a_result_that_is_denoised_tells_of_that_run(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.seed.value = 5
    widget.run()
    finish(widget, qtbot)
    widget.form.image.value = viewer.layers["cells denoised"]
    assert widget.trust.words.text().startswith("The run that made this image:")
    widget.form.advanced.seed.value = 6
    widget.run()
    finish(widget, qtbot)
    assert widget.form.image.value.name == "cells denoised"
    assert not widget.trust.words.text().startswith("The run that")
    widget.replay.command_button.clicked.emit(True)
    assert "--seed 6" in QApplication.clipboard().text()


def test_a_failed_run_is_not_told_of_another_image(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy[:10, :10], name="tiny")
    widget.run()
    finish(widget, qtbot)
    assert widget.status.value.startswith("Not done")
    viewer.add_image(noisy, name="cells")
    assert (widget.status.value, widget.progress.value) == ("Ready.", 0)


def test_an_image_that_is_opened_takes_the_words_about_its_absence_away(
    viewer, widget, noisy
):
    widget.run()
    assert widget.status.value.startswith("There is no image")
    viewer.add_image(noisy, name="cells")
    assert widget.status.value == "Ready."


def test_a_run_that_ends_while_another_image_is_selected_names_its_own(
    viewer, widget, noisy, qtbot
):
    other = viewer.add_image(noisy, name="other")
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    viewer.layers.selection.active = other
    widget.cancel()
    finish(widget, qtbot)
    assert widget.form.image.value is other
    assert widget.status.value == "cells: Cancelled; nothing was changed."


def test_a_new_run_hides_the_words_of_the_one_before(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.run()
    finish(widget, qtbot)
    words = widget.trust.words.text()
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    assert widget.trust.words.isHidden()
    widget.cancel()
    finish(widget, qtbot)
    assert not widget.trust.words.isHidden()
    assert widget.trust.words.text() == f"Last result, of cells: {words}"


def test_what_is_cancelled_cannot_be_kept(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: widget.keep_button.enabled, timeout=TIMEOUT)
    widget.cancel()
    assert not widget.keep_button.enabled
    finish(widget, qtbot)


def test_stop_and_keep_is_answered_at_once(viewer, widget, noisy, qtbot):
    a, b = viewer.add_image(noisy, name="a"), viewer.add_image(noisy, name="b")
    viewer.layers.selection = {a, b}
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: widget.keep_button.enabled, timeout=TIMEOUT)
    widget.keep_button.clicked.emit(True)
    widget._on_yielded(Progress("filling", 0, 1, 1, 9, 0.5))
    assert not widget.keep_button.enabled
    assert widget.status.value == "Stopping after this step …"
    finish(widget, qtbot)
    assert widget.status.value.splitlines()[-1] == "b: Not begun."


@pytest.mark.parametrize("blending", ["additive", "translucent"])
def test_an_input_whose_colours_would_mix_with_the_result_is_hidden(
    viewer, widget, noisy, qtbot, blending
):
    cells = viewer.add_image(noisy, name="cells", blending=blending)
    widget.run()
    finish(widget, qtbot)
    mixes = blending == "additive"
    assert cells.visible is not mixes
    assert ("cells is hidden now" in widget.status.value) is mixes


def test_an_input_is_not_hidden_together_with_layers_that_are_linked_to_it(
    viewer, widget, noisy, qtbot
):
    cells, other = (
        viewer.add_image(noisy, name=name, blending="additive")
        for name in ("cells", "other")
    )
    viewer.layers.link_layers([cells, other])
    widget.form.image.value = cells
    widget.run()
    finish(widget, qtbot)
    assert cells.visible
    assert other.visible
    assert "cells is still to be seen" in widget.status.value


def test_it_is_hidden_when_a_run_is_stopped_and_kept_too(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(np.stack([noisy] * 2), name="cells", blending="additive")
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: widget.keep_button.enabled, timeout=TIMEOUT)
    widget.stop_and_keep()
    finish(widget, qtbot)
    assert not cells.visible
    assert "what was not begun is still noisy. cells is hidden" in widget.status.value


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
    assert "`image = viewer.layers['cells'].data`" in widget.status.value
    widget.replay.command_button.clicked.emit(True)
    assert "IN.tif" in widget.status.value


def test_the_pixels_of_a_pyramid_are_those_of_its_full_resolution(
    viewer, widget, noisy, qtbot
):
    viewer.add_image([noisy, noisy[::2, ::2]], multiscale=True, name="it's")
    widget.run()
    finish(widget, qtbot)
    widget.replay.python_button.clicked.emit(True)
    said = widget.status.value
    line = said[said.index("image = ") : said.rindex("`")]
    found = {"viewer": viewer}
    exec(line, found)
    assert np.array_equal(found["image"], noisy)


def test_a_result_is_not_taken_for_the_image_that_it_was_made_from(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(noisy, name="cells")
    widget.run()
    finish(widget, qtbot)
    widget.form.image.value = viewer.layers["cells denoised"]
    widget.replay.python_button.clicked.emit(True)
    assert "the pixels that this was made from" in widget.status.value
