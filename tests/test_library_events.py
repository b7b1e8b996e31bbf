import shutil

import pytest
from qtpy.QtWidgets import QWidget

from napari_mpi._napari.library_events import library_events
from napari_mpi._napari.library_follower import LibraryFollower
from napari_mpi.weights.folder import BUNDLED

TIMEOUT = 30_000  # milliseconds


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


def test_a_change_within_napari_is_heard(own_weights, widget):
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    library_events.changed.emit()
    assert listener.calls == 1
    assert not own_weights.exists()


def test_a_file_that_comes_from_outside_is_heard(own_weights, widget, qtbot):
    own_weights.mkdir()
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    shutil.copy(BUNDLED["universal"], own_weights / "lab.safetensors")
    qtbot.waitUntil(lambda: listener.calls > 0, timeout=TIMEOUT)


def test_a_folder_that_appears_later_is_watched_from_then_on(
    own_weights, widget, qtbot
):
    listener = Listener()
    LibraryFollower(widget, listener.refresh)
    own_weights.mkdir()
    library_events.changed.emit()
    shutil.copy(BUNDLED["universal"], own_weights / "lab.safetensors")
    qtbot.waitUntil(lambda: listener.calls > 1, timeout=TIMEOUT)


def test_another_folder_is_watched_in_place_of_the_first(
    own_weights, widget, tmp_path, monkeypatch
):
    own_weights.mkdir()
    listener = Listener()
    follower = LibraryFollower(widget, listener.refresh)
    assert follower.directories() == [str(own_weights)]
    (tmp_path / "group").mkdir()
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(tmp_path / "group"))
    library_events.changed.emit()
    assert follower.directories() == [str(tmp_path / "group")]


def test_nobody_is_kept_alive_by_listening(own_weights, widget):
    listener = Listener()
    follower = LibraryFollower(widget, listener.refresh)
    del listener
    library_events.changed.emit()
    assert follower.directories() == []
