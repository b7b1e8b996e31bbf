"""The dock widget: choose, run, watch, stop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from magicgui.widgets import Container, Label, ProgressBar, PushButton
from napari.layers import Image
from napari.utils.notifications import notification_manager, show_warning
from napari.viewer import Viewer
from qtpy.QtWidgets import QSizePolicy

from napari_mpi._napari.form import DenoiseForm
from napari_mpi._napari.keyboard import make_reachable
from napari_mpi._napari.layers import (
    Picture,
    denoised_layer,
    layer_array,
    picture_layer,
)
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.region import region_layer, visible_region
from napari_mpi._napari.replay_buttons import ReplayButtons
from napari_mpi._napari.run_queue import RunQueue
from napari_mpi._napari.selection import LayerPart, chosen_layers
from napari_mpi._napari.trust import TrustPanel
from napari_mpi._napari.workers import (
    KEEP,
    REFRESH_PICTURE,
    Trial,
    denoise_in_thread,
    try_in_thread,
)
from napari_mpi.config import MEASURING
from napari_mpi.pipeline.api import Denoised, Denoising, Progress
from napari_mpi.weights.loading import prefer_weights_folder

__all__ = ["DenoiseWidget"]

# The panel follows a fast run at this interval in seconds, not at each iteration.
_REFRESH = 0.1


class DenoiseWidget(Container):  # type: ignore[misc]
    """Denoise an image layer into two new ones.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(labels=False)
        self._viewer = napari_viewer
        self._worker: Any = None
        self._queue = RunQueue()
        self._part: LayerPart | None = None  # what the run is about
        self._layer: Image | None = None
        self._chosen: Image | None = None  # in the form, when the run began
        self._report: dict[str, Any] | None = None  # of the last run
        self._growing: Any = None  # the array that a run fills
        self._shown: Image | None = None  # the layer that shows it
        self._pictures: list[Image] = []  # noise map, uncertainty
        self._closed = False
        self._started = self._refreshed = self._repainted = 0.0

        preferences = Preferences.load()
        prefer_weights_folder(preferences.weights_folder)
        self.form = DenoiseForm(preferences)
        self.run_button = PushButton(
            text="&Run",
            tooltip="Denoise the layer into two new layers. If several image layers "
            "are selected in the layer list, all of them are done, one by one.",
        )
        self.try_button = PushButton(
            text="&Try on visible region",
            tooltip="Denoise what you see, within seconds, with 'fast' and with "
            "'auto', and tell how long the whole layer will take.",
        )
        self.replay = ReplayButtons()
        self.keep_button = PushButton(
            text="Stop and &keep",
            enabled=False,
            tooltip="Stop now and keep what is reached; planes that were not begun "
            "stay as they are.",
        )
        self.cancel_button = PushButton(
            text="&Cancel", enabled=False, tooltip="Stop now and keep nothing."
        )
        self.progress = ProgressBar(
            label="progress",
            min=0,
            max=1000,
            value=0,
            tooltip="How much of the run is done.",
        )
        self.status = Label(value="Ready.", tooltip="What was done and found.")
        buttons = Container(
            widgets=[self.keep_button, self.cancel_button],
            layout="horizontal",
            labels=False,
        )
        buttons.margins = (0, 0, 0, 0)
        self.extend(
            [
                self.form,
                self.try_button,
                self.run_button,
                buttons,
                self.progress,
                self.replay,
            ]
        )
        # Added to the layout itself, it has the whole width and not a column's.
        self.status.native.setWordWrap(True)
        # A long text takes more lines; it must not pull the dock wide.
        self.status.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        self.native.layout().addWidget(self.status.native)
        self.trust = TrustPanel(napari_viewer)
        self.native.layout().addWidget(self.trust)

        self.run_button.clicked.connect(self.run)
        self.try_button.clicked.connect(self.try_region)
        self.form.image.changed.connect(self._offer_replay)
        self.replay.use_button.clicked.connect(self.use_settings)
        self.keep_button.clicked.connect(self.stop_and_keep)
        self.cancel_button.clicked.connect(self.cancel)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        napari_viewer.layers.selection.events.changed.connect(self._name_run_button)
        self.native.destroyed.connect(self._on_closed)
        make_reachable(self, self.form.advanced)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._worker is not None

    def run(self) -> None:
        """Start denoising the chosen layer, or all that are selected."""
        if self.running:
            return
        self._chosen = self.form.image.value
        layers = chosen_layers(self._viewer, self._chosen)
        if not layers:
            show_warning("There is no image layer to denoise: open an image first.")
            return
        point = self._viewer.dims.point
        self._queue = RunQueue(self.form.planes.part(one, point) for one in layers)
        self._options = self.form.options()
        self._live = Preferences.load().live_preview
        self._set_running(True)
        self._run_next()

    def _run_next(self) -> None:
        """Start with the next layer, or end."""
        part = self._queue.next()
        if part is None:
            self._set_running(False)
            return
        layer = part.layer
        if layer not in self._viewer.layers:
            self._say_outcome(layer, "It was removed.")
            self._run_next()
            return
        self._part, self._layer = part, layer
        self._started = time.monotonic()
        self.progress.value = 0
        self._worker = denoise_in_thread(
            part,
            self._options,
            self._live,
            _start_thread=False,
            _connect={
                "yielded": self._on_yielded,
                "warned": self._on_warning,
                "returned": self._on_result,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        self.status.value = f"{self._queue.place(layer.name)}Reading {layer.name} …"
        self.trust.course.begin()
        self._worker.start()

    def try_region(self) -> None:
        """Denoise the visible region into layers of its own."""
        layer = self.form.image.value
        if self.running:
            return
        if layer is None:
            show_warning("There is no image layer to try: open an image first.")
            return
        array = layer_array(layer)
        region = visible_region(layer, self._viewer.dims.point)
        part = self.form.planes.part(layer, self._viewer.dims.point)
        shape = part.array().shape
        shape = shape[: len(shape) - layer.rgb]
        takes = "the chosen planes take" if part.planes else "the whole layer takes"
        said: list[str] = []

        def show(trial: Trial | None) -> None:
            # A yield that was under way when Cancel was pressed shows nothing.
            if trial is None or worker.abort_requested:
                return
            name = f"{layer.name} region {trial.preset}"
            self._viewer.add_layer(
                region_layer(layer, region, trial.result.image, name)
            )
            if layer in self._viewer.layers:
                self.form.image.value = layer
            self.progress.value += round(1000 / len(MEASURING))
            said.append(f"With {trial.preset}, {takes} {trial.forecast}.")
            self.status.value = " ".join(said)

        worker = try_in_thread(
            array,
            region,
            int(np.prod(shape[:-2], dtype=int)),
            layer.rgb,
            self.form.options(),
            _start_thread=False,
            _connect={
                "yielded": show,
                "warned": self._on_warning,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )
        self._queue = RunQueue()
        self._worker, self._layer = worker, layer
        self._set_running(True)
        self.keep_button.enabled = False  # a trial is over before it could matter
        self.status.value = f"Trying on a part of {layer.name} …"
        worker.start()

    def cancel(self) -> None:
        """Stop after the current iteration and keep nothing."""
        if self._worker is not None:
            self._queue.clear()
            kept = (
                "what was done is kept" if self._queue.n_done else "nothing was changed"
            )
            self.status.value = f"Cancelled; {kept}."
            self._worker.quit()

    def stop_and_keep(self) -> None:
        """Stop after the current iteration and add what is reached."""
        if self._worker is not None:
            self._queue.clear()
            self._worker.send(KEEP)

    def _on_yielded(self, item: Denoising | Progress | Picture) -> None:
        # A yield that was under way when Cancel was pressed must not overwrite it.
        if self._worker is None or self._worker.abort_requested:
            return
        if isinstance(item, Denoising):
            self._growing = item.image
            return
        if isinstance(item, Picture):
            self._show_picture(item)
            return
        self.trust.course.follow(item)
        self._follow(item)
        if item.phase == "filling" and self._growing is not None:
            self._show_growing()

    def _show_growing(self) -> None:
        """Let the denoised layer show what is reached."""
        now = time.monotonic()
        if now - self._repainted < REFRESH_PICTURE or self._part is None:
            return
        self._repainted = now
        if self._shown is None:
            self._shown = denoised_layer(
                self._part.layer, self._growing, {}, self._part.offset
            )
            self._viewer.add_layer(self._shown)
            self._restore_choice()
        elif self._shown in self._viewer.layers:
            self._shown.refresh()

    def _show_picture(self, picture: Picture) -> None:
        """Add a layer; one in a turn, so that the window never waits."""
        if self._part is not None:
            layer = picture_layer(self._part.layer, picture, self._part.offset)
            self._pictures.append(layer)
            self._viewer.add_layer(layer)
            self._restore_choice()

    def _restore_choice(self) -> None:
        """Choose the input again, after a layer that was added became the choice."""
        if self._chosen is not None and self._chosen in self._viewer.layers:
            self.form.image.value = self._chosen

    def _follow(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._refreshed < _REFRESH or self._layer is None:
            return
        self._refreshed = now
        fraction = max(progress.fraction, 1e-6)
        self.progress.value = round(1000 * fraction)
        left = (now - self._started) * (1 - fraction) / fraction
        place = f"Plane {progress.plane + 1} of {progress.n_planes}"
        if progress.phase == "adapting":
            place = "Learning from the image"
        self.status.value = self._queue.place(self._layer.name) + (
            f"{place}, step {progress.step} of {progress.n_steps}, "
            f"{_duration(left)} left"
        )

    def _on_result(self, result: Denoised | None) -> None:
        # An aborted worker returns nothing.
        if result is None or self._part is None or self._closed:
            return
        layer = self._part.layer
        if not self._pictures:
            self._say_outcome(
                layer,
                "Stopped while the network was learning from the image; no plane was "
                "filled yet, so there is nothing to keep.",
            )
            return
        if self._shown is None or self._shown not in self._viewer.layers:
            self._shown = denoised_layer(
                layer, result.image, result.report, self._part.offset
            )
            self._viewer.add_layer(self._shown)
        else:  # it was there before the noise map, and goes on top of it
            layers = self._viewer.layers
            layers.move(layers.index(self._shown), len(layers))
            self._shown.metadata["napari_mpi"] = result.report
            self._shown.refresh()
        self._viewer.layers.selection.active = self._shown
        self._shown, self._pictures = None, []  # they are the user's now
        self._restore_choice()
        self._report = report = result.report
        self._offer_replay()
        self.trust.show_report(report)
        if report["complete"]:
            self.progress.value = 1000
            said = [f"Done in {_duration(report['seconds'])}."]
            if self._queue.several:  # the panel below tells of the last one only
                said += (report["verdict"] or {"warnings": ()})["warnings"]
            self._say_outcome(layer, " ".join(said), done=True)
        else:
            self._say_outcome(
                layer,
                f"Stopped after {report['iterations']} iterations; "
                f"{report['planes_done']} of {report['n_planes']} planes are finished.",
            )

    def _say_outcome(self, layer: Image, outcome: str, *, done: bool = False) -> None:
        self.status.value = self._queue.note(layer.name, outcome, done=done)

    def _replayed(self) -> dict[str, Any] | None:
        """Return the report of the chosen image, or else of the last run."""
        layer = self.form.image.value
        own = None if layer is None else layer.metadata.get("napari_mpi")
        return own or self._report

    def use_settings(self) -> None:
        """Fill the form with the settings of the chosen image, or of the last run."""
        report = self._replayed()
        if report is not None:
            said = self.form.use(report)
            self.status.value = " ".join(said or ["The form holds these settings now."])

    def _offer_replay(self) -> None:
        report = self._replayed()
        self.replay.offer(report)
        if not self.running:  # else it shows the run
            self.trust.show_report(report, self.form.image.value)

    def reset_choices(self, *args: Any) -> None:
        """Follow the viewer's layers; the first choice changes without a signal."""
        super().reset_choices(*args)
        self._offer_replay()

    def _on_layer_removed(self, event: Any) -> None:
        if self.running and event.value is self._layer and not self._closed:
            self._worker.quit()
            self._say_outcome(self._layer, "Cancelled, as the input layer was removed.")

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        show_warning(str(warning[0]))

    def _on_error(self, error: Exception) -> None:
        notification_manager.receive_error(type(error), error, error.__traceback__)
        if self._layer is not None and not self._closed:
            self._say_outcome(self._layer, f"Not done: {error}")

    def _on_finished(self) -> None:
        # What is still shown belongs to a run that was cancelled or that failed.
        for layer in (self._shown, *self._pictures):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._worker = self._part = self._layer = None
        self._growing = self._shown = None
        self._pictures = []
        if not self._closed:
            self.trust.course.end()
            self._run_next()

    def _on_closed(self) -> None:
        """End the run when the dock or the window is gone, and with it the texts."""
        self._closed = True
        self._queue.clear()
        if self._worker is not None:
            self._worker.quit()

    def _name_run_button(self) -> None:
        """Say on the button how many layers it is about."""
        if self._closed:
            return
        number = len(chosen_layers(self._viewer, self.form.image.value))
        self.run_button.text = f"&Run on {number} layers" if number > 1 else "&Run"

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
