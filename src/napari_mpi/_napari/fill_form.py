"""The part that all forms of denoising share: preset, noise, weights, device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from magicgui.widgets import ComboBox, Container
from magicgui.widgets.bases import Widget

from napari_mpi._napari.advanced import AdvancedSettings
from napari_mpi._napari.controls import (
    WEIGHTS_FILES,
    chosen_path,
    device_choice,
    explain,
    fold_away,
    path_field,
)
from napari_mpi._napari.library_follower import LibraryFollower
from napari_mpi._napari.preferences import Preferences
from napari_mpi.config import (
    MEASURING,
    NOISE_KINDS,
    PRESETS,
    FillConfig,
    fill_config,
)
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import load_weights

__all__ = ["FillForm"]

_NOISE_LABELS = {
    "independent": "pixel by pixel (photons)",
    "correlated": "shared by neighbours",
    "strongly-correlated": "blurred, in patches",
}
_KINDS = [(_NOISE_LABELS[kind], kind) for kind in NOISE_KINDS]
_MEASURED = "measured"
_FROM_FILE = "from file…"

_TOOLTIPS = {
    "preset": "'auto' measures the noise and chooses for itself; 'fast' does so in "
    "less time; 'paper' and 'paper-fast' are the published settings.",
    "noise": "Whether neighbouring pixels share their noise; 'auto' measures it. If "
    "fine grain remains, try 'shared by neighbours'; if detail is lost, 'pixel by "
    "pixel'.",
    "weights": "What the network has learnt before: the bundled weights, or your own.",
    "weights_file": "Weights that were trained here, or the MPI authors' files.",
    "device": "Where to compute; 'auto' takes the fastest there is.",
}


class FillForm(Container):  # type: ignore[misc]
    """How to denoise; `options` are keywords of `iter_denoise`.

    Parameters
    ----------
    preferences : Preferences
        What is chosen at first.
    above, below : sequence of Widget
        What else the form asks for.
    tooltips : mapping
        Of these, by their names.
    uncertainty : str
        What the box says with which one asks for the uncertainty.
    """

    def __init__(
        self,
        preferences: Preferences,
        *,
        above: Sequence[Widget],
        below: Sequence[Widget] = (),
        tooltips: Mapping[str, str],
        uncertainty: str,
    ) -> None:
        super().__init__()
        self.extend(
            [
                *above,
                ComboBox(
                    name="preset", choices=list(PRESETS), value=preferences.preset
                ),
                ComboBox(name="noise", choices=[(_MEASURED, _MEASURED), *_KINDS]),
                ComboBox(
                    name="weights",
                    choices=lambda _: [*BUNDLED, *installed_weights(), _FROM_FILE],
                ),
                path_field(name="weights_file", label="file", filter=WEIGHTS_FILES),
                device_choice(preferences.device),
                *below,
            ]
        )
        self.margins = (0, 0, 0, 0)
        explain(self, {**_TOOLTIPS, **tooltips})
        self.advanced = AdvancedSettings(uncertainty)
        self.advanced_fold = fold_away(self, self.advanced)
        self.weights.changed.connect(self._show_weights_file)
        self.preset.changed.connect(self._name_measured)
        for choice in (self.preset, self.noise):
            choice.changed.connect(self._follow_settings)
        self._show_weights_file()
        self._name_measured()
        self.advanced.show_config(self._config())
        LibraryFollower(self.native, self.weights.reset_choices)

    def _show_weights_file(self) -> None:
        self.weights_file.visible = self.weights.value == _FROM_FILE

    def _name_measured(self) -> None:
        """Promise no measuring of a preset that does not measure."""
        measures = self.preset.value in MEASURING
        words = _MEASURED if measures else "pixel by pixel (not measured)"
        chosen = self.noise.value
        with self.noise.changed.blocked():
            self.noise.choices = [(words, _MEASURED), *_KINDS]
            self.noise.value = chosen  # other words for it would lose it

    def _follow_settings(self) -> None:
        self.advanced.follow_config(self._config())

    def _config(self) -> FillConfig:
        return fill_config(self.preset.value, self._noise_kind())

    def _noise_kind(self) -> str | None:
        return None if self.noise.value == _MEASURED else self.noise.value

    def options(self) -> dict[str, Any]:
        """Gather what the thread needs, so that it never touches a widget.

        Raises
        ------
        ValueError
            If the weights are to come from a file that is not chosen yet.
        """
        weights = self.weights.value
        if weights == _FROM_FILE:
            weights = chosen_path(self.weights_file, "Choose the file of weights.")
        return {
            "preset": self.preset.value,
            "noise": self._noise_kind(),
            "weights": weights,
            "device": self.device.value,
            **self.advanced.options(),
        }

    def use(self, report: Mapping[str, Any]) -> list[str]:
        """Take over the settings of an earlier run.

        Parameters
        ----------
        report : mapping
            `Denoised.report`, or the record that a file holds of it.

        Returns
        -------
        list of str
            What is different from that run, in sentences for the user.
        """
        if report["preset"] not in PRESETS:
            return [
                "That run had a configuration of its own, which this form cannot hold. "
                "Repeat it with the lines of Copy as Python."
            ]
        self.preset.value = report["preset"]
        self.noise.value = report["noise"] or _MEASURED
        self.advanced.show_config(self._config())
        said = self.advanced.take(report["settings"])
        self.advanced.uncertainty.value = report["uncertainty"]
        if report["settings"] or report["uncertainty"]:
            self.advanced_fold.expand()
        return [
            *said,
            *self._use_seed(report),
            *self._use_device(report),
            *self._use_weights(report),
        ]

    def _use_seed(self, report: Mapping[str, Any]) -> list[str]:
        with suppress(ValueError):
            self.advanced.seed.value = report["seed"]
            return []
        return [
            f"The seed {report['seed']} is larger than this form can hold, so the "
            "result will differ a little."
        ]

    def _use_device(self, report: Mapping[str, Any]) -> list[str]:
        device = report["device"].partition(":")[0]
        if device in self.device.choices:
            self.device.value = device
            return []
        self.device.value = "auto"
        return [
            f"That run was computed on {device}, which is not here; another device "
            "gives slightly different numbers."
        ]

    def _use_weights(self, report: Mapping[str, Any]) -> list[str]:
        source = report.get("weights_source") or report["weights"]
        try:
            found = load_weights(source)
        except (ValueError, OSError):
            return [
                f"Its weights, {source}, are not on this computer or cannot be read: "
                "import them, or choose others, which gives another result."
            ]
        if source not in self.weights.choices:
            self.weights.reset_choices()
        if source in self.weights.choices:
            self.weights.value = source
        else:
            self.weights.value, self.weights_file.value = _FROM_FILE, source
        if found.sha256 != report.get("weights_sha256", found.sha256):
            return [
                f"The weights {source} have changed since then, and so will the result."
            ]
        return []
