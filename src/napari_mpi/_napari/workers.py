"""What runs in a thread of its own, while the window stays usable."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from superqt.utils import GeneratorWorker, thread_worker

from napari_mpi._napari.layers import Picture, channel_axis, pictures
from napari_mpi._napari.region import Region
from napari_mpi._napari.selection import LayerPart
from napari_mpi.pipeline.api import Denoised, Denoising, Progress, iter_denoise

__all__ = [
    "GREW",
    "KEEP",
    "ClosingWorker",
    "ComputationFailedError",
    "FirstLook",
    "RunInput",
    "denoise_in_thread",
]

GREW = "grew"
"""Yielded when there is more to be seen of a result."""

KEEP = "keep"
"""Sent to a run that is to end with what is reached."""

# The picture follows a run at this interval in seconds, and showing it takes no more
# than this share of the time.
_REFRESH_PICTURE = 0.5
_SHARE_OF_LIVE = 0.04


class ComputationFailedError(Exception):
    """A failure inside a computation, in words for the user."""

    def __init__(self, error: Exception, advice: str) -> None:
        super().__init__(f"The computation failed: {error}. {advice}")


class ClosingWorker(GeneratorWorker):  # type: ignore[misc]
    """Closes its generator when it is asked to quit, so that nothing is left undone."""

    def work(self) -> Any:
        """Run the generator to its end."""
        try:
            result = super().work()
        finally:
            self._gen.close()
        # Python makes a StopIteration that leaves a generator a RuntimeError; superqt
        # returns these, takes them for a deleted worker and ends without a word.
        stopped = isinstance(result, RuntimeError)
        if stopped and isinstance(result.__cause__, StopIteration):
            raise ComputationFailedError(
                result, "What reads the image may have come to its end too early."
            )
        return result


@dataclass(frozen=True)
class RunInput:
    """What a run takes from a layer, gathered where layers may be read.

    Attributes
    ----------
    part : LayerPart
        What it is about.
    array : array_like
        The pixels.
    rgb : bool
        Whether the last axis holds colours.
    channel_axis : int or None
        The axis of channels.
    visible : Region or None
        What to take a first look at.
    """

    part: LayerPart
    array: Any
    rgb: bool
    channel_axis: int | None
    visible: Region | None

    @classmethod
    def of(cls, part: LayerPart, visible: Region | None) -> RunInput:
        """Read what a run needs of a layer."""
        layer = part.layer
        return cls(part, part.array(), layer.rgb, channel_axis(layer), visible)

    def look(self, run: Denoising) -> FirstLook | None:
        """Return a first look at what is visible, if the run can give one."""
        if self.visible is None:
            return None
        place = self.part.place_of(self.visible.index)
        if place is None:
            return None
        image = run.look(place, (self.visible.rows, self.visible.columns))
        return None if image is None else FirstLook(self.visible, image)


@dataclass(frozen=True)
class FirstLook:
    """A region as the network fills it that has not learnt from the image yet."""

    region: Region
    image: NDArray[Any]


# napari's decorator is superqt's with a way of its own for errors to be shown. That is
# the docks' to do, and closing napari waits for these workers just the same.
@thread_worker(worker_class=ClosingWorker, ignore_errors=True)  # type: ignore[untyped-decorator]
def denoise_in_thread(
    source: RunInput, options: dict[str, Any], live: bool
) -> Generator[Denoising | Progress | FirstLook | Picture | str, str | None, Denoised]:
    """Denoise a part of a layer.

    Parameters
    ----------
    source : RunInput
        What to denoise.
    options : dict
        Keywords of `iter_denoise`.
    live : bool
        Whether to keep up to date what is shown.

    Yields
    ------
    Denoising
        The run, if it is to be seen.
    GREW
        There is more to be seen in its `image`.
    Progress
        Each step. Send `KEEP`, and the run ends with what is reached.
    FirstLook
        Before much is learnt from the image, if something of it is visible.
    Picture
        What takes long to compute of noise map and uncertainty, at the end, unless no
        plane was filled.

    Returns
    -------
    Denoised
        The result.
    """
    run = None
    # A RuntimeError would pass for a deleted worker and go unseen; torch raises many.
    try:
        run = iter_denoise(
            source.array,
            rgb=source.rgb,
            channel_axis=source.channel_axis,
            **options,
        )
        command = (yield run) if live else None
        refresh_at, looked = 0.0, not live
        for progress in run:
            started = time.monotonic()
            if progress.phase == "adapting" and not looked:
                looked = True
                look = source.look(run)
                if look is not None:
                    command = (yield look) or command
            if live and progress.phase == "filling" and started >= refresh_at:
                grew = run.refresh()
                now = time.monotonic()
                refresh_at = now + max(
                    _REFRESH_PICTURE, (now - started) / _SHARE_OF_LIVE
                )
                if grew:
                    command = (yield GREW) or command
            command = (yield progress) or command
            if command == KEEP:
                break
        run.close()
        result = run.result()
        if source.part.planes:
            result.report["planes"] = source.part.planes
        if result.report["complete"] or result.noise_map.any():
            yield from pictures(result, source.rgb)
        return result
    except RuntimeError as error:
        raise ComputationFailedError(
            error, "Try the device cpu, or a smaller region."
        ) from error
    finally:
        if run is not None:  # what a cancelled run holds is large
            run.close()
