"""Controls that several docks and forms have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, FileEdit, SpinBox
from qtpy.QtWidgets import QWidget

from napari_mpi._napari.folds import Fold
from napari_mpi.engine.devices import available_devices

__all__ = [
    "WEIGHTS_FILES",
    "align_labels",
    "chosen_path",
    "device_choice",
    "explain",
    "fold_away",
    "path_field",
    "row",
    "seed_field",
]

WEIGHTS_FILES = "Weights (*.safetensors *.pth *.pt)"
"""What can be chosen where weights are asked for."""


def explain(form: Container, tooltips: Mapping[str, str]) -> None:
    """Give each control of a form the tooltip of its name; there has to be one."""
    for control in form:
        control.tooltip = tooltips[control.name]


def align_labels(form: Container) -> None:
    """Let the controls of a form that is in a window begin below each other.

    magicgui measured the labels in the application's font, before the window's style
    gave them another one.
    """
    labels = []
    for control in form:
        line: QWidget = control.native.parentWidget()
        if line is not form.native:  # a label, then the control
            labels.append(line.layout().itemAt(0).widget())
    for label in labels:
        label.ensurePolished()
    widest = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setMinimumWidth(widest)


def row(*widgets: Any, **options: Any) -> Container:
    """Lay widgets out side by side."""
    container = Container(
        widgets=list(widgets), layout="horizontal", labels=False, **options
    )
    container.margins = (0, 0, 0, 0)
    return container


def fold_away(form: Container, settings: Container) -> Fold:
    """Put settings at the end of a form, to be unfolded."""
    settings.margins = (0, 0, 0, 0)
    fold = Fold("advanced settings", "Settings that do well for most images.")
    fold.addWidget(settings.native)
    fold.collapse()
    form.native.layout().addWidget(fold)
    return fold


def path_field(**options: Any) -> FileEdit:
    """Ask for a path; the button's own words would leave no room for it."""
    field = FileEdit(**options)
    field.choose_btn.text = "Choose…"
    return field


def chosen_path(field: FileEdit, otherwise: str) -> Path:
    """Return what stands in a field; an empty one is a ValueError in those words."""
    # The value of an empty field is the folder that the program is in.
    text = field.line_edit.value.strip()
    if not text:
        raise ValueError(otherwise)
    return Path(text).expanduser()


def device_choice(preferred: str = "auto") -> ComboBox:
    """Offer the devices that this computer has."""
    devices = ["auto", *available_devices()]
    chosen = preferred if preferred in devices else "auto"
    return ComboBox(name="device", choices=devices, value=chosen)


def seed_field() -> SpinBox:
    """Ask for the seed of all that is random."""
    return SpinBox(name="seed", max=2**31 - 1)
