"""The form of the batch dock: which files, where to, and how."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import CheckBox, ComboBox

from napari_mpi._napari.batch_workers import BatchTask
from napari_mpi._napari.controls import chosen_path, path_field
from napari_mpi._napari.fill_form import FillForm
from napari_mpi._napari.preferences import Preferences
from napari_mpi.io.image_data import SUFFIXES

__all__ = ["BatchForm"]

_FOLDER, _FILES = "a folder", "some files"
_FORMATS = [("OME-TIFF", "ome-tiff"), ("OME-Zarr", "ome-zarr")]
_TOOLTIPS = {
    "source": "Every image is denoised on its own. None of them is changed.",
    "folder": "The folder of images; folders inside it are searched, too.",
    "files": "The images; several can be chosen at once.",
    "output": "The folder for the denoised images and their report. It may be a new "
    "one.",
    "format": "Format of the results. OME-TIFF opens nearly everywhere; OME-Zarr suits "
    "images that are larger than the memory.",
    "noise_map": "Also write what was removed, as a file beside each result.",
}


class BatchForm(FillForm):
    """Which files to denoise, where to put the results, and how.

    Parameters
    ----------
    preferences : Preferences
        What is chosen at first.
    """

    def __init__(self, preferences: Preferences) -> None:
        endings = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        super().__init__(
            preferences,
            above=[
                ComboBox(name="source", label="images", choices=[_FOLDER, _FILES]),
                path_field(name="folder", mode="d"),
                path_field(name="files", mode="rm", filter=f"Images ({endings})"),
                path_field(name="output", label="results", mode="d"),
            ],
            below=[
                ComboBox(name="format", choices=_FORMATS),
                CheckBox(name="noise_map", label="also write noise maps"),
            ],
            tooltips=_TOOLTIPS,
            uncertainty="also write uncertainty",
        )
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
        return BatchTask(
            paths=self._paths(),
            output=self._output(),
            options=self.options(),
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
        folder = chosen_path(self.folder, "Choose the folder of the images to denoise.")
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}: choose the images' folder.")
        return (folder,)

    def _output(self) -> Path:
        output = chosen_path(self.output, "Choose the folder for the results.")
        if output.exists() and not output.is_dir():
            raise ValueError(f"{output} is a file: choose a folder for the results.")
        return output.absolute()

    def report(self) -> Path | None:
        """Return the report in the folder of the results, if there is one."""
        try:
            report = self._output() / "batch.html"
        except ValueError:
            return None
        return report if report.is_file() else None
