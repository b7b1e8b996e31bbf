"""The choices that every form of denoising offers: preset, noise, weights, device."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import ComboBox, Container, FileEdit

from napari_mpi._napari.library_events import LibraryFollower
from napari_mpi._napari.preferences import Preferences
from napari_mpi.config import NOISE_KINDS, PRESETS
from napari_mpi.engine.devices import available_devices
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import BUNDLED

__all__ = ["FROM_FILE", "MEASURED", "FillChoices"]

_NOISE_LABELS = {
    "independent": "pixel by pixel (photons)",
    "correlated": "shared by neighbours",
    "strongly-correlated": "blurred, in patches",
}
MEASURED = "measured"
FROM_FILE = "from file…"


class FillChoices(Container):  # type: ignore[misc]
    """A form with the choices made, but not yet laid out.

    Parameters
    ----------
    preferences : Preferences
        What is chosen at first.
    """

    def __init__(self, preferences: Preferences) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self.preset = ComboBox(
            label="preset",
            choices=list(PRESETS),
            value=preferences.preset,
            tooltip="'auto' measures the noise and chooses for itself; 'fast' does "
            "so in less time; 'paper' and 'paper-fast' are the published "
            "settings.",
        )
        self.noise = ComboBox(
            label="noise",
            choices=[
                ("measured", MEASURED),
                *((_NOISE_LABELS[kind], kind) for kind in NOISE_KINDS),
            ],
            value=MEASURED,
            tooltip="Whether neighbouring pixels share their noise; 'auto' measures "
            "it. If fine grain "
            "remains, try 'shared by neighbours'; if detail is lost, 'pixel by pixel'.",
        )
        self.weights = ComboBox(
            label="weights",
            choices=lambda _: [*BUNDLED, *installed_weights(), FROM_FILE],
            tooltip="What the network has learnt before: the bundled weights, or your "
            "own.",
        )
        self.weights_file = FileEdit(
            label="file",
            filter="Weights (*.safetensors *.pth *.pt)",
            tooltip="Weights that were trained here, or the MPI authors' files.",
        )
        devices = ["auto", *available_devices()]
        self.device = ComboBox(
            label="device",
            choices=devices,
            value=preferences.device if preferences.device in devices else "auto",
            tooltip="Where to compute; 'auto' takes the fastest there is.",
        )
        self.weights.changed.connect(self._show_weights_file)
        LibraryFollower(self.native, self.weights.reset_choices)

    def _choices(self) -> list[ComboBox | FileEdit]:
        """Return the choices in the order in which they are laid out."""
        return [self.preset, self.noise, self.weights, self.weights_file, self.device]

    def _show_weights_file(self) -> None:
        self.weights_file.visible = self.weights.value == FROM_FILE

    def _noise_kind(self) -> str | None:
        return None if self.noise.value == MEASURED else self.noise.value

    def _weights_source(self) -> str | Path:
        if self.weights.value == FROM_FILE:
            return Path(self.weights_file.value)
        return str(self.weights.value)
