"""The dock that denoises a folder of files."""

from __future__ import annotations

from collections import Counter
from typing import Any

from magicgui.widgets import PushButton
from napari.utils.notifications import show_info, show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPlainTextEdit

from napari_mpi._napari.batch_form import BatchForm
from napari_mpi._napari.batch_table import BatchTable, Key, key_of
from napari_mpi._napari.batch_workers import (
    BatchCourse,
    BatchFailedError,
    batch_in_thread,
    list_in_thread,
)
from napari_mpi._napari.controls import row
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.run_dock import RunDock
from napari_mpi.batch.inputs import Inputs
from napari_mpi.batch.plan import Planned
from napari_mpi.batch.records import Record
from napari_mpi.pipeline.api import Forecast

__all__ = ["BatchWidget"]

_POLL = 100  # milliseconds
_DETAILS_HEIGHT = 80  # pixels
_READY = "Choose the images and a folder for the results."
_CARRY_ON = (
    "Finished files stay. Run with the same settings carries on where this one ended."
)


class BatchWidget(RunDock):
    """Denoise many files, each on its own, into a folder.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where results are opened.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._course = BatchCourse()
        self._cancelled = self._failed = False
        self._left_out = ""

        self.form = BatchForm(Preferences.apply())
        self.list_button = PushButton(
            text="List files",
            tooltip="Only tell what would be done with each file, and how long it "
            "would take.",
        )
        self.run_button = PushButton(
            text="Run",
            tooltip="Denoise all files. What an earlier run with the same settings "
            "has finished is left as it is.",
        )
        self.cancel_button = PushButton(
            text="Cancel",
            tooltip="Stop now. Finished files stay, and a later run with the same "
            "settings carries on.",
        )
        self._set_up("batch", _READY)
        self.table = BatchTable()
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setTabChangesFocus(True)
        self.details.setMaximumHeight(_DETAILS_HEIGHT)
        self.details.setPlaceholderText("Choose a file above to read more of it.")
        self.details.setToolTip("What is known of the chosen file.")
        self.details.setAccessibleName("chosen file")
        self.open_button = PushButton(
            text="Open result",
            tooltip="Open the denoised image of the chosen file as a layer.",
        )
        self.report_button = PushButton(
            text="Open report",
            enabled=False,
            tooltip="Open batch.html, which shows all files before and after.",
        )
        buttons = row(self.list_button, self.run_button, self.cancel_button)
        openers = row(self.open_button, self.report_button)
        self._lay_out(
            self.form,
            buttons,
            self.progress,
            self.status,
            self.table,
            self.details,
            openers,
        )
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL)
        self._poll.timeout.connect(self._follow)

        self.list_button.clicked.connect(self.list_files)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.open_button.clicked.connect(self.open_result)
        self.report_button.clicked.connect(self.open_report)
        self.form.output.changed.connect(self._offer_report)
        self.table.itemSelectionChanged.connect(self._show_details)
        self.table.cellDoubleClicked.connect(lambda *_: self.open_result())
        self._show_details()

    def list_files(self) -> None:
        """Tell what would be done, and write nothing."""
        self._begin(list_in_thread)

    def run(self) -> None:
        """Denoise all files, or carry on where an earlier run ended."""
        self._begin(batch_in_thread, self._course)

    def cancel(self) -> None:
        """Stop after the current iteration; finished files and planes stay."""
        if self._worker is not None:
            self._cancelled = True
            self.cancel_button.enabled = False
            self.status.value = "Cancelling …"
            self._worker.quit()

    def open_result(self) -> None:
        """Open the denoised image of the chosen file."""
        path = self.table.result()
        if path is None:
            return
        if not path.exists():
            show_warning(f"{path} is not there any more: run the batch again.")
            return
        self._viewer.open(str(path), plugin="napari-mpi")

    def open_report(self) -> None:
        """Open the report in the browser."""
        report = self.form.report()
        if report and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(report))):
            show_info(f"The report is {report}.")

    def _begin(self, work: Any, *arguments: Any) -> None:
        if self.running:
            return
        try:
            Preferences.apply(self.form.weights)
            task = self.form.task()
        except ValueError as error:
            self._refuse(str(error))
            return
        self._cancelled = self._failed = False
        self._listing = work is list_in_thread
        self._n_images, self._left_out = 0, ""
        self._over = set[Key]()  # the images that are done with
        self._counts = Counter[str]()
        self._seconds, self._memory = 0.0, 0
        self._course.at_work = None
        worker = self._course.worker = work(task, *arguments)
        self.table.setRowCount(0)
        self.status.value = "Looking for images …"
        self._poll.start()
        self._start(worker)

    def _on_yielded(self, item: Inputs | Planned | Record) -> None:
        # What the thread still has to say finds no widgets any more.
        if self._closed:
            return
        if isinstance(item, Inputs):
            self._n_images = len(item.jobs) + len(item.refused)
            self._left_out = "\n".join(item.left_out)
            self.table.begin(item)
            self._show_details()
            if not self._cancelled:
                self.status.value = f"Found {self._n_images} images."
            return
        if isinstance(item, Planned):
            self._over.add(key_of(item.job))
            self._counts[self.table.plan(item)] += 1
            if item.forecast is not None:
                self._seconds += item.forecast.seconds
                self._memory = max(self._memory, item.forecast.memory)
        else:
            self._over.add(key_of(item))
            self._counts[self.table.show_record(item)] += 1
            self._offer_report()
        self.progress.value = round(1000 * len(self._over) / self._n_images)
        self._show_details()
        if not self._cancelled:
            self.status.value = f"{len(self._over)} of {self._n_images} images."

    def _follow(self) -> None:
        """Show how far the file at work is."""
        at_work = self._course.at_work
        if at_work is None or self._cancelled:
            return
        job, progress = at_work
        if key_of(job) in self._over:
            return
        self.table.follow(job, f"{100 * progress.fraction:.0f} %")
        over = len(self._over) + progress.fraction
        self.progress.value = round(1000 * over / self._n_images)
        place = f"plane {progress.plane + 1} of {progress.n_planes}"
        if progress.phase == "adapting":
            place = "learning from the image"
        number = f"Image {len(self._over) + 1} of {self._n_images}"
        self.status.value = f"{number}: {job.name}, {place}"

    def _on_error(self, error: Exception) -> None:
        self._failed = True
        if not isinstance(error, BatchFailedError):  # no one's fault but ours
            super()._on_error(error)
        elif not self._closed:
            self._refuse(str(error))

    def _on_finished(self) -> None:
        super()._on_finished()
        self._course.worker = None
        if self._closed:
            return
        self._poll.stop()
        self._offer_report()
        if not self._failed:
            self.status.value = self._outcome()

    def _outcome(self) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self._counts.items())
        if self._cancelled:
            at_work = self._course.at_work
            if at_work is not None and key_of(at_work[0]) not in self._over:
                self.table.follow(at_work[0], "stopped")
            so_far = f"Cancelled after {len(self._over)} of {self._n_images} images."
            return so_far if self._listing else f"{so_far} {_CARRY_ON}"
        if not self._listing:
            return f"Finished: {counts}."
        if not self._counts["to do"]:
            return f"Listed: {counts}."
        return f"Listed: {counts}; {Forecast(self._seconds, self._memory)} in all."

    def _show_details(self) -> None:
        self.details.setPlainText(self.table.details() or self._left_out)
        self.open_button.enabled = self.table.result() is not None

    def _offer_report(self) -> None:
        self.report_button.enabled = self.form.report() is not None

    def _set_running(self, running: bool) -> None:
        self.form.enabled = not running
        self.list_button.enabled = self.run_button.enabled = not running
        self.cancel_button.enabled = running
