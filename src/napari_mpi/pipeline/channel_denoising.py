"""A run over channels, each with noise, scaling and learning of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numpy.typing import NDArray

from napari_mpi.arrays.parts import part_of
from napari_mpi.arrays.planes import PlaneGrid, numbered_channels
from napari_mpi.pipeline.denoising import Denoised
from napari_mpi.pipeline.joint_denoising import (
    JointDenoising,
    joint_report,
    reports_by_name,
)
from napari_mpi.pipeline.plane_store import allocate_results
from napari_mpi.pipeline.stack_denoising import StackDenoising

__all__ = ["ChannelDenoising"]


class ChannelDenoising(JointDenoising):
    """A run over channels, each with noise, scaling and learning of its own.

    A dim channel beside a bright one keeps its own range, and each is denoised as if
    it were alone.

    Parameters
    ----------
    image : array_like with `shape` and `dtype`
        Ending in YX.
    axis : int
        The channel axis, before the last two.
    begin : callable
        Starts the run over one channel: takes its array, its grid, and where its
        results go.
    uncertainty : bool
        Whether to have a place for the standard error of each pixel, too.
    """

    def __init__(
        self,
        image: Any,
        axis: int,
        begin: Callable[..., StackDenoising],
        *,
        uncertainty: bool = False,
    ) -> None:
        grid = PlaneGrid.of(image, rgb=False)
        self._axis = axis
        allocate = partial(allocate_results, image, grid.shape, uncertainty=uncertainty)
        self._results = allocate()
        indices: list[tuple[int | slice, ...]] = [
            (*[slice(None)] * axis, channel) for channel in range(grid.shape[axis])
        ]
        runs = []
        for index in indices:
            part = part_of(image, index)
            results = self._results.part(index)
            runs.append(begin(part, PlaneGrid.of(part, rgb=False), results=results))
        dtype = self._results.image.dtype
        if any(run.in_float(dtype) for run in runs):  # for one is for all
            self._results = allocate(in_float=True)
            for index, run in zip(indices, runs, strict=True):
                run.move_to(self._results.part(index))
        super().__init__(runs)

    @property
    def image(self) -> Any:
        """The result as it grows, plane by plane."""
        return self._results.image

    def look(
        self, index: tuple[int, ...], region: tuple[slice, slice]
    ) -> NDArray[Any] | None:
        """Fill a rectangle by the network as it comes, in a moment."""
        others = (*index[: self._axis], *index[self._axis + 1 :])
        return self._runs[index[self._axis]].look(others, region)

    def refresh(self) -> bool:
        """Bring the planes at work up to date in `image`."""
        grown = [run.refresh() for run in self._runs]  # all of them, not the first
        return any(grown)

    def result(self) -> Denoised:
        """Return what is reached; channels that were not begun are still noisy."""
        parts = [run.result() for run in self._runs]
        reports = [part.report for part in parts]
        names = [name.capitalize() for name in numbered_channels(len(parts))]
        report = {
            **joint_report(parts),
            "channel_axis": self._axis,
            "planes_done": sum(report["planes_done"] for report in reports),
            "n_planes": sum(report["n_planes"] for report in reports),
            **reports_by_name(parts, names),
        }
        found = self._results
        return Denoised(found.image, found.noise_map, report, found.uncertainty)
