"""The dock widget: choose, run, watch, stop."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import PushButton
from napari.layers import Image
from napari.viewer import Viewer

from napari_mpi._napari.controls import row
from napari_mpi._napari.earlier_run import EarlierRun
from napari_mpi._napari.form import DenoiseForm
from napari_mpi._napari.last_run import LastRun, run_to_tell_of
from napari_mpi._napari.layers import Picture, hide_if_mixed, layer_array
from napari_mpi._napari.listening import Listener
from napari_mpi._napari.live_result import LiveResult
from napari_mpi._napari.pace import Pace
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.progress_words import progress_words
from napari_mpi._napari.region import visible_region
from napari_mpi._napari.remark import Remark
from napari_mpi._napari.replay_buttons import ReplayButtons
from napari_mpi._napari.run_dock import RunDock
from napari_mpi._napari.run_queue import RunQueue
from napari_mpi._napari.selection import LayerPart, chosen_layers, selected_input
from napari_mpi._napari.shown_plane import no_plane_of
from napari_mpi._napari.trial import Trial, Trials, TrialStep, try_in_thread
from napari_mpi._napari.trust import TrustPanel
from napari_mpi._napari.workers import (
    GREW,
    KEEP,
    FirstLook,
    RunInput,
    denoise_in_thread,
)
from napari_mpi.pipeline.api import Denoised, Denoising, Progress
from napari_mpi.pipeline.findings import warnings_of
from napari_mpi.pipeline.forecast import duration

__all__ = ["DenoiseWidget"]

_NO_IMAGE = (
    "There is no image layer to denoise: open an image first. Labels, shapes and "
    "points are none."
)
# The panel follows a fast run at this interval in seconds, not at each iteration.
_REFRESH = 0.1


class DenoiseWidget(RunDock):
    """Denoise an image layer into two new ones.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._queue = RunQueue()
        self._part: LayerPart | None = None  # what the run is about
        self._result: LiveResult | None = None
        self._keeping = False  # it was told to stop
        self._followed: object = None  # unique_id of the selected layer chosen last
        self._last: LastRun | None = None
        self._remark: Remark | None = None  # what the status says of an image
        self._trials: Trials | None = None
        self._pace = Pace(_REFRESH)

        self.form = DenoiseForm(napari_viewer, Preferences.apply())
        self._earlier = EarlierRun(self.form, napari_viewer)
        self.run_button = PushButton(
            text="&Run",
            tooltip="Denoise the layer into two new layers. If several image layers "
            "are selected in the layer list, all of them are done, one by one.",
        )
        self.try_button = PushButton(
            text="&Try on visible region",
            tooltip="Denoise the middle of what you see, with 'fast' and then with "
            "'auto', and tell how long the whole layer will take.",
        )
        self.replay = ReplayButtons(self._tell)
        self.keep_button = PushButton(
            text="Stop and &keep",
            tooltip="Stop now and keep what is reached; planes that were not begun "
            "stay as they are.",
        )
        self.cancel_button = PushButton(
            text="&Cancel", tooltip="Stop now and keep nothing."
        )
        self._set_up("run", "Ready.")
        self.trust = TrustPanel(napari_viewer)
        self._lay_out(
            self.form,
            self.try_button,
            self.run_button,
            row(self.keep_button, self.cancel_button),
            self.progress,
            self.replay,
            self.status,
            self.trust,
        )

        self._on_data = Listener(self._on_data_replaced)
        self.run_button.clicked.connect(self.run)
        self.try_button.clicked.connect(self.try_region)
        self.form.image.changed.connect(self._on_image_chosen)
        self.replay.use_button.clicked.connect(self.use_settings)
        self.keep_button.clicked.connect(self.stop_and_keep)
        self.cancel_button.clicked.connect(self.cancel)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        napari_viewer.layers.selection.events.changed.connect(self._name_run_button)
        napari_viewer.layers.selection.events.active.connect(self._choose_selected)
        self.reset_choices()  # images may have been open before the dock

    def run(self) -> None:
        """Start denoising the chosen layer, or all that are selected."""
        if self.running:
            return
        layers = chosen_layers(self._viewer, self.form.image.value)
        if not layers:
            self._refuse(_NO_IMAGE)
            return
        try:
            self._live = Preferences.apply(self.form.weights).live_preview
            self._options = self.form.options()
            parts = [self.form.planes.part(one, self._viewer) for one in layers]
        except ValueError as error:
            self._refuse(str(error))
            return
        self._queue = RunQueue(parts)
        if self._last is not None:
            self._last.overtaken = True
        self._run_next()

    def _run_next(self) -> None:
        """Start with the next layer, or end."""
        self._part = part = self._queue.next()
        if part is None:
            self._set_running(False)
            return
        name = part.layer.name
        if part.layer not in self._viewer.layers:
            self._say("It was removed.")
            self._run_next()
            return
        if part.replaced:
            self._say("It holds another image by now: run it again.")
            self._run_next()
            return
        self._result, self._keeping = LiveResult(self._viewer, part), False
        self._pace.restart()
        self.status.value = f"{self._queue.place(name)}Reading {name} …"
        self.trust.begin()
        source = RunInput.of(part, visible_region(part.layer, self._viewer))
        self._start(denoise_in_thread(source, self._options, self._live))

    def try_region(self) -> None:
        """Denoise the visible region into layers of its own."""
        if self.running:
            return
        layer = self.form.image.value
        if layer is None:
            self._refuse(_NO_IMAGE)
            return
        visible = visible_region(layer, self._viewer)
        if visible is None:
            self._refuse(no_plane_of(layer))
            return
        try:
            Preferences.apply(self.form.weights)
            options = self.form.options()
            part = self.form.planes.part(layer, self._viewer)
        except ValueError as error:
            self._refuse(str(error))
            return
        self._queue = RunQueue()
        self._part = part
        self._trials = Trials(self._viewer, self._part)
        self.status.value = f"Trying on a part of {layer.name} …"
        source = RunInput.of(self._part, visible)
        self._start(try_in_thread(source, layer_array(layer), options))

    def cancel(self) -> None:
        """Stop after the current iteration and keep nothing."""
        if self._worker is not None:
            self._queue.clear()
            kept = "Cancelled; nothing was changed."
            if self._queue.n_done:
                kept = "Cancelled; what was done is kept."
            tried = self._trials.cancelled() if self._trials else ""
            self.status.value = tried or kept
            self.progress.value = 0
            self.keep_button.enabled = False
            self._worker.quit()

    def stop_and_keep(self) -> None:
        """Stop after the current iteration and add what is reached."""
        if self._worker is not None:
            self._queue.clear()
            self._worker.send(KEEP)
            self._keeping = True
            self.keep_button.enabled = False
            self.status.value = "Stopping after this step …"

    def _on_yielded(
        self,
        item: Denoising | Progress | FirstLook | Picture | TrialStep | Trial | str,
    ) -> None:
        # A yield that was under way when Cancel was pressed must not overwrite it.
        if self._worker is None or self._worker.abort_requested:
            return
        if self._trials is not None:
            self._follow_trials(self._trials, item)
        if self._result is None:
            return
        if isinstance(item, Denoising):
            self._result.image = item.image
        elif isinstance(item, FirstLook):
            self._result.show(item)
            self._pace.restart()  # it took a moment, too
        elif isinstance(item, Picture):
            self._result.add_picture(item)
        elif isinstance(item, Progress) and not self._keeping:
            if item.phase == "filling":  # before, there is nothing to keep
                self.keep_button.enabled = True
            self.trust.course.follow(item)
            self._follow(item)
        elif item == GREW:
            self._result.grow()

    def _follow_trials(self, trials: Trials, item: Any) -> None:
        if isinstance(item, TrialStep) and self._pace.due():
            self.progress.value = round(1000 * item.fraction)
            self.status.value = trials.words_at(item)
        elif isinstance(item, Trial):
            self.status.value = trials.show(item)
            self.progress.value = round(1000 * trials.fraction)

    def _follow(self, progress: Progress) -> None:
        if self._part is None or not self._pace.due():
            return
        self.progress.value = round(1000 * progress.fraction)
        left = self._pace.left(progress.fraction)  # reading and measuring are over
        place = self._queue.place(self._part.layer.name)
        self.status.value = place + progress_words(progress, left)

    def _on_result(self, result: Denoised | None) -> None:
        # An aborted worker returns nothing, and neither does a trial. One that was
        # done before it heard of it is not to be heard any more.
        if result is None or self._result is None or self._closed:
            return
        if self._worker is None or self._worker.abort_requested:
            return
        if not self._result.complete(result):
            self._say(
                "Stopped while the network was learning from the image; no plane was "
                "filled yet, so there is nothing to keep."
            )
            self.progress.value = 0
            return
        report = result.report
        assert self._part is not None
        self._last = LastRun(self._part.layer, report)
        self.trust.show_report(report)
        complete = report["complete"]
        self.progress.value = 1000 if complete else 0
        if complete:
            said = [f"Done in {duration(report['seconds'])}."]
        else:
            said = [
                f"Stopped after {report['iterations']} iterations; "
                f"{report['planes_done']} of {report['n_planes']} planes are finished; "
                "what was not begun is still noisy."
            ]
        if self._part.replaced:
            said.append(
                "The image was replaced during the run: the result is of the former "
                "one."
            )
        said += hide_if_mixed(self._part.layer, self._viewer.layers)
        if complete and self._queue.several:  # the panel below tells of the last only
            said += warnings_of(report)
        self._say(" ".join(said), done=complete)

    def _tell(self, said: str) -> None:
        """Say something of the chosen image, until another one is chosen."""
        self.status.value = said
        self._remark = Remark(self.form.image.value, said)

    def _refuse(self, why: str) -> None:
        super()._refuse(why)
        self._tell(why)

    def _say(self, outcome: str, *, done: bool = False) -> None:
        """Say what became of the layer at work, and of those before it."""
        assert self._part is not None
        self.status.value = self._queue.note(self._part.layer.name, outcome, done=done)

    def use_settings(self) -> None:
        """Fill the form with the settings of the chosen image, or of the last run."""
        report, _ = run_to_tell_of(self.form.image.value, self._last)
        if report is not None:
            said = self.form.use(report) or ["The form holds these settings now."]
            self._tell(" ".join([*said, *self._earlier.use(report)]))

    def _on_image_chosen(self) -> None:
        self._name_run_button()
        self._offer_replay()
        chosen = self.form.image.value
        if chosen is not None:  # once is enough: napari ignores what it has already
            chosen.events.data.connect(self._on_data.hear)
        if self.running:
            return
        if self._remark and not self._remark.is_about(chosen):
            if self.status.value == self._remark.words:
                self.status.value, self.progress.value = "Ready.", 0
            self._remark = None
        if said := self._earlier.follow():
            self._tell(" ".join(said))

    def _on_data_replaced(self, event: Any) -> None:
        self.form.planes.follow(self.form.image.value)

    def _offer_replay(self) -> None:
        chosen = self.form.image.value
        report, about = run_to_tell_of(chosen, self._last)
        self.replay.offer(report, None if about else chosen)
        if not self.running:  # else it shows the run
            self.trust.show_report(report, chosen, about)

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are; napari calls it when they change."""
        super().reset_choices()
        if not self._closed:
            self._choose_selected()
            self._on_image_chosen()

    def _choose_selected(self) -> None:
        """Choose the layer that is selected in the list; during a run nothing else."""
        if self._closed or self.running:
            return
        if self._viewer.layers.selection.active is None:  # as while a layer is added
            return
        selected = selected_input(self._viewer)
        if selected is None:
            self._followed = None
            return
        # Another one may have been chosen in the form since, and napari tells of a new
        # layer before it is among the choices.
        is_new = selected.unique_id != self._followed
        if is_new and selected in self.form.image.choices:
            self._followed = selected.unique_id
            self.form.image.value = selected

    def _on_layer_removed(self, event: Any) -> None:
        at_work = self.running and not self._closed
        if at_work and self._part and event.value is self._part.layer:
            self._worker.quit()
            self.progress.value = 0
            self._say("Cancelled, as the input layer was removed.")

    def _on_finished(self) -> None:
        if self._result is not None:
            self._result.discard()
        assert self._part is not None
        layer = self._part.layer
        self._worker = self._part = self._result = self._trials = None
        if self._closed:
            return
        self.trust.course.end()
        self._run_next()
        if not self.running:
            self._settle(layer)

    def _settle(self, layer: Image) -> None:
        """Follow the layer list again, which may be at another image by now."""
        words = self.status.value
        self._choose_selected()
        self._offer_replay()
        if self._queue.several:  # the words name each of them
            return
        if self.form.image.value is layer:
            self._tell(words)
        else:
            self.status.value = f"{layer.name}: {words}"

    def _on_closed(self) -> None:
        self._queue.clear()
        super()._on_closed()

    def _name_run_button(self) -> None:
        """Say on the button how many layers it is about."""
        if self._closed:
            return
        number = len(chosen_layers(self._viewer, self.form.image.value))
        self.run_button.text = f"&Run on {number} layers" if number > 1 else "&Run"

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = self.try_button.enabled = not running
        self.cancel_button.enabled = running
        # What is sent before the first step would be lost.
        self.keep_button.enabled = False
