"""The dock widget: choose, run, watch, stop."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    ProgressBar,
    PushButton,
    SpinBox,
    create_widget,
)
from napari.layers import Image
from napari.utils.notifications import notification_manager, show_warning
from napari.viewer import Viewer
from qtpy.QtWidgets import QApplication, QSizePolicy
from superqt import QCollapsible
from superqt.utils import thread_worker

from napari_mpi._napari.layers import denoised_layer, layer_array, noise_map_layer
from napari_mpi._napari.region import Region, region_layer, visible_region
from napari_mpi.config import MEASURING, NOISE_KINDS, PRESETS, fill_config
from napari_mpi.engine.devices import available_devices
from napari_mpi.pipeline.api import (
    Denoised,
    Denoising,
    Forecast,
    Progress,
    iter_denoise,
)
from napari_mpi.pipeline.replay import as_command, as_python
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import BUNDLED

__all__ = ["DenoiseWidget"]

_NOISE_LABELS = {
    "independent": "pixel by pixel (photons)",
    "correlated": "shared by neighbours",
    "strongly-correlated": "blurred, in patches",
}
_MEASURED = "measured"
_FROM_FILE = "from file…"
_KEEP = "keep"
_ADVANCED = (
    "n_iter", "n_passes", "mask_ratio", "averaging", "pixel_shuffle", "scaling",
)  # fmt: skip
# The panel and the picture follow a fast run at these intervals in seconds, not at each
# iteration; showing the picture takes no more than this share of the time.
_REFRESH, _REFRESH_PICTURE = 0.1, 0.5
_SHARE_OF_LIVE = 0.04


class _RunFailedError(Exception):
    """A failure inside the computation, in words for the user."""


# napari's decorator is superqt's with a second way for errors to be shown; this one
# leaves that to us, and closing napari waits for its workers just the same.
@thread_worker  # type: ignore[untyped-decorator]
def _denoise_in_thread(
    data: Any, rgb: bool, options: dict[str, Any]
) -> Generator[Denoising | Progress, str | None, Denoised]:
    # A RuntimeError would pass for a deleted worker and go unseen; torch raises many.
    try:
        run = iter_denoise(data, rgb=rgb, **options)
        yield run
        refresh_at = 0.0
        for progress in run:
            started = time.monotonic()
            if progress.phase == "filling" and started >= refresh_at:
                run.refresh()
                now = time.monotonic()
                refresh_at = now + max(
                    _REFRESH_PICTURE, (now - started) / _SHARE_OF_LIVE
                )
            command = yield progress
            if command == _KEEP:
                run.close()
                break
        return run.result()
    except RuntimeError as error:
        raise _RunFailedError(
            f"The computation failed: {error}. Try the device cpu, or a smaller region."
        ) from error


@thread_worker  # type: ignore[untyped-decorator]
def _try_in_thread(
    data: Any, region: Region, n_planes: int, rgb: bool, options: dict[str, Any]
) -> Generator[_Trial | None, None, None]:
    """Denoise a region with each measuring preset, and forecast the whole."""
    try:
        for preset in MEASURING:
            chosen = {**options, "preset": preset}
            run = iter_denoise(region.cut(data), rgb=rgb, **chosen)
            for _ in run:
                yield None  # here a cancelled worker ends
            whole = iter_denoise(region.plane(data), rgb=rgb, **chosen)
            yield _Trial(preset, run.result(), whole.forecast(n_planes))
    except RuntimeError as error:
        raise _RunFailedError(f"The computation failed: {error}.") from error


@dataclass(frozen=True)
class _Trial:
    """What a preset made of a region, and what the whole layer would take."""

    preset: str
    result: Denoised
    forecast: Forecast


class DenoiseWidget(Container):  # type: ignore[misc]
    """Denoise an image layer into two new ones.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = napari_viewer
        self._worker: Any = None
        self._layer: Image | None = None
        self._report: dict[str, Any] | None = None  # of the last run
        self._growing: Any = None  # the array that a run fills
        self._shown: Image | None = None  # the layer that shows it
        self._started = self._refreshed = self._repainted = 0.0

        self.image = create_widget(
            annotation=Image,
            label="image",
            options={"tooltip": "The layer to denoise. It is not changed."},
        )
        self.preset = ComboBox(
            label="preset",
            choices=list(PRESETS),
            value="auto",
            tooltip="'auto' measures the noise and chooses for itself; 'fast' does "
            "so in a third of the time; 'paper' and 'paper-fast' are the published "
            "settings.",
        )
        self.noise = ComboBox(
            label="noise",
            choices=[
                ("measured", _MEASURED),
                *((_NOISE_LABELS[kind], kind) for kind in NOISE_KINDS),
            ],
            value=_MEASURED,
            tooltip="Whether neighbouring pixels share their noise; 'auto' measures "
            "it. If fine grain "
            "remains, try 'shared by neighbours'; if detail is lost, 'pixel by pixel'.",
        )
        self.weights = ComboBox(
            label="weights",
            choices=[*BUNDLED, *installed_weights(), _FROM_FILE],
            tooltip="What the network has learnt before: the bundled weights, or your "
            "own.",
        )
        self.weights_file = FileEdit(
            label="file",
            filter="Weights (*.safetensors *.pth *.pt)",
            tooltip="Weights that were trained here, or the MPI authors' files.",
        )
        self.device = ComboBox(
            label="device",
            choices=["auto", *available_devices()],
            tooltip="Where to compute; 'auto' takes the fastest there is.",
        )
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
        self.advanced = Container(
            widgets=[
                self.n_iter,
                self.n_passes,
                self.mask_ratio,
                self.averaging,
                self.pixel_shuffle,
                self.scaling,
                self.seed,
            ],
            labels=True,
        )
        self.run_button = PushButton(
            text="Run", tooltip="Denoise the layer into two new layers."
        )
        self.try_button = PushButton(
            text="Try on visible region",
            tooltip="Denoise what you see, within seconds, with 'fast' and with "
            "'auto', and tell how long the whole layer will take.",
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
        self.keep_button = PushButton(
            text="Stop and keep",
            enabled=False,
            tooltip="Stop now and keep what is reached; planes that were not begun "
            "stay as they are.",
        )
        self.cancel_button = PushButton(
            text="Cancel", enabled=False, tooltip="Stop now and keep nothing."
        )
        self.progress = ProgressBar(label="progress", min=0, max=1000, value=0)
        self.status = Label(value="Ready.")
        buttons = Container(
            widgets=[self.keep_button, self.cancel_button],
            layout="horizontal",
            labels=False,
        )
        buttons.margins = (0, 0, 0, 0)
        replay = Container(
            widgets=[self.python_button, self.command_button],
            layout="horizontal",
            labels=False,
        )
        replay.margins = (0, 0, 0, 0)
        self.extend(
            [
                self.image,
                self.preset,
                self.noise,
                self.weights,
                self.weights_file,
                self.device,
                self.try_button,
                self.run_button,
                buttons,
                self.progress,
                replay,
            ]
        )
        self._fold_advanced()
        # Added to the layout itself, it has the whole width and not a column's.
        self.status.native.setWordWrap(True)
        # A long text takes more lines; it must not pull the dock wide.
        self.status.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        self.native.layout().addWidget(self.status.native)
        self.weights_file.visible = False

        self.preset.changed.connect(self._show_settings)
        self.noise.changed.connect(self._show_settings)
        self.weights.changed.connect(self._show_weights_file)
        self.run_button.clicked.connect(self.run)
        self.try_button.clicked.connect(self.try_region)
        self.python_button.clicked.connect(self.copy_as_python)
        self.command_button.clicked.connect(self.copy_as_command)
        self.image.changed.connect(self._offer_replay)
        self.keep_button.clicked.connect(self.stop_and_keep)
        self.cancel_button.clicked.connect(self.cancel)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self._show_settings()

    def _fold_advanced(self) -> None:
        """Put the expert settings above the Run button, folded away."""
        self.advanced.margins = (0, 0, 0, 0)
        self.advanced_fold = QCollapsible("advanced settings")
        self.advanced_fold.addWidget(self.advanced.native)
        self.advanced_fold.collapse(animate=False)
        layout = self.native.layout()
        layout.insertWidget(self.index(self.try_button), self.advanced_fold)

    def _show_settings(self) -> None:
        """Show in the advanced settings what preset and noise kind stand for."""
        config = fill_config(self.preset.value, self._noise_kind())
        self._displayed = {name: getattr(config, name) for name in _ADVANCED}
        for name, value in self._displayed.items():
            getattr(self, name).value = value

    def _noise_kind(self) -> str | None:
        return None if self.noise.value == _MEASURED else self.noise.value

    def _show_weights_file(self) -> None:
        self.weights_file.visible = self.weights.value == _FROM_FILE

    def _options(self) -> dict[str, Any]:
        """Gather what the thread needs, so that it never touches a widget."""
        weights: str | Path = self.weights.value
        if weights == _FROM_FILE:
            weights = self.weights_file.value
        # What was left as shown is the preset's to choose, by the image at hand.
        changed = {
            name: getattr(self, name).value
            for name, shown in self._displayed.items()
            if getattr(self, name).value != shown
        }
        return {
            "preset": self.preset.value,
            "noise": self._noise_kind(),
            "weights": weights,
            "device": self.device.value,
            "seed": self.seed.value,
            **changed,
        }

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._worker is not None

    def run(self) -> None:
        """Start denoising the chosen layer."""
        layer = self.image.value
        if self.running:
            return
        if layer is None:
            show_warning("There is no image layer to denoise: open an image first.")
            return
        self._layer = layer
        self._started = time.monotonic()
        worker = _denoise_in_thread(
            layer_array(layer),
            layer.rgb,
            self._options(),
            _start_thread=False,
            _connect={
                "yielded": self._on_yielded,
                "warned": self._on_warning,
                "returned": self._on_result,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        self._worker = worker
        self._set_running(True)
        self.status.value = f"Reading {layer.name} …"
        worker.start()

    def try_region(self) -> None:
        """Denoise the visible region into layers of its own."""
        layer = self.image.value
        if self.running:
            return
        if layer is None:
            show_warning("There is no image layer to try: open an image first.")
            return
        array = layer_array(layer)
        region = visible_region(layer, self._viewer.dims.point)
        shape = array.shape[: array.ndim - layer.rgb]
        said: list[str] = []

        def show(trial: _Trial | None) -> None:
            # A yield that was under way when Cancel was pressed shows nothing.
            if trial is None or worker.abort_requested:
                return
            name = f"{layer.name} region {trial.preset}"
            self._viewer.add_layer(
                region_layer(layer, region, trial.result.image, name)
            )
            if layer in self._viewer.layers:
                self.image.value = layer
            self.progress.value += round(1000 / len(MEASURING))
            said.append(f"With {trial.preset}, the whole layer takes {trial.forecast}.")
            self.status.value = " ".join(said)

        worker = _try_in_thread(
            array,
            region,
            int(np.prod(shape[:-2], dtype=int)),
            layer.rgb,
            self._options(),
            _start_thread=False,
            _connect={
                "yielded": show,
                "warned": self._on_warning,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        self._worker, self._layer = worker, layer
        self._set_running(True)
        self.keep_button.enabled = False  # a trial is over before it could matter
        self.status.value = f"Trying on a part of {layer.name} …"
        worker.start()

    def cancel(self) -> None:
        """Stop after the current iteration and keep nothing."""
        if self._worker is not None:
            self.status.value = "Cancelled; nothing was changed."
            self._worker.quit()

    def stop_and_keep(self) -> None:
        """Stop after the current iteration and add what is reached."""
        if self._worker is not None:
            self._worker.send(_KEEP)

    def _on_yielded(self, item: Denoising | Progress) -> None:
        # A yield that was under way when Cancel was pressed must not overwrite it.
        if self._worker is None or self._worker.abort_requested:
            return
        if isinstance(item, Denoising):
            self._growing = item.image
            return
        self._follow(item)
        if item.phase == "filling" and self._growing is not None:
            self._show_growing()

    def _show_growing(self) -> None:
        """Let the denoised layer show what is reached."""
        now = time.monotonic()
        if now - self._repainted < _REFRESH_PICTURE or self._layer is None:
            return
        self._repainted = now
        if self._shown is None:
            self._shown = denoised_layer(self._layer, self._growing, {})
            self._viewer.add_layer(self._shown)
            # Adding a layer makes it the choice; the run is about the input.
            self.image.value = self._layer
        elif self._shown in self._viewer.layers:
            self._shown.refresh()

    def _follow(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._refreshed < _REFRESH:
            return
        self._refreshed = now
        fraction = max(progress.fraction, 1e-6)
        self.progress.value = round(1000 * fraction)
        left = (now - self._started) * (1 - fraction) / fraction
        place = f"Plane {progress.plane + 1} of {progress.n_planes}"
        if progress.phase == "adapting":
            place = "Learning from the image"
        self.status.value = (
            f"{place}, step {progress.step} of {progress.n_steps}, "
            f"{_duration(left)} left"
        )

    def _on_result(self, result: Denoised) -> None:
        # An aborted worker returns nothing.
        if result is None or self._layer is None:
            return
        if not result.report["complete"] and not result.noise_map.any():
            self.status.value = (
                "Stopped while the network was learning from the image; no plane was "
                "filled yet, so there is nothing to keep."
            )
            return
        self._viewer.add_layer(noise_map_layer(self._layer, result))
        if self._shown is None or self._shown not in self._viewer.layers:
            self._shown = denoised_layer(self._layer, result.image, result.report)
            self._viewer.add_layer(self._shown)
        else:  # it was there before the noise map, and goes on top of it
            layers = self._viewer.layers
            layers.move(layers.index(self._shown), len(layers))
            self._shown.metadata["napari_mpi"] = result.report
            self._shown.refresh()
        self._viewer.layers.selection.active = self._shown
        self._shown = None  # it is the user's now
        # Adding a layer makes it the choice; a second run is about the input again.
        if self._layer in self._viewer.layers:
            self.image.value = self._layer
        self._report = report = result.report
        self._offer_replay()
        if report["complete"]:
            self.progress.value = 1000
            done = f"Done in {_duration(report['seconds'])}."
            verdict = report["verdict"] or {"warnings": ()}
            said = [done, *verdict["warnings"], report["choice"] or ""]
            self.status.value = " ".join(said).strip()
        else:
            self.status.value = (
                f"Stopped after {report['iterations']} iterations; "
                f"{report['planes_done']} of {report['n_planes']} planes are finished."
            )

    def _replayed(self) -> dict[str, Any] | None:
        """Return the report of the chosen image, or else of the last run."""
        layer = self.image.value
        own = None if layer is None else layer.metadata.get("napari_mpi")
        return own or self._report

    def _offer_replay(self) -> None:
        there = self._replayed() is not None
        self.python_button.enabled = self.command_button.enabled = there

    def copy_as_python(self) -> None:
        """Put lines that repeat the run on the clipboard."""
        report = self._replayed()
        if report is not None:
            QApplication.clipboard().setText(as_python(report))

    def copy_as_command(self) -> None:
        """Put a command that repeats the run on the clipboard."""
        report = self._replayed()
        if report is None:
            return
        try:
            QApplication.clipboard().setText(as_command(report))
        except ValueError as error:
            show_warning(str(error))

    def _on_layer_removed(self, event: Any) -> None:
        if self.running and event.value is self._layer:
            self.cancel()
            self.status.value = "Cancelled, as the input layer was removed."

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        show_warning(str(warning[0]))

    def _on_error(self, error: Exception) -> None:
        notification_manager.receive_error(type(error), error, error.__traceback__)
        self.status.value = f"Not done: {error}"

    def _on_finished(self) -> None:
        # What is still shown belongs to a run that was cancelled or that failed.
        if self._shown is not None and self._shown in self._viewer.layers:
            self._viewer.layers.remove(self._shown)
        self._worker = self._layer = self._growing = self._shown = None
        self._set_running(False)

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = self.try_button.enabled = not running
        self.keep_button.enabled = running
        self.cancel_button.enabled = running
        if running:
            self.progress.value = 0


def _duration(seconds: float) -> str:
    """Return a time in words that are as exact as it deserves."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
