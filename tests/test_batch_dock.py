import threading

import numpy as np
import pytest
import torch
from docks import TIMEOUT, close, finish
from image_files import write_spread
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QProgressBar

from napari_mpi import denoise, denoise_files
from napari_mpi._napari.batch_dock import BatchWidget
from napari_mpi._napari.batch_workers import BatchCourse
from napari_mpi._napari.keyboard import controls
from napari_mpi.cli import main
from napari_mpi.io.files import read_image


@pytest.fixture
def folder(image_folder):
    """Two good images of two planes, one in a folder inside, and a broken one."""
    (image_folder / "broken.tif").write_bytes(b"II*\0")
    return image_folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def widget(viewer, folder, out):
    """The dock with everything chosen."""
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MPI batch")
    widget.form.folder.value = folder
    widget.form.output.value = out
    widget.form.preset.value = "fast"
    widget.form.noise.value = "correlated"
    widget.form.device.value = "cpu"
    do_little(widget.form)
    return widget


def do_little(form):
    form.advanced.n_iter.value, form.advanced.n_passes.value = 1, 2


class Gate:
    """Holds the thread of a batch where the test wants it, until it lets it go."""

    def __init__(self, at):
        self.at = at
        self.seen = []
        self.reached, self.open = threading.Event(), threading.Event()

    def follow(self, job, progress):
        here = (job.name, progress.phase, progress.plane)
        self.seen.append(here)
        if here == self.at:
            self.reached.set()
            assert self.open.wait(TIMEOUT / 1000)


@pytest.fixture
def gate(monkeypatch):
    """Hold a batch at the second plane of the first file."""
    gate = Gate(("a.tif", "filling", 1))
    follow = BatchCourse.follow

    def held(course, job, progress):
        gate.follow(job, progress)
        follow(course, job, progress)

    monkeypatch.setattr(BatchCourse, "follow", held)
    yield gate
    gate.open.set()


def rows(widget):
    table = widget.table
    return {
        table.item(row, 0).text(): (
            table.item(row, 1).text(),
            table.item(row, 2).text(),
        )
        for row in range(table.rowCount())
    }


def statuses(widget):
    return {name: status for name, (status, _) in rows(widget).items()}


def choose(widget, name):
    names = list(rows(widget))
    widget.table.selectRow(names.index(name))


def test_from_the_menu_to_a_folder_of_results_and_their_report(
    viewer, folder, out, qtbot, monkeypatch
):
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI batch")
    widget.form.folder.value = folder
    widget.form.output.value = out
    widget.form.noise.value = "correlated"
    widget.form.noise_map.value = True
    do_little(widget.form)
    assert not widget.report_button.enabled
    widget.run_button.native.click()
    assert widget.running
    assert not widget.run_button.enabled
    assert not widget.form.enabled
    finish(widget, qtbot)
    assert statuses(widget) == {"a.tif": "done", "broken.tif": "failed"} | {
        "day1/b.tif": "done"
    }
    assert "Noise " in rows(widget)["a.tif"][1]
    assert "broken.tif" in rows(widget)["broken.tif"][1]
    assert widget.status.value == "Finished: 2 done, 1 failed."
    assert widget.progress.value == 1000
    assert {path.name for path in out.rglob("*.tif")} == {
        *("a_denoised.ome.tif", "a_noise.ome.tif"),
        *("b_denoised.ome.tif", "b_noise.ome.tif"),
    }
    shown = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()) or True
    )
    widget.report_button.native.click()
    assert shown == [str(out / "batch.html")]


def test_what_was_left_out_is_told_where_no_file_is_chosen(widget, folder, qtbot):
    write_spread(folder, np.zeros((2, 16, 18), np.uint16))
    widget.list_files()
    finish(widget, qtbot)
    assert "z1.ome.tif" not in rows(widget)
    assert "together with z1.ome.tif" in widget.details.toPlainText()
    choose(widget, "a.tif")
    assert "together with" not in widget.details.toPlainText()


def test_some_files_are_denoised_into_ome_zarr(widget, folder, out, qtbot):
    widget.form.source.value = "some files"
    widget.form.files.value = (folder / "a.tif",)
    widget.form.format.value = "ome-zarr"
    widget.run()
    finish(widget, qtbot)
    assert statuses(widget) == {"a.tif": "done"}
    assert (out / "a_denoised.ome.zarr").is_dir()


def test_advanced_settings_and_uncertainty_go_into_the_results(
    viewer, widget, folder, out, qtbot
):
    form = widget.form
    form.advanced_fold.expand()
    form.advanced.mask_ratio.value = 0.4
    form.advanced.n_passes.value = 8
    form.advanced.seed.value = 5
    form.advanced.uncertainty.native.click()
    widget.run()
    finish(widget, qtbot)
    assert statuses(widget)["a.tif"] == "done"
    choose(widget, "a.tif")
    widget.open_result()
    report = viewer.layers["a_denoised"].metadata["napari_mpi"]
    assert report["seed"] == 5
    assert report["settings"] == {"n_iter": 1, "n_passes": 8, "mask_ratio": 0.4}
    uncertainty = read_image(out / "a_uncertainty.ome.tif").data
    noisy = read_image(folder / "a.tif").data
    expected = denoise(noisy, **form.options()).uncertainty
    np.testing.assert_allclose(uncertainty, expected, rtol=1e-4)
    assert (uncertainty > 0).any()


def test_listing_tells_what_would_be_done_and_writes_nothing(widget, out, qtbot):
    widget.list_button.native.click()
    finish(widget, qtbot)
    assert statuses(widget) == {"a.tif": "to do", "broken.tif": "failed"} | {
        "day1/b.tif": "to do"
    }
    assert "a_denoised.ome.tif" in rows(widget)["a.tif"][1]
    assert widget.status.value.startswith("Listed: 2 to do, 1 failed; about ")
    assert not out.exists()
    assert not widget.report_button.enabled


def test_what_is_done_already_is_listed_so_and_left_alone(widget, out, qtbot):
    widget.run()
    finish(widget, qtbot)
    before = (out / "a_denoised.ome.tif").stat().st_mtime_ns
    for start in (widget.list_files, widget.run):
        start()
        finish(widget, qtbot)
        assert statuses(widget)["a.tif"] == "already done"
        assert "2 already done, 1 failed" in widget.status.value
    assert (out / "a_denoised.ome.tif").stat().st_mtime_ns == before


def test_cancel_keeps_finished_planes_and_run_carries_on(
    widget, gate, folder, out, tmp_path, qtbot
):
    # Joined with the next one, the first plane would not be finished yet.
    widget.form.advanced.neighbours.value = 0
    widget.run()
    qtbot.waitUntil(gate.reached.is_set, timeout=TIMEOUT)
    widget.cancel_button.native.click()
    assert widget.status.value == "Cancelling …"
    gate.open.set()
    finish(widget, qtbot)
    assert "Cancelled after 0 of 3 images" in widget.status.value
    assert "carries on" in widget.status.value
    assert widget.run_button.enabled
    assert not list(out.rglob("*_denoised*"))
    assert widget.report_button.enabled

    gate.seen.clear()
    widget.run()
    finish(widget, qtbot)
    # Neither learning nor the first plane are done again.
    assert ("a.tif", "filling", 1) in gate.seen
    assert ("a.tif", "filling", 0) not in gate.seen
    assert "adapting" not in {phase for name, phase, _ in gate.seen if name == "a.tif"}
    assert statuses(widget)["a.tif"] == "done"
    options = widget.form.task().options | {"threads": torch.get_num_threads()}
    denoise_files(folder / "a.tif", tmp_path / "at_once", **options)
    result = "a_denoised.ome.tif"
    assert (out / result).read_bytes() == (tmp_path / "at_once" / result).read_bytes()


def test_what_the_command_has_finished_is_taken_over(widget, folder, out, qtbot):
    settings = ["--preset", "fast", "--noise", "correlated", "--device", "cpu"]
    work = ["--n-iter", "1", "--n-passes", "2", "--workers", "0"]
    threads = ["--threads", str(torch.get_num_threads())]
    main(["batch", str(folder), "-o", str(out), *settings, *work, *threads])
    widget.run()
    finish(widget, qtbot)
    assert widget.status.value == "Finished: 2 already done, 1 failed."


def test_the_file_at_work_shows_how_far_it_is(widget, gate, qtbot):
    widget.run()
    qtbot.waitUntil(gate.reached.is_set, timeout=TIMEOUT)
    place = "Image 1 of 3: a.tif, plane "
    qtbot.waitUntil(lambda: widget.status.value.startswith(place), timeout=TIMEOUT)
    assert "%" in statuses(widget)["a.tif"]
    assert 0 < widget.progress.value < 334
    assert statuses(widget)["day1/b.tif"] == "waiting"
    gate.open.set()
    finish(widget, qtbot)


def test_a_double_click_opens_the_result_of_a_finished_file(viewer, widget, qtbot):
    widget.run()
    finish(widget, qtbot)
    table = widget.table
    for name in ("broken.tif", "day1/b.tif"):
        row = list(rows(widget)).index(name)
        place = table.visualItemRect(table.item(row, 0)).center()
        for press in (qtbot.mouseClick, qtbot.mouseDClick):
            press(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        assert widget.open_button.enabled == (name == "day1/b.tif")
    [layer] = viewer.layers
    assert layer.name == "b_denoised"
    assert layer.data.shape == (2, 20, 22)
    assert layer.metadata["napari_mpi"]["preset"] == "fast"


def test_a_result_that_is_gone_is_told(viewer, widget, out, qtbot):
    widget.run()
    finish(widget, qtbot)
    (out / "a_denoised.ome.tif").unlink()
    choose(widget, "a.tif")
    widget.open_button.native.click()
    assert "not there any more" in notification_manager.records[-1].message
    assert len(viewer.layers) == 0


def test_the_chosen_file_is_told_in_full(widget, qtbot):
    widget.run()
    finish(widget, qtbot)
    choose(widget, "broken.tif")
    assert widget.details.toPlainText().startswith("broken.tif, failed. ")
    assert rows(widget)["broken.tif"][1] in widget.details.toPlainText()


def no_folder(form, tmp_path):
    form.folder.line_edit.value = ""


def wrong_folder(form, tmp_path):
    form.folder.value = tmp_path / "nowhere"


def no_output(form, tmp_path):
    form.output.line_edit.value = ""


def file_as_output(form, tmp_path):
    form.output.value = tmp_path / "data" / "a.tif"


def no_file(form, tmp_path):
    form.source.value = "some files"


def missing_file(form, tmp_path):
    form.source.value = "some files"
    form.files.value = (tmp_path / "x, y.tif",)


def no_weights(form, tmp_path):
    form.weights.value = "from file…"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_folder, "Choose the folder of the images"),
        (wrong_folder, "There is no folder "),
        (no_output, "Choose the folder for the results"),
        (file_as_output, "a.tif is a file"),
        (no_file, "Choose the images to denoise"),
        (missing_file, "holds a comma"),
        (no_weights, "Choose the file of weights"),
    ],
)
def test_what_is_missing_is_told_at_once(widget, out, tmp_path, spoil, said):
    spoil(widget.form, tmp_path)
    for start in (widget.list_files, widget.run):
        notification_manager.records.clear()
        start()
        assert said in notification_manager.records[-1].message
        assert not widget.running
        assert said in widget.status.value
    assert not out.exists()


def test_a_folder_without_images_is_told_and_nothing_is_written(
    widget, out, tmp_path, qtbot
):
    (tmp_path / "empty").mkdir()
    widget.form.folder.value = tmp_path / "empty"
    widget.run()
    finish(widget, qtbot)
    assert "There is nothing to denoise" in notification_manager.records[-1].message
    assert "holds no image" in widget.status.value
    assert widget.run_button.enabled
    assert not out.exists()


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_the_dock_or_the_window_ends_the_batch(
    viewer, widget, gate, out, how, qtbot
):
    widget.run()
    qtbot.waitUntil(gate.reached.is_set, timeout=TIMEOUT)
    worker = widget._worker
    if how == "window":
        viewer.close()
    else:
        close(widget)
    qtbot.waitUntil(lambda: worker.abort_requested, timeout=TIMEOUT)
    gate.open.set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=TIMEOUT)
    assert not list(out.rglob("*_denoised*"))
    assert list(out.rglob("*.safetensors"))  # what a later run carries on with


def test_the_dock_is_narrow_and_every_control_has_a_tooltip(widget):
    widget.form.weights.value = "from file…"
    widget.status.value = "A long sentence about a file of a long name. " * 9
    QApplication.processEvents()
    assert widget.minimumSizeHint().width() <= 300
    dock = widget
    shown = [*controls(dock), *dock.findChildren(QProgressBar), widget.status.native]
    assert len(shown) > 15
    for control in shown:
        described = control
        while not described.toolTip():
            described = described.parentWidget()
            assert described is not dock, control
        assert described.toolTip().endswith("."), described.toolTip()
    in_order = controls(dock)
    for part in (widget.table, widget.details):
        assert part in in_order
        assert part.accessibleName()
