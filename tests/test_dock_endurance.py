"""The window stays alive during a run, and many runs leave nothing behind."""

import gc
import threading
import time

import numpy as np
import psutil
import pytest
from docks import finish
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi.engine.passes import Passes
from napari_mpi.pipeline.api import Denoising

TIMEOUT = 300_000  # milliseconds; generous, for a slow machine
# The window may wait for so long, in seconds, where the machine is quick.
LONGEST_WAIT = 0.1


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer):
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MPI denoise")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 4
    return widget


class Heartbeat:
    """Watches how long the main thread is busy between two turns of its event loop.

    It counts the processor time of the main thread, which other programs on a busy
    machine do not take part in.
    """

    def __init__(self):
        self.busy = []
        self._last = time.thread_time()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(2)

    def _beat(self):
        now = time.thread_time()
        self.busy.append(now - self._last)
        self._last = now

    def longest(self):
        """The longest since it was asked last."""
        longest, self.busy = max(self.busy), []
        return longest

    def stop(self):
        self._timer.stop()


def test_the_main_thread_is_never_busy_for_long_during_a_run(
    viewer, widget, rng, qtbot, monkeypatch
):
    # A layer so large that a computation on it is felt, and a network that costs
    # nothing.
    monkeypatch.setattr(
        Passes,
        "_fill_tile",
        lambda self, tile, weight, mask, predicted: predicted.add_(
            self._plane.noisy * 0.9
        ),
    )
    widget.form.noise.value = "independent"
    widget.form.advanced.n_iter.value = 0
    widget.form.advanced.n_passes.value = 2
    image = rng.poisson(50, (3, 512, 512)).astype(np.uint16)
    small = viewer.add_image(image[0, :40, :40], name="small")
    widget.run()  # what is loaded by the first run only is no part of this
    finish(widget, qtbot, TIMEOUT)
    heartbeat = Heartbeat()
    qtbot.wait(100)
    heartbeat.longest()
    # What napari takes to add and show such a layer is the measure of the machine.
    layer = viewer.add_image(image, name="large", contrast_limits=(0, 100))
    qtbot.wait(200)
    machine = heartbeat.longest()
    viewer.layers.selection = {small}
    widget.form.image.value = layer
    widget.run()
    finish(widget, qtbot, TIMEOUT)
    qtbot.wait(50)
    heartbeat.stop()
    assert "large denoised" in viewer.layers
    assert len(heartbeat.busy) > 20
    assert heartbeat.longest() < max(LONGEST_WAIT, 3 * machine)


def test_fifty_runs_with_random_cancels_leave_nothing_behind(
    viewer, widget, noisy, qtbot
):
    rng = np.random.default_rng(50)
    viewer.add_image(noisy[:16, :16], name="cells")
    widget.form.advanced.n_passes.value = 2

    def one_run(cancel_after: int | None) -> None:
        widget.run()
        if cancel_after is not None:
            for _ in range(cancel_after):
                QApplication.processEvents()
            widget.cancel()
        finish(widget, qtbot, TIMEOUT)
        for layer in list(viewer.layers)[1:]:
            assert cancel_after is None or widget.status.value.startswith("Done")
            viewer.layers.remove(layer)

    def settle() -> None:
        for _ in range(5):
            QApplication.sendPostedEvents(None, 52)  # deletions that are put off
            QApplication.processEvents()
        gc.collect()

    for cancel_after in (None, 0, 5):  # what is loaded and kept once
        one_run(cancel_after)
    settle()
    threads = set(threading.enumerate())
    widgets = len(QApplication.allWidgets())
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(50):
        cancelled = rng.random() < 0.8
        one_run(int(rng.integers(0, 40)) if cancelled else None)
    settle()
    assert not widget.running
    assert [layer.name for layer in viewer.layers] == ["cells"]
    # Threads of a pool may come; none is left that waits for ever.
    left = {one for one in set(threading.enumerate()) - threads if not one.daemon}
    assert not left
    assert len(QApplication.allWidgets()) <= widgets + 2
    # Asking an object itself for its class would wake modules that load lazily.
    alive = gc.get_objects()
    assert sum(issubclass(type(one), Image) for one in alive) <= 4
    assert sum(issubclass(type(one), Denoising) for one in alive) <= 2
    # A network and what it computes with take more than this in fifty runs.
    assert process.memory_info().rss - before < 150e6
