"""Trials: a visible region denoised with each measuring preset."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from napari.layers import Image
from napari.viewer import Viewer
from superqt.utils import thread_worker

from napari_mpi._napari.kept_selection import selection_kept
from napari_mpi._napari.region import Region, region_layer
from napari_mpi._napari.selection import LayerPart
from napari_mpi._napari.workers import (
    ClosingWorker,
    ComputationFailedError,
    RunInput,
)
from napari_mpi.config import MEASURING
from napari_mpi.pipeline.api import Denoised, Forecast, Progress, iter_denoise

__all__ = ["Trial", "TrialStep", "Trials", "try_in_thread"]

_PRESETS = tuple(reversed(MEASURING))  # the fastest first


@dataclass(frozen=True)
class Trial:
    """What a preset made of a region, and what the whole layer would take.

    There is no forecast where other planes would take more than the one that is shown,
    which has nothing to remove.
    """

    preset: str
    region: Region
    result: Denoised
    forecast: Forecast | None


@dataclass(frozen=True)
class TrialStep:
    """A step of the trial of a preset.

    Attributes
    ----------
    preset : str
        The preset.
    progress : Progress
        Where its run stands.
    fraction : float
        How much is done of all trials, 0 to 1.
    """

    preset: str
    progress: Progress
    fraction: float


class Trials:
    """Shows the trials of a part of a layer, and says what each has shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where their layers are added.
    part : LayerPart
        What a run would denoise.
    """

    def __init__(self, viewer: Viewer, part: LayerPart) -> None:
        self._viewer, self._part = viewer, part
        self._added: list[Image] = []
        self._said: list[str] = []

    @property
    def fraction(self) -> float:
        """How much of all trials has been shown, 0 to 1."""
        return len(self._said) / len(_PRESETS)

    def cancelled(self) -> str:
        """Return what was shown before the trials were cancelled; empty for nothing."""
        if not self._said:
            return ""
        rest = [f"The trial of {one} was cancelled." for one in _PRESETS]
        return " ".join([*self._said, *rest[len(self._said) :]])

    def words_at(self, step: TrialStep) -> str:
        """Return where the trial at work stands, after what the others have shown."""
        progress = step.progress
        working = f"Trying {step.preset} on a part of {self._part.layer.name}, step"
        said = f"{working} {progress.step} of {progress.n_steps} …"
        return " ".join([*self._said, said])

    def show(self, trial: Trial) -> str:
        """Add a layer of what a trial gave, and return what all have shown so far."""
        layer = self._part.layer
        name = f"{layer.name} region {trial.preset}"
        tried = region_layer(layer, trial.region, trial.result.image, name)
        with selection_kept(self._viewer, [layer, *self._added]):
            self._viewer.add_layer(tried)
        self._added.append(tried)
        takes = "chosen planes take" if self._part.planes else "whole layer takes"
        if trial.forecast is None:
            said = "nothing is to be removed from this plane; try another one."
        else:
            said = f"the {takes} {trial.forecast}."
        self._said.append(f"With {trial.preset}, {said}")
        return " ".join(self._said)


@thread_worker(worker_class=ClosingWorker, ignore_errors=True)  # type: ignore[untyped-decorator]
def try_in_thread(
    source: RunInput, whole: Any, options: dict[str, Any]
) -> Generator[Trial | TrialStep, None, None]:
    """Denoise what is visible with each measuring preset, and forecast the rest.

    Parameters
    ----------
    source : RunInput
        What the forecast is for.
    whole : array_like
        The pixels of the layer, in which the visible region lies.
    options : dict
        Keywords of `iter_denoise`.

    Yields
    ------
    TrialStep
        Each step; here a cancelled worker ends.
    Trial
        One for each preset, the fastest first.
    """
    assert source.visible is not None
    region, rgb = source.visible, source.rgb
    try:
        shape = source.array.shape
        n_planes = math.prod(shape[: len(shape) - 2 - rgb])
        axis = source.channel_axis
        n_channels = 1 if axis is None else shape[axis]
        for number, preset in enumerate(_PRESETS):
            chosen = {**options, "preset": preset}
            run = iter_denoise(region.cut(whole), rgb=rgb, **chosen)
            try:
                for progress in run:
                    fraction = (number + progress.fraction) / len(_PRESETS)
                    yield TrialStep(preset, progress, fraction)
            finally:
                run.close()
            plane = iter_denoise(region.plane(whole), rgb=rgb, **chosen)
            forecast = None
            if plane.unchanged is None or n_planes == 1:
                # Each channel has learning of its own, and memory for itself.
                one = plane.forecast(n_planes // n_channels)
                forecast = replace(one, seconds=n_channels * one.seconds)
            plane.close()
            yield Trial(preset, region, run.result(), forecast)
    except RuntimeError as error:
        raise ComputationFailedError(error, "Try the device cpu.") from error
