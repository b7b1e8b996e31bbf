import shutil

import dask.array
import numpy as np
import pytest
import tifffile
from docks import TIMEOUT, close, finish
from magicgui.widgets import PushButton
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_mpi._napari.train_dock import TrainWidget
from napari_mpi.engine.network import Hourglass
from napari_mpi.training import held_out
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.loading import load_weights

ENDLESS = 100_000  # steps


@pytest.fixture(autouse=True)
def folder(own_weights, monkeypatch):
    """Keep weights in a folder of the test's own, and score them quickly."""
    monkeypatch.setattr(held_out, "_N_CROPS", 4)
    return own_weights


@pytest.fixture
def image():
    clean = fluorescence_image((128, 96), np.random.default_rng(0))
    return (4000 * clean).astype(np.uint16)


def opened(viewer):
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MPI train weights")
    widget.form.unit.value = "steps"
    widget.form.budget.value = 2
    widget.form.advanced.batch_size.value = 1
    widget.form.advanced.device.value = "cpu"
    widget.form.weights_name.value = "lab"
    return widget


@pytest.fixture
def widget(viewer, image):
    """The dock beside an image layer "cells", set to train for two small steps."""
    viewer.add_image(image, name="cells")
    return opened(viewer)


def until_it_learns(widget, qtbot):
    qtbot.waitUntil(lambda: widget.status.value.startswith("Step"), timeout=TIMEOUT)


def answer(button):
    """Press a button of the dialog that opens next, as a user would."""

    def press():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        next(b for b in box.buttons() if b.text().strip("&") == button).click()

    QTimer.singleShot(50, press)


def test_from_the_plugins_menu_to_weights_in_the_first_docks_list(
    viewer, image, folder, qtbot
):
    viewer.add_image(image, name="cells")
    _, denoise = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI train weights")
    denoise.form.weights.value = "universal"
    assert [layer.name for layer in widget.form.layers.value] == ["cells"]
    widget.form.unit.value = "steps"
    widget.form.budget.value = 1
    widget.form.advanced.batch_size.value = 1
    widget.train_button.clicked.emit(True)
    assert widget.running
    assert not widget.train_button.enabled
    finish(widget, qtbot)
    assert "my-microscope" in denoise.form.weights.choices
    assert denoise.form.weights.value == "universal"
    assert "my-microscope" in widget.form.start.choices
    assert "Saved as my-microscope" in widget.status.value
    card = load_weights("my-microscope").card
    assert card["initial_weights"] == "universal"
    assert card["held_out"]["images"].startswith("a strip at the edge of 1 image")
    assert widget.train_button.enabled
    assert np.array_equal(viewer.layers["cells"].data, image)
    assert len(viewer.layers) == 1


def test_weights_that_are_not_better_are_called_so(widget, qtbot):
    # Two steps from nothing cannot compete with the bundled weights.
    widget.form.start.value = "from nothing"
    widget.train()
    finish(widget, qtbot)
    assert widget.status.value.startswith("Not better than universal: keep those.")
    assert load_weights("lab").card["held_out"]["better"] is False


def test_weights_that_are_better_are_called_so(widget, tmp_path, qtbot, monkeypatch):
    # Weights that know nothing are easy to beat.
    from napari_mpi.training.pretrain import Training
    from napari_mpi.weights.loading import save_weights

    save_weights(tmp_path / "untrained.safetensors", Hourglass(1, 1))
    taught = load_weights("universal").state
    real = Training._write

    def teach(self):
        self._network.load_state_dict(taught)
        real(self)

    monkeypatch.setattr(Training, "_write", teach)
    widget.form.start.value = "from file…"
    widget.form.start_file.value = tmp_path / "untrained.safetensors"
    widget.train()
    finish(widget, qtbot)
    assert widget.status.value.startswith("Better than untrained.safetensors on held")


def test_images_that_spare_nothing_are_not_called_anything(viewer, rng, qtbot):
    viewer.add_image(rng.integers(0, 99, (64, 64), np.uint8), name="thumbnail")
    widget = opened(viewer)
    widget.train()
    finish(widget, qtbot)
    assert widget.status.value.startswith("Whether they are better than others is un")
    assert not widget.tabs.isTabVisible(0)
    assert widget.tabs.isTabVisible(1)


def test_the_curve_and_the_held_out_patch_follow_the_training(widget, qtbot):
    widget.form.budget.value = 3
    widget.train()
    finish(widget, qtbot)
    assert widget.curve.points(0)[0] == [1, 2, 3]
    assert widget.tabs.isVisibleTo(widget)
    assert [widget.tabs.tabText(i) for i in range(2)] == [
        "before and after",
        "loss curve",
    ]
    parts = widget.before_after
    assert all(not part.pixmap().isNull() for part in parts.pictures.values())
    assert parts.captions["before"].text().endswith("dB")
    assert parts.captions["now"].text() != "now"
    before, now = (
        parts.pictures[name].pixmap().toImage() for name in ("before", "now")
    )
    assert before != now


def test_a_pause_ends_when_one_wants(widget, qtbot):
    widget.form.budget.value = ENDLESS
    widget.train()
    until_it_learns(widget, qtbot)
    widget.pause_button.clicked.emit(True)
    assert widget.pause_button.text == "Go on"
    qtbot.waitUntil(lambda: "Paused after" in widget.status.value, timeout=TIMEOUT)
    paused_at = len(widget._losses)
    qtbot.wait(300)
    assert len(widget._losses) == paused_at
    assert widget.running
    widget.pause_button.clicked.emit(True)
    qtbot.waitUntil(lambda: len(widget._losses) > paused_at, timeout=TIMEOUT)
    widget.cancel()
    finish(widget, qtbot)


@pytest.mark.parametrize("paused", [False, True])
def test_stop_and_save_keeps_what_was_learnt(widget, paused, qtbot):
    widget.form.budget.value = ENDLESS
    widget.train()
    until_it_learns(widget, qtbot)
    if paused:
        widget.pause_or_go_on()
    widget.finish_button.clicked.emit(True)
    finish(widget, qtbot)
    card = load_weights("lab").card
    assert card["stopped_early"] is True
    assert 1 <= card["steps"] < ENDLESS
    assert "Saved as lab" in widget.status.value


@pytest.mark.parametrize("paused", [False, True])
def test_cancel_saves_nothing(widget, folder, paused, qtbot):
    widget.form.budget.value = ENDLESS
    widget.train()
    until_it_learns(widget, qtbot)
    if paused:
        widget.pause_or_go_on()
    widget.cancel_button.clicked.emit(True)
    finish(widget, qtbot)
    assert list(folder.iterdir()) == []
    assert "nothing was saved" in widget.status.value
    assert widget.train_button.enabled


def test_cancel_works_while_images_are_read(widget, folder, qtbot):
    widget.form.budget.value = ENDLESS
    widget.train()
    widget.cancel()
    finish(widget, qtbot)
    assert list(folder.iterdir()) == []


def test_a_folder_can_be_trained_on(widget, tmp_path, image, qtbot):
    images = tmp_path / "images"
    images.mkdir()
    for index in range(2):
        tifffile.imwrite(images / f"{index}.tif", image)
    widget.form.source.value = "a folder"
    assert not widget.form.layers.visible
    widget.form.folder.value = images
    widget.train()
    finish(widget, qtbot)
    held = load_weights("lab").card["held_out"]["images"]
    assert held.startswith("a strip at the edge of 2 images")


def test_layers_that_are_renamed_stay_chosen(widget, viewer, rng):
    a, b = (viewer.add_image(rng.normal(size=(64, 64))) for _ in range(2))
    widget.form.layers.value = [a, b]
    a.name = "renamed"
    assert set(widget.form.layers.value) == {a, b}
    viewer.layers.remove(b)
    assert widget.form.layers.value == [a]


def test_several_layers_lazy_and_in_colour_train_together(widget, viewer, rng, qtbot):
    lazy = dask.array.from_array(rng.integers(0, 999, (2, 3, 80, 64), np.uint16))
    viewer.add_image(lazy, name="time series")
    viewer.add_image(rng.integers(0, 255, (64, 70, 3), np.uint8), name="slide")
    viewer.add_points([[0, 0]])
    assert [layer.name for layer in widget.form.layers.choices] == [
        "cells",
        "time series",
        "slide",
    ]
    widget.form.layers.value = widget.form.layers.choices
    widget.train()
    finish(widget, qtbot)
    assert load_weights("lab").card["data"]["folders"] == [{"images": 3, "planes": 8}]


def test_weights_can_be_saved_in_a_file_of_ones_own(widget, tmp_path, folder, qtbot):
    widget.form.place.value = "in a file"
    widget.form.file.value = tmp_path / "mine"
    widget.train()
    finish(widget, qtbot)
    assert load_weights(tmp_path / "mine.safetensors").card["steps"] == 2
    assert not folder.exists()


def test_weights_in_a_file_are_replaced_only_if_that_is_wanted(widget, tmp_path, qtbot):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"hours of work")
    widget.form.place.value = "in a file"
    widget.form.file.value = path
    answer("Cancel")
    widget.train()
    assert not widget.running
    assert path.read_bytes() == b"hours of work"
    answer("Replace")
    widget.train()
    finish(widget, qtbot)
    assert load_weights(path).card["steps"] == 2


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "universal", "taken"])
def test_a_name_that_will_not_do_is_refused_before_training(widget, folder, name):
    folder.mkdir()
    shutil.copy(BUNDLED["universal"], folder / "taken.safetensors")
    widget.form.weights_name.value = name
    notification_manager.records.clear()
    widget.train()
    assert not widget.running
    message = notification_manager.records[-1].message
    assert "another name" in message or "cannot be the name" in message


def test_what_was_not_chosen_is_asked_for(widget):
    widget.form.layers.value = []
    widget.train()
    assert "at least one layer" in widget.status.value
    widget.form.source.value = "a folder"
    widget.train()
    assert "Choose the folder" in widget.status.value
    assert not widget.running


def test_unfit_images_are_named_and_nothing_is_written(viewer, folder, qtbot):
    viewer.add_image(np.zeros((20, 20), np.uint8), name="thumbnail")
    widget = opened(viewer)
    notification_manager.records.clear()
    widget.train()
    finish(widget, qtbot)
    assert "thumbnail: 20x20 is smaller than the crop" in widget.status.value
    assert notification_manager.records
    assert list(folder.iterdir()) == []


def test_a_failure_of_the_computation_is_not_lost(widget, qtbot, monkeypatch):
    def fail(self, visible, mask):
        raise RuntimeError("mat1 and mat2 are on different devices")

    monkeypatch.setattr(Hourglass, "forward", fail)
    widget.train()
    finish(widget, qtbot)
    assert "The computation failed" in widget.status.value


@pytest.fixture
def interrupted(widget, folder, qtbot):
    """Leave the checkpoint that a training leaves when napari is closed."""
    from napari_mpi.training.pretrain import iter_pretrain

    job = widget.form.job()
    folder.mkdir()
    training = iter_pretrain(
        job.folders, job.output, job.config, init=job.init, images=job.images
    )
    next(training)
    training.close()
    assert [path.name for path in folder.iterdir()] == ["lab.ckpt"]


@pytest.mark.usefixtures("interrupted")
def test_an_interrupted_training_can_be_carried_on(widget, qtbot):
    answer("Carry on")
    widget.train()
    finish(widget, qtbot)
    assert len(widget._losses) == 1
    assert load_weights("lab").card["steps"] == 2


@pytest.mark.usefixtures("interrupted")
def test_an_interrupted_training_can_be_begun_anew_or_left(widget, folder, qtbot):
    answer("Cancel")
    widget.train()
    assert not widget.running
    assert [path.name for path in folder.iterdir()] == ["lab.ckpt"]
    answer("Start anew")
    widget.train()
    finish(widget, qtbot)
    assert len(widget._losses) == 2


@pytest.mark.usefixtures("interrupted")
def test_other_settings_cannot_be_carried_on_and_are_named(widget, qtbot):
    widget.form.advanced.seed.value = 3
    answer("Carry on")
    widget.train()
    finish(widget, qtbot)
    assert "seed was 0, now 3" in widget.status.value


def test_the_dock_is_narrow_and_every_control_has_a_tooltip(widget):
    # Beside it there has to be room for the scroll bar.
    assert widget.widget().minimumSizeHint().width() <= 280
    form = widget.form
    for control in (
        *(form.source, form.layers, form.folder, form.start, form.start_file),
        *(form.budget, form.unit, form.place, form.weights_name, form.file),
        *form.advanced,
        *(widget.train_button, widget.pause_button),
        *(widget.finish_button, widget.cancel_button),
    ):
        assert control.tooltip
        is_button = isinstance(control, PushButton)
        assert is_button or control.native.accessibleName()


def test_closing_the_window_ends_the_training_and_leaves_a_checkpoint(
    viewer, widget, folder, qtbot
):
    widget.form.budget.value = ENDLESS
    widget.train()
    until_it_learns(widget, qtbot)
    worker = widget._worker
    viewer.close()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=TIMEOUT)
    assert [path.name for path in folder.iterdir()] == ["lab.ckpt"]


def test_closing_the_dock_ends_the_training(viewer, widget, qtbot):
    widget.form.budget.value = ENDLESS
    widget.train()
    until_it_learns(widget, qtbot)
    worker = widget._worker
    close(widget)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=TIMEOUT)
