"""The dock that denoises a folder of files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton
from napari.utils.notifications import notification_manager, show_info, show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPlainTextEdit, QSizePolicy

from napari_mpi._napari.batch_form import BatchForm
from napari_mpi._napari.batch_table import BatchTable
from napari_mpi._napari.batch_workers import (
    BatchCourse,
    BatchFailedError,
    BatchTask,
    batch_in_thread,
    list_in_thread,
)
from napari_mpi._napari.keyboard import make_reachable
from napari_mpi._napari.preferences import Preferences
from napari_mpi.batch.inputs import Inputs
from napari_mpi.batch.plan import Planned
from napari_mpi.batch.records import Record
from napari_mpi.pipeline.api import Forecast
from napari_mpi.weights.loading import prefer_weights_folder

__all__ = ["BatchWidget"]

_POLL = 100  # milliseconds
_DETAILS_HEIGHT = 80  # pixels
_READY = "Choose the images and a folder for the results."
_CARRY_ON = (
    "Finished files stay. Run with the same settings carries on where this one ended."
)


class BatchWidget(Container):  # type: ignore[misc]
    """Denoise many files, each on its own, into a folder.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where results are opened.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(labels=False)
        self._viewer = napari_viewer
        self._worker: Any = None
        self._course = BatchCourse()
        self._cancelled = self._failed = self._closed = False

        preferences = Preferences.load()
        prefer_weights_folder(preferences.weights_folder)
        self.form = BatchForm(preferences)
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
        self.progress = ProgressBar(
            label="progress",
            min=0,
            max=1000,
            value=0,
            tooltip="How much of the batch is done.",
        )
        self.status = Label(value=_READY, tooltip="What is being done.")
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
        buttons = _row(self.list_button, self.run_button, self.cancel_button)
        openers = _row(self.open_button, self.report_button)
        self.extend([self.form, buttons, self.progress])
        layout = self.native.layout()
        self.status.native.setWordWrap(True)
        # A long text takes more lines; it must not pull the dock wide.
        self.status.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        for part in (self.status.native, self.table, self.details, openers.native):
            layout.addWidget(part)
        self._poll = QTimer(self.native)
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
        self.native.destroyed.connect(self._on_closed)
        self._set_running(False)
        self._show_details()
        make_reachable(self, openers)

    @property
    def running(self) -> bool:
        """Whether files are being listed or denoised."""
        return self._worker is not None

    def list_files(self) -> None:
        """Tell what would be done, and write nothing."""
        task = self._task()
        if task is not None:
            self._start(list_in_thread, task)

    def run(self) -> None:
        """Denoise all files, or carry on where an earlier run ended."""
        task = self._task()
        if task is not None:
            self._start(batch_in_thread, task, self._course)
            self._poll.start()

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
        report = self._report()
        if report and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(report))):
            show_info(f"The report is {report}.")

    def _task(self) -> BatchTask | None:
        if self.running:
            return None
        try:
            return self.form.task()
        except ValueError as error:
            self._refuse(str(error))
            return None

    def _refuse(self, said: str) -> None:
        show_warning(said)
        self.status.value = said

    def _start(self, work: Any, *arguments: Any) -> None:
        self._cancelled = self._failed = False
        self._listing = work is list_in_thread
        self._n_files = 0
        self._over = set[str]()  # the images that are done with
        self._counts = Counter[str]()
        self._seconds, self._memory = 0.0, 0
        self._course.at_work = None
        self._worker = self._course.worker = work(
            *arguments,
            _start_thread=False,
            _connect={
                "yielded": self._on_yielded,
                "warned": self._on_warning,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        self.table.setRowCount(0)
        self.progress.value = 0
        self.status.value = "Looking for images …"
        self._set_running(True)
        self._worker.start()

    def _on_yielded(self, item: Inputs | Planned | Record) -> None:
        # What the thread still has to say finds no widgets any more.
        if self._closed:
            return
        if isinstance(item, Inputs):
            self._n_files = len(item.jobs) + len(item.refused)
            self.table.begin(item)
            if not self._cancelled:
                self.status.value = f"Found {self._n_files} files."
            return
        if isinstance(item, Planned):
            self._over.add(str(item.job.source))
            self._counts[self.table.plan(item)] += 1
            if item.forecast is not None:
                self._seconds += item.forecast.seconds
                self._memory = max(self._memory, item.forecast.memory)
        else:
            self._over.add(item.source)
            self._counts[self.table.show_record(item)] += 1
            self._offer_report()
        self.progress.value = round(1000 * len(self._over) / self._n_files)
        self._show_details()
        if not self._cancelled:
            self.status.value = f"{len(self._over)} of {self._n_files} files."

    def _follow(self) -> None:
        """Show how far the file at work is."""
        at_work = self._course.at_work
        if at_work is None or self._cancelled:
            return
        job, progress = at_work
        if str(job.source) in self._over:
            return
        self.table.follow(job, f"{100 * progress.fraction:.0f} %")
        over = len(self._over) + progress.fraction
        self.progress.value = round(1000 * over / self._n_files)
        place = f"plane {progress.plane + 1} of {progress.n_planes}"
        if progress.phase == "adapting":
            place = "learning from the image"
        number = f"File {len(self._over) + 1} of {self._n_files}"
        self.status.value = f"{number}: {job.name}, {place}"

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        show_warning(str(warning[0]))

    def _on_error(self, error: Exception) -> None:
        self._failed = True
        if self._closed:
            return
        if isinstance(error, BatchFailedError):
            self._refuse(str(error))
        else:  # no one's fault but ours
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.status.value = f"Not done: {error}"

    def _on_finished(self) -> None:
        self._worker = self._course.worker = None
        if self._closed:
            return
        self._poll.stop()
        self._set_running(False)
        self._offer_report()
        if not self._failed:
            self.status.value = self._outcome()

    def _outcome(self) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self._counts.items())
        if self._cancelled:
            at_work = self._course.at_work
            if at_work is not None and str(at_work[0].source) not in self._over:
                self.table.follow(at_work[0], "stopped")
            so_far = f"Cancelled after {len(self._over)} of {self._n_files} files."
            return so_far if self._listing else f"{so_far} {_CARRY_ON}"
        if not self._listing:
            return f"Finished: {counts}."
        if not self._counts["to do"]:
            return f"Listed: {counts}."
        return f"Listed: {counts}; {Forecast(self._seconds, self._memory)} in all."

    def _show_details(self) -> None:
        self.details.setPlainText(self.table.details())
        self.open_button.enabled = self.table.result() is not None

    def _report(self) -> Path | None:
        folder = self.form.output_folder()
        report = None if folder is None else folder / "batch.html"
        return report if report is not None and report.is_file() else None

    def _offer_report(self) -> None:
        self.report_button.enabled = self._report() is not None

    def _on_closed(self) -> None:
        """End the batch when the dock or the window is gone."""
        self._closed = True
        if self._worker is not None:
            self._worker.quit()

    def _set_running(self, running: bool) -> None:
        self.form.enabled = not running
        self.list_button.enabled = self.run_button.enabled = not running
        self.cancel_button.enabled = running


def _row(*buttons: PushButton) -> Container:
    row = Container(widgets=list(buttons), layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row
