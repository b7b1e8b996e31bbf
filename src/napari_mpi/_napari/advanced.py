"""The settings that a preset stands for, each with a field of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, SpinBox

from napari_mpi._napari.controls import explain, seed_field
from napari_mpi.config import FillConfig

__all__ = ["AdvancedSettings"]

_TOOLTIPS = {
    "n_iter": "Iterations of learning: once for all planes with 'auto' and 'fast', "
    "else for each plane.",
    "n_passes": "Passes over each plane after learning, with 'auto' and 'fast'.",
    "neighbours": "Planes on either side that may tell of a plane, as far as they show "
    "the same; 0 denoises each plane by itself. With 'auto' and 'fast'.",
    "mask_ratio": "Share of pixels that is hidden in each iteration.",
    "averaging": "Weight of the past in the running average of predictions.",
    "pixel_shuffle": "Split the image into this number squared of sub-images first.",
    "scaling": "'range' is the paper's for 8-bit images; 'percentile' stretches dim "
    "ones.",
    "pixel_type": "Of the result: the input's, or float32; 'auto' takes float32 where "
    "whole numbers are too coarse, as counts of few photons are.",
    "seed": "The same seed gives the same result.",
    "uncertainty": "Estimate the standard error of each pixel, too: it is larger where "
    "the network's predictions of a pixel scatter.",
}


class AdvancedSettings(Container):  # type: ignore[misc]
    """Fields for single settings; what is left as shown is the preset's to choose.

    Parameters
    ----------
    uncertainty : str
        What the box says with which one asks for the uncertainty.
    """

    def __init__(self, uncertainty: str) -> None:
        super().__init__()
        self.extend(
            [
                SpinBox(name="n_iter", label="iterations", max=100_000),
                SpinBox(name="n_passes", label="passes", min=1, max=10_000),
                SpinBox(name="neighbours", label="neighbouring planes", max=10),
                FloatSpinBox(name="mask_ratio", min=0.01, max=0.99, step=0.05),
                FloatSpinBox(name="averaging", max=0.999, step=0.01),
                SpinBox(name="pixel_shuffle", label="sub-sampling", min=1, max=8),
                ComboBox(name="scaling", choices=["range", "percentile"]),
                ComboBox(name="pixel_type", choices=["auto", "input", "float32"]),
                seed_field(),
                CheckBox(name="uncertainty", label=uncertainty),
            ]
        )
        explain(self, _TOOLTIPS)
        self._shown: dict[str, Any] = {}
        self._further: dict[str, Any] = {}  # settings that there is no field for

    def show_config(self, config: FillConfig) -> None:
        """Show what a preset and a noise kind stand for, and forget other settings."""
        names = [field.name for field in self if hasattr(config, field.name)]
        self._shown = {name: getattr(config, name) for name in names}
        self._further = {}
        self.update(self._shown)

    def follow_config(self, config: FillConfig) -> None:
        """Show another preset or noise kind, but keep what was chosen by hand."""
        chosen = {
            name: self[name].value
            for name, shown in self._shown.items()
            if self[name].value != shown
        }
        self.show_config(config)
        self.update(chosen)
        # Asked for, even where it is what the new preset stands for.
        self._shown |= dict.fromkeys(chosen)

    def options(self) -> dict[str, Any]:
        """Return what differs from the preset, seed and uncertainty."""
        changed = {
            name: value
            for name, value in self.asdict().items()
            if name not in self._shown or value != self._shown[name]
        }
        return self._further | changed

    def take(self, settings: Mapping[str, Any]) -> list[str]:
        """Take over settings of an earlier run; return what no field shows of it."""
        for name, value in settings.items():
            if name not in self._shown:
                self._further[name] = value
                continue
            field = self[name]
            with suppress(ValueError):
                field.value = value
            if field.value == value:
                # Asked for in that run, even if it is what the preset stands for.
                self._shown[name] = None
            else:  # out of the field's range, or finer than its digits
                self._further[name] = value
                self._shown[name] = field.value
        if not self._further:
            return []
        hidden = ", ".join(f"{name} {value}" for name, value in self._further.items())
        return [f"Also taken over, though no field shows it: {hidden}."]
