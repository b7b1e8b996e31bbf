"""The dock that trains weights on the user's own images."""

from __future__ import annotations

from dataclasses import replace

from magicgui.widgets import PushButton
from napari.viewer import Viewer
from qtpy.QtWidgets import QTabWidget

from napari_mpi._napari.before_after import BeforeAndAfter
from napari_mpi._napari.controls import row
from napari_mpi._napari.curve import LossCurve
from napari_mpi._napari.dialogs import ask
from napari_mpi._napari.library_events import library_events
from napari_mpi._napari.library_workers import (
    DISCARD,
    FINISH,
    PAUSE,
    RESUME,
    TrainingJob,
    train_in_thread,
)
from napari_mpi._napari.pace import Pace
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.run_dock import RunDock
from napari_mpi._napari.train_form import TrainForm
from napari_mpi.training.held_out import Preview
from napari_mpi.training.pretrain import PretrainStep, Training

__all__ = ["TrainWidget"]

# The panel follows a fast training at this interval in seconds.
_REFRESH = 0.25
_REDRAW = 1.0  # seconds
_PAUSE_TEXT, _GO_ON_TEXT = "Pause", "Go on"
_TITLE = "MPI train weights"
_CARRY_ON, _START_ANEW, _REPLACE = "Carry on", "Start anew", "Replace"
_ADVICE = (
    "Take images with much light and little noise. A part of them is held out, to see "
    "whether the new weights are better."
)
_NOT_COMPARED = (
    "Whether they are better than others is unknown: the images are too small and too "
    "few to hold a part out."
)


class TrainWidget(RunDock):
    """Train weights on image layers or a folder.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._training: Training | None = None
        self._job: TrainingJob | None = None
        self._losses: list[float] = []
        self._words_pace, self._curve_pace = Pace(_REFRESH), Pace(_REDRAW)

        Preferences.apply()
        self.form = TrainForm(napari_viewer)
        self.train_button = PushButton(
            text="Train", tooltip="Teach the network to look through noise."
        )
        self.pause_button = PushButton(
            text=_PAUSE_TEXT,
            tooltip="Let the computer rest; nothing is lost.",
        )
        self.finish_button = PushButton(
            text="Stop and save",
            tooltip="End now and save the weights as they are.",
        )
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End now and save nothing."
        )
        self._set_up("training", _ADVICE)
        buttons = row(self.pause_button, self.finish_button, self.cancel_button)
        self.curve = LossCurve(napari_viewer)
        self.before_after = BeforeAndAfter()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.before_after, "before and after")
        self.tabs.addTab(self.curve, "loss curve")
        self.tabs.setVisible(False)
        self._lay_out(
            self.form,
            self.train_button,
            buttons,
            self.progress,
            self.status,
            self.tabs,
        )

        self.train_button.clicked.connect(self.train)
        self.pause_button.clicked.connect(self.pause_or_go_on)
        self.finish_button.clicked.connect(self.stop_and_save)
        self.cancel_button.clicked.connect(self.cancel)

    def train(self) -> None:
        """Start a training with what the form says."""
        if self.running:
            return
        try:
            Preferences.apply(self.form.start)
            job = self._ask_about_earlier(self.form.job())
            if job is None:
                return
            # The weights folder may not be there yet; a file's folder has to be.
            if self.form.place.value == self.form.place.choices[0]:
                job.output.parent.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError) as error:
            self._refuse(str(error))
            return
        self._job, self._training, self._losses = job, None, []
        self.status.value = "Reading the images …"
        self._start(train_in_thread(job))
        # Until the images are read there is nothing to pause or to save.
        self.pause_button.enabled = self.finish_button.enabled = False

    def pause_or_go_on(self) -> None:
        """Let the training wait, or let it go on."""
        if self._worker is None:
            return
        pausing = self.pause_button.text == _PAUSE_TEXT
        self._worker.send(PAUSE if pausing else RESUME)
        self.pause_button.text = _GO_ON_TEXT if pausing else _PAUSE_TEXT
        self.status.value = "Pausing after this step …" if pausing else "Going on …"

    def stop_and_save(self) -> None:
        """End after the current step and save the weights."""
        if self._worker is not None:
            self._worker.send(FINISH)
            self._set_ending("Comparing with the start on held-out images …")

    def cancel(self) -> None:
        """End after the current step and save nothing."""
        if self._worker is None:
            return
        if self._training is None:
            self._worker.quit()
        else:
            self._worker.send(DISCARD)
        self._set_ending("Cancelled; nothing was saved.")

    def _ask_about_earlier(self, job: TrainingJob) -> TrainingJob | None:
        """Ask whether to replace a training of that name, or to carry it on."""
        if job.output.exists():
            answer = ask(
                self,
                _TITLE,
                f"Replace the weights {job.output.name}?",
                f"They are in {job.output.parent}, and stay there until the new ones "
                "are saved.",
                [_REPLACE],
            )
            return job if answer == _REPLACE else None
        checkpoint = job.output.with_suffix(".ckpt")
        if not checkpoint.is_file():
            return job
        answer = ask(
            self,
            _TITLE,
            f"A training of {job.output.stem} was interrupted. Carry on with it?",
            "This needs the same images and settings. Starting anew replaces what it "
            "has learnt.",
            [_CARRY_ON, _START_ANEW],
        )
        if answer is None:
            return None
        return replace(job, resume=checkpoint) if answer == _CARRY_ON else job

    def _on_yielded(self, item: Training | Preview | PretrainStep | None) -> None:
        # A yield that was under way when the window was closed shows nothing.
        if self._closed or self._worker is None or self._worker.abort_requested:
            return
        if isinstance(item, Training):
            self._training = item
            self.pause_button.enabled = self.finish_button.enabled = True
            self.curve.show_losses([])
            # Where nothing is held out there is no patch to show.
            self.tabs.setTabVisible(0, bool(item.held_out))
            self.tabs.setVisible(True)
        elif isinstance(item, Preview):
            self.before_after.show_preview(item)
        elif isinstance(item, PretrainStep):
            self._follow(item)
        elif self.pause_button.text == _GO_ON_TEXT and self.pause_button.enabled:
            self.status.value = f"Paused after {len(self._losses)} steps."

    def _follow(self, step: PretrainStep) -> None:
        self._losses.append(step.loss)
        if self._curve_pace.due():
            self.curve.show_losses(self._losses)
        # After a click on a button the status tells of that.
        if not self.finish_button.enabled or not self._words_pace.due():
            return
        self.progress.value = round(1000 * step.progress)
        if self.pause_button.text == _PAUSE_TEXT:
            self.status.value = (
                f"Step {step.step}, {100 * step.progress:.0f} % done. "
                f"Held out: {self._held_out}."
            )

    @property
    def _held_out(self) -> str:
        return (self._training and self._training.held_out) or "nothing, too few images"

    def _on_result(self, training: Training | None) -> None:
        # A cancelled training returns nothing.
        if self._closed or training is None or self._job is None:
            return
        self.curve.show_losses(self._losses)
        self.progress.value = 1000
        comparison = training.comparison
        verdict = _NOT_COMPARED if comparison is None else comparison.sentence
        self.status.value = f"{verdict} Saved as {self._job.output.stem}."
        library_events.changed.emit()

    def _on_finished(self) -> None:
        super()._on_finished()
        self._training = self._job = None

    def _set_ending(self, words: str) -> None:
        self.pause_button.enabled = self.finish_button.enabled = False
        self.cancel_button.enabled = False
        self.status.value = words

    def _set_running(self, running: bool) -> None:
        self.train_button.enabled = not running
        self.form.enabled = not running
        self.pause_button.text = _PAUSE_TEXT
        self.pause_button.enabled = self.finish_button.enabled = running
        self.cancel_button.enabled = running
