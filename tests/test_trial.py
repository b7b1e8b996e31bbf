"""Trying settings on what is visible."""

import numpy as np
import pytest
from docks import TIMEOUT, finish
from napari.utils.notifications import notification_manager

from napari_mpi._napari.trial import TrialStep
from napari_mpi.pipeline.api import Progress
from napari_mpi.pipeline.forecast import Forecast
from napari_mpi.pipeline.stack_denoising import StackDenoising


def test_settings_can_be_tried_on_the_visible_region(viewer, widget, noisy, qtbot):
    layer = viewer.add_image(np.stack([noisy] * 3), name="cells")
    viewer.dims.set_current_step(0, 1)
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 2
    widget.try_button.clicked.emit(True)
    assert widget.running
    finish(widget, qtbot)
    assert [one.name for one in viewer.layers] == [
        "cells",
        "cells region fast",
        "cells region auto",
    ]
    tried = viewer.layers["cells region fast"]
    assert tried.data.shape == (1, 40, 48)
    assert tuple(tried.data_to_world((0, 0, 0))) == (1.0, 0.0, 0.0)
    assert not np.array_equal(tried.data[0], noisy)
    assert widget.form.image.value is layer
    assert "With fast, the whole layer takes about" in widget.status.value
    assert "With auto" in widget.status.value
    assert widget.progress.value == 1000
    assert widget.run_button.enabled
    assert widget.try_button.enabled


def test_a_trial_tells_where_it_stands(viewer, widget, noisy):
    viewer.add_image(noisy, name="cells")
    widget.try_region()
    try:
        step = Progress("adapting", 0, 1, 3, 9, 0.2, 0.5)
        widget._on_yielded(TrialStep("fast", step, 0.1))
        assert widget.progress.value == 100
        said = "Trying fast on a part of cells, step 3 of 9 …"
        assert widget.status.value == said
    finally:
        widget.cancel()


def test_a_trial_counts_the_learning_of_each_channel(
    viewer, widget, noisy, qtbot, monkeypatch
):
    def one_second_each(run, n_planes):
        return Forecast(n_planes, 2**20)

    monkeypatch.setattr(StackDenoising, "forecast", one_second_each)
    stack = np.stack([np.stack([noisy, noisy])] * 3)
    viewer.add_image(stack, name="cells", axis_labels=("c", "z", "y", "x"))
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 2
    widget.try_region()
    finish(widget, qtbot)
    assert "With fast, the whole layer takes about 6 s and 1 MiB" in widget.status.value


def test_a_trial_on_an_empty_plane_promises_nothing_of_the_others(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(np.stack([np.full_like(noisy, 7), noisy]), name="cells")
    viewer.dims.set_current_step(0, 0)
    widget.try_region()
    finish(widget, qtbot)
    assert "nothing is to be removed from this plane" in widget.status.value
    assert "takes" not in widget.status.value


def test_a_trial_can_be_cancelled(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 100_000
    widget.try_region()
    widget.cancel()
    finish(widget, qtbot)
    assert len(viewer.layers) == 1
    assert "Cancelled" in widget.status.value


def test_what_a_trial_has_shown_outlasts_its_cancelling(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 1000
    widget.try_region()
    qtbot.waitUntil(lambda: "cells region fast" in viewer.layers, timeout=TIMEOUT)
    widget.cancel()
    finish(widget, qtbot)
    assert widget.status.value.startswith("With fast, the whole layer takes")
    assert widget.status.value.endswith("The trial of auto was cancelled.")
    # It is of this image only.
    viewer.add_image(noisy, name="other")
    assert widget.status.value == "Ready."
    viewer.layers.remove(cells)


@pytest.mark.parametrize("view", [{"ndisplay": 3}, {"order": (2, 0, 1)}])
def test_there_is_no_trial_where_no_plane_is_to_be_seen(viewer, widget, noisy, view):
    viewer.add_image(np.stack([noisy] * 3), name="cells")
    for name, value in view.items():
        setattr(viewer.dims, name, value)
    widget.try_region()
    assert not widget.running
    assert "show Y and X in 2-D first" in widget.status.value


def test_there_is_no_trial_where_the_slider_stands_outside_the_image(
    viewer, widget, noisy
):
    viewer.add_image(np.stack([noisy] * 10), name="long")
    viewer.add_image(np.stack([noisy] * 3), name="short")
    viewer.dims.set_point(0, 8)
    widget.try_region()
    assert not widget.running
    assert "No single plane of short is to be seen" in widget.status.value


def test_there_is_a_hint_when_there_is_nothing_to_try(widget):
    notification_manager.records.clear()
    widget.try_region()
    assert "open an image first" in notification_manager.records[-1].message
