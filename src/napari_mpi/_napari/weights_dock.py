"""The dock that shows which weights there are, fetches and deletes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mpi._napari.controls import WEIGHTS_FILES
from napari_mpi._napari.dialogs import ask
from napari_mpi._napari.library_events import library_events
from napari_mpi._napari.library_follower import LibraryFollower
from napari_mpi._napari.library_workers import Transfer, download_in_thread
from napari_mpi._napari.notices import show_error
from napari_mpi._napari.preferences import Preferences
from napari_mpi.weights.download import ONLINE
from napari_mpi.weights.folder import weights_folder
from napari_mpi.weights.library import (
    WeightsFacts,
    delete_weights,
    files_of_weights,
    import_weights,
    weights_facts,
)

__all__ = ["WeightsWidget"]

_TITLE = "MPI weights"
_POLL = 100  # milliseconds
_DOWNLOAD, _DELETE = "Download", "Delete"


class WeightsWidget(QWidget):  # type: ignore[misc]
    """List weights, download, import and delete them."""

    def __init__(self) -> None:
        super().__init__()
        Preferences.apply()
        self._facts: dict[str, WeightsFacts] = {}
        self._worker: Any = None
        self._transfer = Transfer()

        self.list = QTreeWidget()
        self.list.setToolTip("Choose weights to see what is known of them.")
        self.list.setColumnCount(2)
        self.list.setHeaderLabels(["weights", "where"])
        self.list.setRootIsDecorated(False)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setToolTip("What is known of the chosen weights.")
        self.download_button = _button(
            "Download…", "Fetch the chosen weights from the internet, after asking."
        )
        self.import_button = _button(
            "Import…", "Add a weights file of your own to the list."
        )
        self.folder_button = _button(
            "Show folder", "Open the folder where the weights are kept."
        )
        self.delete_button = _button(
            "Delete…", "Delete the chosen weights from this computer, after asking."
        )
        self.progress = QProgressBar()
        self.cancel_button = _button(
            "Cancel download", "End the download and leave nothing of it."
        )

        layout = QVBoxLayout(self)
        layout.addWidget(self.list)
        layout.addWidget(self.details)
        buttons = QGridLayout()
        buttons.addWidget(self.download_button, 0, 0)
        buttons.addWidget(self.import_button, 0, 1)
        buttons.addWidget(self.folder_button, 1, 0)
        buttons.addWidget(self.delete_button, 1, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.cancel_button)
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL)
        self._poll.timeout.connect(self._show_transfer)

        self.list.currentItemChanged.connect(self._show_details)
        self.download_button.clicked.connect(self.download)
        self.import_button.clicked.connect(self.import_file)
        self.folder_button.clicked.connect(self.show_folder)
        self.delete_button.clicked.connect(self.delete)
        self.cancel_button.clicked.connect(self.cancel)
        self._set_downloading(False)
        self.refresh()
        LibraryFollower(self, self.refresh)

    @property
    def downloading(self) -> bool:
        """Whether a download is under way."""
        return self._worker is not None

    @property
    def chosen(self) -> WeightsFacts | None:
        """The weights that are chosen in the list."""
        item = self.list.currentItem()
        return None if item is None else self._facts.get(item.text(0))

    def choose(self, name: str) -> None:
        """Choose weights in the list by their name."""
        for item in self.list.findItems(name, Qt.MatchFlag.MatchExactly):
            self.list.setCurrentItem(item)

    def refresh(self) -> None:
        """Read the weights folder again; the choice stays where it can."""
        before = self.chosen
        self._facts = {facts.name: facts for facts in weights_facts()}
        self.list.clear()
        self.list.addTopLevelItems(
            [QTreeWidgetItem([one.name, one.place]) for one in self._facts.values()]
        )
        self.list.setCurrentItem(self.list.topLevelItem(0))
        if before is not None:
            self.choose(before.name)

    def download(self) -> None:
        """Fetch the chosen weights, if the user agrees."""
        facts = self.chosen
        if self.downloading or facts is None or facts.place != "online":
            return
        online = ONLINE[facts.name]
        answer = ask(
            self,
            _TITLE,
            f"Download {facts.name}?",
            f"From: {online.url}\n\nSize: {_megabytes(online.size)}\n\n"
            f"Licence: {online.licence}",
            [_DOWNLOAD],
        )
        if answer != _DOWNLOAD:
            return
        self._transfer = Transfer(total=online.size)
        self._worker = self._transfer.worker = download_in_thread(
            facts.name,
            self._transfer,
            _start_thread=False,
            _connect={
                "returned": self._on_downloaded,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        # Without the dock nobody could end it, or see how far it is.
        self.destroyed.connect(self._transfer.cancel)
        self._set_downloading(True)
        self._worker.start()

    def cancel(self) -> None:
        """End the download and leave nothing of it."""
        self._transfer.cancel()
        self.cancel_button.setEnabled(False)

    def import_file(self) -> None:
        """Let the user choose a file and add it to the list."""
        file, _ = QFileDialog.getOpenFileName(self, "Import weights", "", WEIGHTS_FILES)
        if file:
            self.import_weights(file)

    def import_weights(self, file: str | Path) -> None:
        """Add a file to the list."""
        try:
            path = import_weights(file)
        except (ValueError, OSError) as error:
            show_warning(str(error))
            return
        library_events.changed.emit()
        self.choose(path.stem)

    def show_folder(self) -> None:
        """Open the weights folder in the computer's file manager."""
        folder = weights_folder()
        folder.mkdir(parents=True, exist_ok=True)
        library_events.changed.emit()
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            show_info(f"The weights are kept in {folder}.")

    def delete(self) -> None:
        """Delete the chosen weights, if the user agrees."""
        facts = self.chosen
        if facts is None or facts.place != "installed":
            return
        files = "\n".join(str(path) for path in files_of_weights(facts.name))
        answer = ask(
            self,
            _TITLE,
            f"Delete the weights {facts.name}?",
            f"These files will be gone:\n\n{files}",
            [_DELETE],
        )
        if answer != _DELETE:
            return
        try:
            delete_weights(facts.name)
        except (ValueError, OSError) as error:
            show_warning(str(error))
        library_events.changed.emit()

    def _show_details(self) -> None:
        facts = self.chosen
        self.details.setPlainText("" if facts is None else _in_words(facts))
        self._enable_buttons()

    def _enable_buttons(self) -> None:
        place = None if self.chosen is None else self.chosen.place
        self.download_button.setEnabled(place == "online" and not self.downloading)
        self.delete_button.setEnabled(place == "installed")

    def _show_transfer(self) -> None:
        self.progress.setMaximum(max(self._transfer.total, 1))
        self.progress.setValue(self._transfer.done)

    def _on_downloaded(self, path: Path | None) -> None:
        if path is not None:
            library_events.changed.emit()
            self.choose(path.stem)

    def _on_error(self, error: Exception) -> None:
        show_error(error)

    def _on_finished(self) -> None:
        self._worker = None
        self._set_downloading(False)

    def _set_downloading(self, downloading: bool) -> None:
        self.progress.setVisible(downloading)
        self.cancel_button.setVisible(downloading)
        self.cancel_button.setEnabled(downloading)
        if downloading:
            self._show_transfer()
            self._poll.start()
        else:
            self._poll.stop()
        self._enable_buttons()


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _in_words(facts: WeightsFacts) -> str:
    lines = [
        f"From: {facts.origin}",
        f"Licence: {facts.licence}",
        f"Measured: {facts.verdict}" if facts.verdict else "",
        f"Trained for: {facts.steps:,} steps" if facts.steps else "",
        f"Size: {_megabytes(facts.size)}",
        f"sha256: {facts.sha256}" if facts.sha256 else "",
    ]
    return "\n".join(filter(None, lines))
