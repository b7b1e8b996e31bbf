"""What runs in a thread of its own, while the window stays usable."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari.layers import Image
from numpy.typing import NDArray
from superqt.utils import GeneratorWorker, thread_worker

from napari_mpi._napari.layers import Picture, channel_axis, layer_array, pictures
from napari_mpi._napari.region import Region
from napari_mpi._napari.selection import LayerPart
from napari_mpi.config import MEASURING
from napari_mpi.pipeline.api import (
    Denoised,
    Denoising,
    Forecast,
    Progress,
    denoise,
    iter_denoise,
)

__all__ = [
    "KEEP",
    "REFRESH_PICTURE",
    "ClosingWorker",
    "ComputationFailedError",
    "FirstLook",
    "Trial",
    "denoise_in_thread",
    "try_in_thread",
]

KEEP = "keep"
"""Sent to a run that is to end with what is reached."""

# The picture follows a run at this interval in seconds, and showing it takes no more
# than this share of the time.
REFRESH_PICTURE = 0.5
_SHARE_OF_LIVE = 0.04
# What a first look takes instead of the learning and of many passes.
_FIRST_LOOK = {"n_iter": 0, "n_passes": 4, "uncertainty": False}


class ComputationFailedError(Exception):
    """A failure inside a computation, in words for the user."""

    def __init__(self, error: Exception, advice: str) -> None:
        super().__init__(f"The computation failed: {error}. {advice}")


class ClosingWorker(GeneratorWorker):  # type: ignore[misc]
    """Closes its generator when it is asked to quit, so that nothing is left undone."""

    def work(self) -> Any:
        """Run the generator to its end."""
        try:
            return super().work()
        finally:
            self._gen.close()


@dataclass(frozen=True)
class Trial:
    """What a preset made of a region, and what the whole layer would take."""

    preset: str
    region: Region
    result: Denoised
    forecast: Forecast


@dataclass(frozen=True)
class FirstLook:
    """A region as the network fills it that has not learnt from the image yet."""

    region: Region
    image: NDArray[Any]


# napari's decorator is superqt's with a way of its own for errors to be shown. That is
# the docks' to do, and closing napari waits for these workers just the same.
@thread_worker(ignore_errors=True)  # type: ignore[untyped-decorator]
def denoise_in_thread(
    part: LayerPart, options: dict[str, Any], visible: Region | None
) -> Generator[Denoising | Progress | FirstLook | Picture, str | None, Denoised]:
    """Denoise a part of a layer; what is `visible` is kept up to date, if anything.

    Before it learns from the image, a first look at the visible region is yielded.
    What takes long to compute of noise map and uncertainty is yielded before the
    result is returned, unless no plane was filled.
    """
    live, looked = visible is not None, False
    # A RuntimeError would pass for a deleted worker and go unseen; torch raises many.
    try:
        layer = part.layer
        run = iter_denoise(
            part.array(), rgb=layer.rgb, channel_axis=channel_axis(layer), **options
        )
        if live:
            yield run
        refresh_at = 0.0
        for progress in run:
            started = time.monotonic()
            if visible is not None and progress.phase == "adapting" and not looked:
                looked = True
                yield _first_look(layer, visible, options)
            if live and progress.phase == "filling" and started >= refresh_at:
                run.refresh()
                now = time.monotonic()
                refresh_at = now + max(
                    REFRESH_PICTURE, (now - started) / _SHARE_OF_LIVE
                )
            command = yield progress
            if command == KEEP:
                run.close()
                break
        result = run.result()
        if part.planes:
            result.report["planes"] = part.planes
        if result.report["complete"] or result.noise_map.any():
            yield from pictures(result, layer.rgb)
        return result
    except RuntimeError as error:
        raise ComputationFailedError(
            error, "Try the device cpu, or a smaller region."
        ) from error


def _first_look(layer: Image, visible: Region, options: dict[str, Any]) -> FirstLook:
    seen = visible.cut(layer_array(layer))
    return FirstLook(
        visible, denoise(seen, rgb=layer.rgb, **{**options, **_FIRST_LOOK}).image
    )


@thread_worker(ignore_errors=True)  # type: ignore[untyped-decorator]
def try_in_thread(
    part: LayerPart, region: Region, options: dict[str, Any]
) -> Generator[Trial | None, None, None]:
    """Denoise a region with each measuring preset, and forecast the part."""
    try:
        data, rgb = layer_array(part.layer), part.layer.rgb
        shape = part.array().shape
        n_planes = math.prod(shape[: len(shape) - 2 - rgb])
        for preset in MEASURING:
            chosen = {**options, "preset": preset}
            run = iter_denoise(region.cut(data), rgb=rgb, **chosen)
            for _ in run:
                yield None  # here a cancelled worker ends
            whole = iter_denoise(region.plane(data), rgb=rgb, **chosen)
            yield Trial(preset, region, run.result(), whole.forecast(n_planes))
    except RuntimeError as error:
        raise ComputationFailedError(error, "Try the device cpu.") from error
