"""The form of the batch dock: which files, where to, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FileEdit

from napari_mpi._napari.batch_workers import BatchTask
from napari_mpi._napari.choices import FROM_FILE, FillChoices
from napari_mpi._napari.preferences import Preferences
from napari_mpi.io.image_data import SUFFIXES

__all__ = ["BatchForm"]

_FOLDER, _FILES = "a folder", "some files"
_FORMATS = [("OME-TIFF", "ome-tiff"), ("OME-Zarr", "ome-zarr")]


class BatchForm(FillChoices):
    """Which files to denoise, where to put the results, and how.

    Parameters
    ----------
    preferences : Preferences
        What is chosen at first.
    """

    def __init__(self, preferences: Preferences) -> None:
        super().__init__(preferences)
        self.source = ComboBox(
            label="images",
            choices=[_FOLDER, _FILES],
            tooltip="Every image is denoised on its own. None of them is changed.",
        )
        self.folder = _path_field(
            label="folder",
            mode="d",
            tooltip="The folder of images; folders inside it are searched, too.",
        )
        self.files = _path_field(
            label="files",
            mode="rm",
            filter=f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)})",
            tooltip="The images; several can be chosen at once.",
        )
        self.output = _path_field(
            label="results",
            mode="d",
            tooltip="The folder for the denoised images and their report. It may be "
            "a new one.",
        )
        self.format = ComboBox(
            label="format",
            choices=_FORMATS,
            tooltip="Format of the results. OME-TIFF opens nearly everywhere; "
            "OME-Zarr suits images that are larger than the memory.",
        )
        self.noise_map = CheckBox(
            text="also write noise maps",
            tooltip="Also write what was removed, as a file beside each result.",
        )
        self.extend(
            [
                *(self.source, self.folder, self.files, self.output),
                *(*self._choices(), self.format, self.noise_map),
            ]
        )
        self.weights_file.visible = False
        self.source.changed.connect(self._show_source)
        self._show_source()

    def _show_source(self) -> None:
        self.folder.visible = self.source.value == _FOLDER
        self.files.visible = self.source.value == _FILES

    def task(self) -> BatchTask:
        """Gather what the thread needs, so that it never touches a widget.

        Raises
        ------
        ValueError
            If something is not chosen yet or is not there; the message says what.
        """
        options: dict[str, Any] = {
            "preset": self.preset.value,
            "noise": self._noise_kind(),
            "weights": self._weights_source(),
            "device": self.device.value,
            # Named as the command names it, so that each takes over the other's files.
            "uncertainty": False,
        }
        if self.weights.value == FROM_FILE and not _text(self.weights_file):
            raise ValueError("Choose the file of weights.")
        return BatchTask(
            paths=self._paths(),
            output=self._output(),
            options=options,
            noise_map=self.noise_map.value,
            format=self.format.value,
        )

    def _paths(self) -> tuple[Path, ...]:
        if self.source.value == _FILES:
            paths = tuple(self.files.value)
            if not paths:
                raise ValueError("Choose the images to denoise.")
            for path in paths:
                if not path.exists():
                    raise ValueError(
                        f"There is no file {path}: choose the images again. If a name "
                        "holds a comma, choose the folder instead."
                    )
            return paths
        if not _text(self.folder):
            raise ValueError("Choose the folder of the images to denoise.")
        folder = Path(self.folder.value).expanduser()
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}: choose the images' folder.")
        return (folder,)

    def output_folder(self) -> Path | None:
        """Return the folder of the results, or None if it is not chosen yet."""
        if not _text(self.output):
            return None
        return Path(self.output.value).expanduser().absolute()

    def _output(self) -> Path:
        output = self.output_folder()
        if output is None:
            raise ValueError("Choose the folder for the results.")
        if output.exists() and not output.is_dir():
            raise ValueError(f"{output} is a file: choose a folder for the results.")
        return output


def _path_field(**options: Any) -> FileEdit:
    field = FileEdit(**options)
    field.choose_btn.text = "Choose…"  # magicgui's words leave no room for the path
    field.choose_btn.tooltip = options["tooltip"]
    return field


def _text(field: FileEdit) -> str:
    # The value of an empty field is the folder that the program is in.
    return str(field.line_edit.value).strip()
