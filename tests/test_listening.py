from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_mpi._napari.listening import Listener


class Ear(QObject):
    def __init__(self):
        super().__init__()
        self.heard = []
        self.listener = Listener(self.hear)

    def hear(self, event):
        self.heard.append(event.type)


def test_events_arrive_until_qt_deletes_the_object(qapp):
    viewer = ViewerModel()
    ear = Ear()
    viewer.events.theme.connect(ear.listener.hear)
    viewer.theme = "light"
    assert ear.heard == ["theme"]
    ear.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not isalive(ear)
    viewer.theme = "dark"
    assert ear.heard == ["theme"]
    # The viewer compares it with what else is connected.
    viewer.events.theme.connect(viewer.reset_view)
    viewer.events.theme.disconnect(viewer.reset_view)


def test_the_viewer_keeps_nothing_alive(qapp):
    viewer = ViewerModel()
    ear = Ear()
    viewer.events.theme.connect(ear.listener.hear)
    connected = len(viewer.events.theme.callbacks)
    del ear
    viewer.theme = "light"
    assert len(viewer.events.theme.callbacks) == connected - 1
