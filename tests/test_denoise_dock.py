import time

import dask.array
import numpy as np
import pytest
from docks import TIMEOUT, close, finish
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive

import napari_mpi.weights.loading
from napari_mpi._napari import workers
from napari_mpi.engine.passes import Passes
from napari_mpi.pipeline.api import iter_denoise


def test_from_the_plugins_menu_to_two_new_layers(viewer, noisy, qtbot):
    layer = viewer.add_image(noisy, name="cells", scale=(0.5, 0.25))
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    assert widget.form.image.value is layer
    widget.form.advanced.n_iter.value = 3
    widget.run_button.clicked.emit(True)
    assert widget.running
    assert not widget.run_button.enabled
    finish(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == [
        "cells",
        "cells noise map",
        "cells denoised",
    ]
    denoised = viewer.layers["cells denoised"]
    assert denoised.data.dtype == noisy.dtype
    assert np.allclose(denoised.scale, (0.5, 0.25))
    assert not np.array_equal(denoised.data, noisy)
    assert np.array_equal(layer.data, noisy)
    assert widget.status.value.startswith("Done")
    assert widget.run_button.enabled


def test_the_widget_stands_in_the_layers_filter_menu(viewer):
    import npe2
    from app_model.types import MenuItem
    from napari._app_model import get_app_model

    npe2.PluginManager.instance().discover()
    menus = get_app_model().menus.get_menu("napari/layers/filter")
    ids = [item.command.id for item in menus if isinstance(item, MenuItem)]
    assert any(identifier.startswith("napari-mpi") for identifier in ids)


def test_a_second_run_adds_new_layers_and_keeps_the_choice(
    viewer, widget, noisy, qtbot
):
    layer = viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    for _ in range(2):
        widget.run()
        finish(widget, qtbot)
        assert widget.form.image.value is layer
    assert len(viewer.layers) == 5


def test_cancel_in_mid_run_leaves_nothing(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy)
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "step" in widget.status.value, timeout=TIMEOUT)
    widget.cancel_button.clicked.emit(True)
    finish(widget, qtbot)
    assert len(viewer.layers) == 1
    assert "Cancelled" in widget.status.value
    assert widget.run_button.enabled
    assert not widget.cancel_button.enabled


def test_stop_and_keep_adds_the_estimate_so_far(viewer, widget, noisy, qtbot):
    viewer.add_image(np.stack([noisy, noisy]), name="stack")
    widget.form.preset.value = "paper-fast"
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "step" in widget.status.value, timeout=TIMEOUT)
    widget.keep_button.clicked.emit(True)
    finish(widget, qtbot)
    denoised = viewer.layers["stack denoised"]
    assert not np.array_equal(denoised.data[0], noisy)
    assert np.array_equal(denoised.data[1], noisy)
    assert denoised.metadata["napari_mpi"]["complete"] is False
    assert widget.status.value.startswith("Stopped after")


def test_there_is_nothing_to_keep_before_the_first_plane_is_filled(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(noisy)
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "Learning" in widget.status.value, timeout=TIMEOUT)
    widget.keep_button.clicked.emit(True)
    finish(widget, qtbot)
    assert len(viewer.layers) == 1
    assert "no plane was filled" in widget.status.value


def test_while_the_network_learns_the_visible_region_has_a_first_look(
    viewer, widget, noisy, qtbot
):
    stack = np.stack([noisy, noisy[::-1]])
    layer = viewer.add_image(stack, name="cells", scale=(1, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "cells first look" in viewer.layers, timeout=TIMEOUT)
    look = viewer.layers["cells first look"]
    steps, noisy_steps = (np.diff(image.astype(float)) for image in (look.data, noisy))
    assert steps.std() < noisy_steps.std()
    assert look.extent.world[:, 0].tolist() == [1, 1]
    np.testing.assert_allclose(look.extent.world[:, 1:], layer.extent.world[:, 1:])
    assert widget.form.image.value is layer
    widget.cancel()
    finish(widget, qtbot)
    assert list(viewer.layers) == [layer]


def test_keep_is_heard_as_soon_as_it_can_be_pressed(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.preset.value = "paper-fast"
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    assert not widget.keep_button.enabled
    qtbot.waitUntil(lambda: widget.keep_button.enabled, timeout=TIMEOUT)
    widget.keep_button.clicked.emit(True)
    finish(widget, qtbot)
    assert "cells denoised" in viewer.layers


def test_a_cancelled_run_is_closed(viewer, widget, noisy, qtbot, monkeypatch):
    runs = []

    def remember(*args, **options):
        runs.append(iter_denoise(*args, **options))
        return runs[-1]

    monkeypatch.setattr(workers, "iter_denoise", remember)
    viewer.add_image(noisy)
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "Learning" in widget.status.value, timeout=TIMEOUT)
    widget.cancel()
    finish(widget, qtbot)
    [run] = runs
    assert list(run) == []


def test_no_first_look_at_a_plane_that_is_not_denoised(viewer, widget, rng, qtbot):
    stack = rng.poisson(30, (4, 40, 48)).astype(np.float32)
    stack[3] = 7
    layer = viewer.add_image(stack, name="cells")
    widget.form.planes.which.value = "range"
    widget.form.planes.first.value, widget.form.planes.last.value = 0, 1
    viewer.dims.set_current_step(0, 3)
    added = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value.name))
    widget.form.advanced.n_iter.value = 2
    widget.run()
    finish(widget, qtbot)
    assert "cells denoised" in added
    assert "cells first look" not in added
    viewer.layers.remove(layer)


def test_the_first_look_makes_place_for_the_result(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    added = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value.name))
    widget.form.advanced.n_iter.value = 3
    widget.form.advanced.seed.value = 4
    widget.run()
    finish(widget, qtbot)
    assert added == ["cells first look", "cells denoised", "cells noise map"]
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", "cells noise map", "cells denoised"]
    expected = napari_mpi.denoise(noisy, n_iter=3, seed=4).image
    assert np.array_equal(viewer.layers["cells denoised"].data, expected)


def test_the_window_stays_live_during_a_run(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy)
    widget.form.advanced.n_iter.value = 100_000
    widget.run()
    qtbot.waitUntil(lambda: "step" in widget.status.value, timeout=TIMEOUT)
    widget.form.advanced.seed.value = 7
    assert widget.form.advanced.seed.value == 7
    assert widget.running
    widget.cancel()
    finish(widget, qtbot)


def test_bad_pixels_arrive_as_a_notification(viewer, widget, noisy, qtbot):
    image = noisy.astype(np.float32)
    image[3, 4] = np.nan
    viewer.add_image(image, contrast_limits=(0, 1))
    notification_manager.records.clear()
    widget.run()
    finish(widget, qtbot)
    messages = [record.message for record in notification_manager.records]
    assert any("1 of 1920 pixels are NaN" in message for message in messages)
    assert "1 of 1920 pixels are NaN" in widget.status.value
    assert len(viewer.layers) == 1


def test_a_failure_of_the_computation_is_not_lost(
    viewer, widget, noisy, qtbot, monkeypatch
):
    def fail(self):
        raise RuntimeError("mat1 and mat2 are on different devices")

    monkeypatch.setattr(napari_mpi.weights.loading.Weights, "build", fail)
    viewer.add_image(noisy)
    widget.run()
    finish(widget, qtbot)
    assert "The computation failed" in widget.status.value
    assert len(viewer.layers) == 1


# Outside of tests superqt only warns, and says nothing else.
@pytest.mark.filterwarnings("ignore:RuntimeError in aborted thread")
def test_an_image_whose_reading_ends_too_early_does_not_block_the_dock(
    viewer, widget, noisy, qtbot
):
    def read(block_info=None):
        if block_info[None]["array-location"][0][0] == 2:
            return next(iter([]))
        return noisy[np.newaxis]

    array = dask.array.map_blocks(
        read, dtype=noisy.dtype, chunks=((1, 1, 1), *[(n,) for n in noisy.shape])
    )
    viewer.add_image(array, contrast_limits=(0, 500))
    viewer.dims.set_point(0, 0)
    widget.run()
    finish(widget, qtbot)
    assert "StopIteration" in widget.status.value
    assert widget.run_button.enabled


def test_a_constant_image_comes_back_with_a_warning(viewer, widget, qtbot):
    viewer.add_image(np.full((20, 20), 9, np.uint8), contrast_limits=(0, 10))
    notification_manager.records.clear()
    widget.run()
    finish(widget, qtbot)
    messages = [record.message for record in notification_manager.records]
    assert any("constant" in message for message in messages)
    assert len(viewer.layers) == 3


def test_without_an_image_there_is_a_hint(widget):
    notification_manager.records.clear()
    widget.run()
    assert "open an image first" in notification_manager.records[-1].message
    assert not widget.running


def test_the_advanced_settings_show_what_preset_and_noise_stand_for(widget):
    widget.form.preset.value = "paper"
    widget.form.noise.value = "independent"
    assert widget.form.advanced.n_iter.value == 1000
    assert widget.form.advanced.mask_ratio.value == pytest.approx(0.3)
    assert widget.form.advanced.averaging.value == pytest.approx(0.99)
    widget.form.noise.value = "strongly-correlated"
    assert widget.form.advanced.pixel_shuffle.value == 2


def test_only_devices_that_exist_are_offered(widget):
    from napari_mpi.engine.devices import available_devices

    assert list(widget.form.device.choices) == ["auto", *available_devices()]


def test_own_weights_are_chosen_from_a_file(viewer, widget, noisy, qtbot, tmp_path):
    import shutil

    own = tmp_path / "lab.safetensors"
    shutil.copy(napari_mpi.weights.folder.BUNDLED["universal"], own)
    viewer.add_image(noisy, name="cells")
    widget.form.weights.value = "from file…"
    widget.form.weights_file.value = own
    widget.form.advanced.n_iter.value = 1
    widget.run()
    finish(widget, qtbot)
    report = viewer.layers["cells denoised"].metadata["napari_mpi"]
    assert report["weights"] == "lab.safetensors"


def test_a_long_text_does_not_pull_the_dock_wide(widget):
    widget.status.value = "short"
    narrow = widget.sizeHint().width()
    widget.status.value = "a long sentence about the noise that was found " * 20
    assert widget.sizeHint().width() == narrow


@pytest.fixture
def slow_passes(monkeypatch):
    """Make passes so slow that what is shown during a run can be looked at."""
    real = Passes._add

    def slowly(self, *args):
        time.sleep(0.05)
        real(self, *args)

    monkeypatch.setattr(Passes, "_add", slowly)


@pytest.mark.usefixtures("slow_passes")
def test_slices_appear_while_a_run_is_going(viewer, widget, noisy, qtbot):
    layer = viewer.add_image(np.stack([noisy] * 4), name="cells", colormap="green")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 20
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    shown = viewer.layers["cells denoised"]
    assert widget.running
    assert widget.form.image.value is layer
    qtbot.waitUntil(lambda: (shown.data[0] != noisy).any(), timeout=TIMEOUT)
    assert widget.running
    assert shown.colormap.name == "green"
    assert np.array_equal(shown.data[3], noisy)
    finish(widget, qtbot)
    assert [one.name for one in viewer.layers] == [
        "cells",
        "cells noise map",
        "cells denoised",
    ]
    assert viewer.layers["cells denoised"] is shown
    assert viewer.layers.selection.active is shown
    assert (shown.data[3] != noisy).any()
    assert shown.metadata["napari_mpi"]["complete"]
    noise_map = viewer.layers["cells noise map"].data
    assert np.array_equal(shown.data + noise_map, layer.data)


@pytest.mark.usefixtures("slow_passes")
def test_cancelling_takes_away_what_was_shown(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    widget.cancel()
    finish(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells"]


@pytest.mark.usefixtures("slow_passes")
def test_what_is_shown_can_be_removed_during_the_run(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 60
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    viewer.layers.remove("cells denoised")
    finish(widget, qtbot)
    assert "cells denoised" in viewer.layers
    assert len(viewer.layers) == 3


@pytest.mark.usefixtures("slow_passes")
def test_removing_the_input_ends_the_run(viewer, widget, noisy, qtbot):
    layer = viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    viewer.layers.remove(layer)
    finish(widget, qtbot)
    assert len(viewer.layers) == 0
    assert "input layer was removed" in widget.status.value


@pytest.mark.usefixtures("slow_passes")
def test_closing_the_dock_ends_the_run(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 10_000
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    close(widget)
    finish(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    qtbot.waitUntil(lambda: not isalive(widget), timeout=TIMEOUT)
    viewer.layers.clear()  # what the dock listened to finds nothing that is gone


def test_a_dock_that_is_moved_goes_on_with_its_run(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 3
    widget.form.advanced.n_passes.value = 2
    widget.run()
    dock = widget.parent()
    dock.setFloating(True)
    dock.setFloating(False)
    viewer.window.remove_dock_widget(dock)
    viewer.window.add_dock_widget(widget, name="elsewhere", area="left")
    finish(widget, qtbot)
    assert widget.status.value.startswith("Done")
    assert isalive(widget)


def test_a_run_can_be_copied_as_python_and_as_a_command(viewer, widget, noisy, qtbot):
    from qtpy.QtWidgets import QApplication

    viewer.add_image(noisy, name="cells")
    assert not widget.replay.python_button.enabled
    widget.form.advanced.n_iter.value = 1
    widget.form.advanced.n_passes.value = 2
    widget.form.advanced.seed.value = 5
    widget.run()
    finish(widget, qtbot)
    widget.replay.python_button.clicked.emit(True)
    names = {"image": noisy}
    exec(QApplication.clipboard().text(), names)
    denoised = viewer.layers["cells denoised"]
    assert np.array_equal(names["result"].image, denoised.data)
    widget.replay.command_button.clicked.emit(True)
    assert "--seed 5 --n-iter 1" in QApplication.clipboard().text()
    # The report of an image that is chosen comes first.
    denoised.metadata["napari_mpi"] |= {"seed": 9}
    widget.form.image.value = denoised
    widget.replay.command_button.clicked.emit(True)
    assert "--seed 9" in QApplication.clipboard().text()
