import pytest
from docks import TIMEOUT
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.weights_dock import WeightsWidget
from napari_mpi.engine.network import Hourglass
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import save_weights

CONTENT = BUNDLED["universal"].read_bytes()

pytestmark = pytest.mark.usefixtures("own_weights")


@pytest.fixture
def widget(viewer):
    widget = WeightsWidget()
    viewer.window.add_dock_widget(widget, name="MPI weights")
    return widget


def listed(widget):
    rows = (widget.list.topLevelItem(i) for i in range(widget.list.topLevelItemCount()))
    return {row.text(0): row.text(1) for row in rows}


def answer(button, seen=None):
    """Press a button of the dialog that opens next, as a user would."""

    def press():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        if seen is not None:
            seen.append(f"{box.text()} {box.informativeText()}")
        next(b for b in box.buttons() if b.text().strip("&") == button).click()

    QTimer.singleShot(50, press)


def finish(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.downloading, timeout=TIMEOUT)


def test_the_menu_opens_a_list_of_what_is_here_and_what_can_be_had(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI weights")
    assert listed(widget) == {
        "universal": "bundled",
        "universal-rgb": "bundled",
        "mpi-imagenet-30": "online",
        "mpi-imagenet-80-95": "online",
    }
    details = widget.details.toPlainText()
    for part in ("BSD-3-Clause", "34,018 steps", "44fc4910f47b"):
        assert part in details
    widget.choose("mpi-imagenet-30")
    details = widget.details.toPlainText()
    for part in ("MPI authors", "https://", "no licence file", "3.1 MB"):
        assert part in details


def test_a_download_asks_first_and_is_then_offered_everywhere(
    viewer, server, widget, own_weights, qtbot
):
    denoise = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(denoise, name="MPI denoise")
    widget.choose("lab")
    seen = []
    answer("Download", seen)
    widget.download_button.click()
    assert widget.downloading
    finish(widget, qtbot)
    for part in (server.server_address[0], "3.1 MB", "no licence file"):
        assert part in seen[0]
    assert listed(widget)["lab"] == "installed"
    assert widget.chosen.name == "lab"
    assert "lab" in denoise.form.weights.choices
    assert [path.name for path in own_weights.iterdir()] == ["lab.safetensors"]


def test_nothing_is_fetched_without_consent(server, widget, own_weights):
    widget.choose("lab")
    answer("Cancel")
    widget.download_button.click()
    assert not widget.downloading
    assert not own_weights.exists()


def test_a_failed_download_says_why_and_leaves_nothing(
    server, widget, own_weights, qtbot
):
    server.fault = "broken"
    widget.choose("lab")
    notification_manager.records.clear()
    answer("Download")
    widget.download_button.click()
    finish(widget, qtbot)
    (record,) = notification_manager.records
    assert "could not be fetched" in record.message
    assert str(record.severity) == "warning"
    assert list(own_weights.iterdir()) == []
    assert listed(widget)["lab"] == "online"
    assert widget.download_button.isEnabled()


def test_a_download_can_be_cancelled_while_the_window_stays_live(
    server, widget, own_weights, qtbot
):
    server.fault = "slow"
    widget.choose("lab")
    answer("Download")
    widget.download_button.click()
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=TIMEOUT)
    assert widget.downloading
    assert not widget.download_button.isEnabled()
    assert widget.cancel_button.isVisibleTo(widget)
    notification_manager.records.clear()
    widget.cancel_button.click()
    server.go_on.set()
    finish(widget, qtbot)
    assert list(own_weights.iterdir()) == []
    assert notification_manager.records == []
    assert not widget.cancel_button.isVisibleTo(widget)


def test_a_file_is_imported_and_chosen(widget, own_weights, tmp_path, monkeypatch):
    file = tmp_path / "our-lab.safetensors"
    save_weights(file, Hourglass(), {"steps": 1234})
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    widget.import_button.click()
    assert listed(widget)["our-lab"] == "installed"
    assert widget.chosen.name == "our-lab"
    assert "1,234 steps" in widget.details.toPlainText()


def test_a_file_that_is_no_weights_is_not_imported(widget, own_weights, tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"x")
    notification_manager.records.clear()
    widget.import_weights(bad)
    assert "not opened" in notification_manager.records[-1].message
    assert not own_weights.exists()


def test_choosing_no_file_imports_nothing(widget, own_weights, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    widget.import_button.click()
    assert not own_weights.exists()


def test_weights_are_deleted_after_asking(widget, own_weights):
    own_weights.mkdir()
    for suffix in (".loss.csv", ".loss.png"):
        (own_weights / f"lab{suffix}").touch()
    save_weights(own_weights / "lab.safetensors", Hourglass())
    widget.refresh()
    widget.choose("lab")
    answer("Cancel")
    widget.delete_button.click()
    assert "lab" in installed_weights()
    seen = []
    answer("Delete", seen)
    widget.delete_button.click()
    assert "lab.loss.png" in seen[0]
    assert list(own_weights.iterdir()) == []
    assert "lab" not in listed(widget)


def test_bundled_and_online_weights_cannot_be_deleted(server, widget):
    for name in ("universal", "lab"):
        widget.choose(name)
        assert not widget.delete_button.isEnabled()


def test_the_folder_is_shown(widget, own_weights, monkeypatch):
    shown = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()) or True
    )
    widget.folder_button.click()
    assert shown == [str(own_weights)]
    assert own_weights.is_dir()


def test_the_dock_fits_a_narrow_column_and_every_control_has_a_tooltip(widget):
    assert widget.minimumSizeHint().width() <= 300
    for control in (
        widget.list,
        widget.details,
        widget.download_button,
        widget.import_button,
        widget.folder_button,
        widget.delete_button,
        widget.cancel_button,
    ):
        assert control.toolTip()


def slow_download(server, widget, qtbot):
    """Begin a download that waits in its middle; return its worker."""
    server.fault = "slow"
    widget.choose("lab")
    answer("Download")
    widget.download_button.click()
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=TIMEOUT)
    return widget._worker


def test_closing_the_dock_ends_a_download(viewer, server, widget, own_weights, qtbot):
    worker = slow_download(server, widget, qtbot)
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not isalive(widget)
    server.go_on.set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=TIMEOUT)
    assert list(own_weights.iterdir()) == []


def test_closing_the_window_ends_a_download(viewer, server, widget, own_weights, qtbot):
    worker = slow_download(server, widget, qtbot)
    viewer.close()
    worker.quit()  # as napari asks of all workers at its end
    server.go_on.set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=TIMEOUT)
    assert list(own_weights.iterdir()) == []
