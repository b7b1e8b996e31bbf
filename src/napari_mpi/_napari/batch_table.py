"""The table of a batch: a row for each file, filled as the batch goes on."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
)

from napari_mpi.batch.inputs import Inputs, Job
from napari_mpi.batch.plan import Planned
from napari_mpi.batch.records import Record

__all__ = ["BatchTable", "Key", "key_of"]

Key = tuple[str, str]

_COLUMNS = ("file", "status", "found")
_NAME, _STATUS, _FOUND = range(len(_COLUMNS))
_RESULT = Qt.ItemDataRole.UserRole
_LEAST_HEIGHT = 130  # pixels; a header and some rows


class BatchTable(QTableWidget):  # type: ignore[misc]
    """Tells of each file what became of it."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self._rows: dict[Key, int] = {}
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setToolTip("Choose a file to read more; double-click opens its result.")
        self.setAccessibleName("files")
        self.setAccessibleDescription(self.toolTip())
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegateForColumn(_NAME, _PathDelegate(self))
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.setMinimumHeight(_LEAST_HEIGHT)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(60)
        header.setHighlightSections(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_STATUS, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_FOUND, QHeaderView.ResizeMode.Stretch)

    def begin(self, found: Inputs) -> None:
        """Show the files, nothing of which is done yet."""
        jobs = [job for job, _ in found.refused] + found.jobs
        self._rows = {key_of(job): row for row, job in enumerate(jobs)}
        self.clearContents()
        self.setRowCount(len(jobs))
        for row, job in enumerate(jobs):
            for column in range(len(_COLUMNS)):
                self.setItem(row, column, QTableWidgetItem())
            self._write(row, _NAME, job.name)
            self._write(row, _STATUS, "waiting")

    def plan(self, planned: Planned) -> str:
        """Show what would be done with a file, and return its status."""
        row = self._rows[key_of(planned.job)]
        if planned.done:
            status, said = "already done", "It would be left as it is."
            self._offer(row, str(planned.job.target))
        elif planned.forecast is None:
            status, said = "failed", planned.reason
        else:
            status = "to do"
            said = f"It takes {planned.forecast}. Result: {planned.job.target}"
        self._write(row, _STATUS, status)
        self._write(row, _FOUND, said)
        return status

    def follow(self, job: Job, status: str) -> None:
        """Show how far the file at work is."""
        self._write(self._rows[key_of(job)], _STATUS, status)

    def show_record(self, record: Record) -> str:
        """Show what became of a file, and return its status."""
        row = self._rows[key_of(record)]
        is_done = record.status == "done"
        status = "already done" if is_done and record.earlier else record.status
        self._write(row, _STATUS, status)
        self._write(row, _FOUND, _in_words(record))
        if is_done:
            self._offer(row, record.target)
        self.scrollToItem(self.item(row, _NAME))
        return status

    def details(self) -> str:
        """Return all that is known of the chosen file."""
        row = self.currentRow()
        if row < 0:
            return ""
        name, status, found = (
            self.item(row, column).text() for column in range(len(_COLUMNS))
        )
        return f"{name}, {status}. {found}".strip()

    def result(self) -> Path | None:
        """Return the denoised file of the chosen row, if it is done."""
        row = self.currentRow()
        target = None if row < 0 else self.item(row, _NAME).data(_RESULT)
        return Path(target) if target else None

    def _write(self, row: int, column: int, text: str) -> None:
        item = self.item(row, column)
        item.setText(text)
        item.setToolTip(text)

    def _offer(self, row: int, target: str) -> None:
        self.item(row, _NAME).setData(_RESULT, target)


class _PathDelegate(QStyledItemDelegate):  # type: ignore[misc]
    """Shortens a path in its middle, as its end tells most."""

    def initStyleOption(  # noqa: N802, the name is Qt's
        self, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        super().initStyleOption(option, index)
        option.textElideMode = Qt.TextElideMode.ElideMiddle


def _in_words(record: Record) -> str:
    if record.status != "done":
        return record.reason
    noise = "" if record.noise is None else f"Noise {record.noise:.3g}."
    words = [record.reason, noise, record.verdict, record.found]
    return " ".join(filter(None, words))


def key_of(image: Job | Record) -> Key:
    """Return what tells an image from all others: files may hold several."""
    return str(image.source), str(image.target)
