"""The form of the dock: which layer to denoise, and how."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    SpinBox,
    create_widget,
)
from napari.layers import Image
from superqt import QCollapsible

from napari_mpi._napari.choices import FROM_FILE, MEASURED, FillChoices
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.selection import PlaneChoice
from napari_mpi.config import PRESETS, fill_config
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import BUNDLED, load_weights

__all__ = ["DenoiseForm"]

_ADVANCED = (
    "n_iter", "n_passes", "mask_ratio", "averaging", "pixel_shuffle", "scaling",
)  # fmt: skip


class DenoiseForm(FillChoices):
    """Which layer to denoise, and how; `options` are keywords of `iter_denoise`.

    Parameters
    ----------
    preferences : Preferences
        What is chosen at first.
    """

    def __init__(self, preferences: Preferences) -> None:
        super().__init__(preferences)
        self.image = create_widget(
            annotation=Image,
            label="image",
            options={"tooltip": "The layer to denoise. It is not changed."},
        )
        self.planes = PlaneChoice()
        self.n_iter = SpinBox(
            label="iterations",
            min=0,
            max=100_000,
            tooltip="Iterations of learning: once for all planes with 'auto' and "
            "'fast', else for each plane.",
        )
        self.n_passes = SpinBox(
            label="passes",
            min=1,
            max=10_000,
            tooltip="Passes over each plane after learning, with 'auto' and 'fast'.",
        )
        self.mask_ratio = FloatSpinBox(
            label="mask ratio",
            min=0.01,
            max=0.99,
            step=0.05,
            tooltip="Share of pixels that is hidden in each iteration.",
        )
        self.averaging = FloatSpinBox(
            label="averaging",
            min=0,
            max=0.999,
            step=0.01,
            tooltip="Weight of the past in the running average of predictions.",
        )
        self.pixel_shuffle = SpinBox(
            label="sub-sampling",
            min=1,
            max=8,
            tooltip="Split the image into this number squared of sub-images first.",
        )
        self.scaling = ComboBox(
            label="scaling",
            choices=["range", "percentile"],
            tooltip="'range' is the paper's for 8-bit images; 'percentile' stretches "
            "dim ones.",
        )
        self.seed = SpinBox(
            label="seed",
            min=0,
            max=2**31 - 1,
            tooltip="The same seed gives the same result.",
        )
        self.uncertainty = CheckBox(
            text="also add uncertainty",
            tooltip="Add a third layer with the estimated standard error of each "
            "pixel: larger where the network's predictions of a pixel scatter.",
        )
        self.advanced = Container(
            widgets=[
                self.n_iter,
                self.n_passes,
                self.mask_ratio,
                self.averaging,
                self.pixel_shuffle,
                self.scaling,
                self.seed,
                self.uncertainty,
            ],
            labels=True,
        )
        self.extend([self.image, self.planes, *self._choices()])
        self._fold_advanced()
        self.weights_file.visible = False
        self.planes.visible = False
        self.image.changed.connect(self.planes.follow)
        self.preset.changed.connect(self._show_settings)
        self.noise.changed.connect(self._show_settings)
        self._show_settings()

    def _fold_advanced(self) -> None:
        """Put the expert settings at the end, folded away."""
        self.advanced.margins = (0, 0, 0, 0)
        self.advanced_fold = QCollapsible("advanced settings")
        self.advanced_fold.toggleButton().setToolTip(
            "Settings that the preset chooses well for most images."
        )
        self.advanced_fold.addWidget(self.advanced.native)
        self.advanced_fold.collapse(animate=False)
        self.native.layout().addWidget(self.advanced_fold)

    def _show_settings(self) -> None:
        """Show in the advanced settings what preset and noise kind stand for."""
        config = fill_config(self.preset.value, self._noise_kind())
        self._displayed = {name: getattr(config, name) for name in _ADVANCED}
        self._further: dict[str, Any] = {}  # settings that the form has no field for
        for name, value in self._displayed.items():
            getattr(self, name).value = value

    def options(self) -> dict[str, Any]:
        """Gather what the thread needs, so that it never touches a widget."""
        # What was left as shown is the preset's to choose, by the image at hand.
        changed = {
            name: getattr(self, name).value
            for name, shown in self._displayed.items()
            if getattr(self, name).value != shown
        }
        return {
            "preset": self.preset.value,
            "noise": self._noise_kind(),
            "weights": self._weights_source(),
            "device": self.device.value,
            "seed": self.seed.value,
            "uncertainty": self.uncertainty.value,
            **self._further,
            **changed,
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
        self.noise.value = report["noise"] or MEASURED
        self._show_settings()
        for name, value in report["settings"].items():
            self._take_setting(name, value)
        if report["settings"]:
            self.advanced_fold.expand(animate=False)
        said = []
        if self._further:
            hidden = ", ".join(f"{k} {v}" for k, v in self._further.items())
            said.append(f"Also taken over, though no field shows it: {hidden}.")
        return [
            *said,
            *self._use_seed(report),
            *self._use_device(report),
            *self._use_weights(report),
        ]

    def _take_setting(self, name: str, value: Any) -> None:
        if name not in _ADVANCED:
            self._further[name] = value
            return
        field = getattr(self, name)
        with suppress(ValueError):
            field.value = value
        if field.value == value:
            # Asked for in that run, even if it is what the preset stands for.
            self._displayed[name] = None
        else:  # out of the field's range, or finer than its digits
            self._further[name] = value
            self._displayed[name] = field.value

    def _use_seed(self, report: Mapping[str, Any]) -> list[str]:
        with suppress(ValueError):
            self.seed.value = report["seed"]
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
        if source not in self.weights.choices and source in installed_weights():
            self.weights.choices = [*BUNDLED, *installed_weights(), FROM_FILE]
        if source in self.weights.choices:
            self.weights.value = source
        else:
            self.weights.value, self.weights_file.value = FROM_FILE, source
        if found.sha256 != report.get("weights_sha256", found.sha256):
            return [
                f"The weights {source} have changed since then, and so will the result."
            ]
        return []
