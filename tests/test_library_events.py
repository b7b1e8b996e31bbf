import shutil

import pytest
from qtpy.QtWidgets import QWidget

from napari_mpi._napari.library_events import LibraryFollower, library_events
from napari_mpi.weights.loading import BUNDLED

TIMEOUT = 30_000  # milliseconds


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(path))
    return path


class Listener:
    def __init__(self):
        self.calls = 0

    def refresh(self):
        self.calls += 1


@pytest.fixture
def widget(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


def test_a_change_within_napari_is_heard(folder, widget):
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    library_events.changed.emit()
    assert listener.calls == 1
    assert not folder.exists()


def test_a_file_that_comes_from_outside_is_heard(folder, widget, qtbot):
    folder.mkdir()
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    shutil.copy(BUNDLED["universal"], folder / "lab.safetensors")
    qtbot.waitUntil(lambda: listener.calls > 0, timeout=TIMEOUT)


def test_a_folder_that_appears_later_is_watched_from_then_on(folder, widget, qtbot):
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    folder.mkdir()
    library_events.changed.emit()
    shutil.copy(BUNDLED["universal"], folder / "lab.safetensors")
    qtbot.waitUntil(lambda: listener.calls > 1, timeout=TIMEOUT)


def test_another_folder_is_watched_in_place_of_the_first(
    folder, widget, tmp_path, monkeypatch
):
    folder.mkdir()
    listener = Listener()
    follower = LibraryFollower(widget, listener.refresh)
    assert follower.directories() == [str(folder)]
    (tmp_path / "group").mkdir()
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(tmp_path / "group"))
    library_events.changed.emit()
    assert follower.directories() == [str(tmp_path / "group")]


def test_nobody_is_kept_alive_by_listening(folder, widget):
    listener = Listener()
    follower = LibraryFollower(widget, listener.refresh)
    del listener
    library_events.changed.emit()
    assert follower.directories() == []
