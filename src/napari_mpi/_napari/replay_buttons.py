"""Buttons that repeat a run: its settings in the form, or lines to copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import Container, PushButton
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QApplication

from napari_mpi._napari.controls import row
from napari_mpi.pipeline.replay import as_command, as_python

__all__ = ["ReplayButtons"]


class ReplayButtons(Container):  # type: ignore[misc]
    """Use the settings of the run that `offer` was told of, or copy it.

    Parameters
    ----------
    tell : callable
        Takes what is to be said to the user.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(labels=False)
        self._tell = tell
        self.margins = (0, 0, 0, 0)
        self._report: dict[str, Any] | None = None
        self._source: Image | None = None
        self.use_button = PushButton(
            text="Use these settings",
            enabled=False,
            tooltip="Fill the form with the settings of the last run, or of the one "
            "that made the chosen image.",
        )
        self.python_button = PushButton(
            text="Copy as Python",
            enabled=False,
            tooltip="Copy lines that repeat the last run, or the one that made the "
            "chosen image.",
        )
        self.command_button = PushButton(
            text="Copy as command",
            enabled=False,
            tooltip="Copy a command that repeats the last run, or the one that made "
            "the chosen image.",
        )
        self.extend([self.use_button, row(self.python_button, self.command_button)])
        self.python_button.clicked.connect(self.copy_as_python)
        self.command_button.clicked.connect(self.copy_as_command)

    def offer(self, report: dict[str, Any] | None, source: Image | None) -> None:
        """Offer the run that this report tells of, and name its input if it is here."""
        self._report, self._source = report, source
        for button in (self.use_button, self.python_button, self.command_button):
            button.enabled = report is not None

    def copy_as_python(self) -> None:
        """Put lines that repeat the run on the clipboard."""
        if self._report is not None:
            QApplication.clipboard().setText(as_python(self._report))
            self._tell(f"Copied: paste the lines where `image` holds {self._pixels()}.")

    def _pixels(self) -> str:
        """Say whose pixels the copied lines take."""
        layer = self._source
        if layer is None:
            return "the pixels that this was made from"
        full = "[0]" if layer.multiscale else ""
        return (
            "the pixels, as in the console of napari after "
            f"`image = viewer.layers[{layer.name!r}].data{full}`"
        )

    def copy_as_command(self) -> None:
        """Put a command that repeats the run on the clipboard."""
        if self._report is None:
            return
        try:
            QApplication.clipboard().setText(as_command(self._report))
        except ValueError as error:
            show_warning(str(error))
        else:
            self._tell("Copied: put the file's name in the place of IN.tif.")
