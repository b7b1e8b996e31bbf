"""A run over the planes of an image or stack."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mpi.analysis.verdict import Verdict, judge
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.engine import memory
from napari_mpi.engine.adapt import State
from napari_mpi.engine.masked_plane import n_images
from napari_mpi.engine.passes import PassStep
from napari_mpi.pipeline.adapting import GroupAdaptation, share_of_adapting
from napari_mpi.pipeline.checkpoints import Checkpoints, KeptParts
from napari_mpi.pipeline.denoising import Denoised, Denoising, Progress
from napari_mpi.pipeline.forecast import Forecast, forecast
from napari_mpi.pipeline.joined_filling import JoinedFilling
from napari_mpi.pipeline.plan import Correction, Plan, Request
from napari_mpi.pipeline.plane_filling import Plane, PlaneFiller
from napari_mpi.pipeline.plane_store import (
    PlaneStore,
    Results,
    allocate_results,
    planes_to_look_at,
)
from napari_mpi.pipeline.report import Tally, write_report
from napari_mpi.pipeline.resources import Resources
from napari_mpi.weights.loading import Weights

__all__ = ["StackDenoising"]


class StackDenoising(Denoising):
    """A run over the planes of an image or stack, which share noise and scaling.

    Parameters
    ----------
    image : array_like with `shape` and `dtype`
        NumPy, dask, zarr or memory-mapped.
    grid : PlaneGrid
        Where its planes lie.
    request : Request
        The settings that are asked for.
    weights : Weights
        The weights to start from.
    device : torch.device
        Where to compute.
    seed : int
        Seed of the masks.
    uncertainty : bool
        Whether to estimate the standard error of each pixel, too.
    results : Results, optional
        Where the results go; new arrays of a fitting type, if it is not given.
    intensity : array_like, optional
        What the noise depends on, if not the image's own values; of the same shape. It
        is read when a plane is filled.
    correct : callable, optional
        Corrects what is measured of the noise by what is known besides.
    fill_stuck : bool
        Whether to look for stuck pixels, if the request does not forbid it.
    """

    def __init__(
        self,
        image: Any,
        grid: PlaneGrid,
        request: Request,
        weights: Weights,
        *,
        device: torch.device,
        seed: int,
        uncertainty: bool = False,
        results: Results | None = None,
        intensity: Any = None,
        correct: Correction | None = None,
        fill_stuck: bool = True,
    ) -> None:
        allocate = partial(allocate_results, image, grid.shape, uncertainty=uncertainty)
        self._grid = grid
        self._store = PlaneStore(
            image,
            grid,
            results or allocate(),
            intensity,
            fill_stuck=request.fills_stuck and fill_stuck,
        )
        self._plan = Plan.make(
            self._store, request, weights, device=device, seed=seed, correct=correct
        )
        if results is None and self.in_float(self._store.dtype):
            self.move_to(allocate(in_float=True))
        self._resources = Resources(
            device,
            grid.plane_shape,
            n_images(3 if grid.rgb else 1, weights.image_channels),
        )
        self._filler = PlaneFiller(self._store, grid, self._plan, self._resources)
        self._tally = Tally()
        self._kept = KeptParts()
        self._joined: JoinedFilling | None = None
        self._steps = self._run()
        self._closed = False

    def __next__(self) -> Progress:
        started = time.monotonic()
        try:
            return next(self._steps)
        finally:
            self._tally.seconds += time.monotonic() - started

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if it is."""
        if self._store.constant:
            what = "The image" if self._grid.n_planes == 1 else "Each plane"
            return f"{what} is constant, so there is nothing to denoise"
        if self._plan.clean and self._store.stuck == 0:
            assert self._plan.choice is not None
            return self._plan.choice.reason.removesuffix(".")
        return None

    @property
    def image(self) -> NDArray[Any]:
        """The result as it grows, plane by plane."""
        return self._store.image

    def in_float(self, dtype: np.dtype[Any]) -> bool:
        """Whether a result of this type is to be float32; see `Plan.in_float`."""
        return self._plan.in_float(dtype)

    def move_to(self, results: Results) -> None:
        """Put the results elsewhere, before the first step."""
        self._store.move_to(results)

    def look(
        self, index: tuple[int, ...], region: tuple[slice, slice]
    ) -> NDArray[Any] | None:
        """Fill a rectangle by the network as it comes, in a moment."""
        to_fill = [] if self._plan.clean else self._to_fill()
        if all(plane.index != index for plane in to_fill):
            return None
        return self._filler.look(index, region)

    def refresh(self) -> bool:
        """Bring the plane at work up to date in `image`."""
        self._filler.refresh()
        return bool(self._filler.touched)

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        self._steps.close()
        self._closed = True

    def restore(self, checkpoints: Checkpoints) -> None:
        """Carry on from what an earlier run kept, and keep what this one finishes."""
        self._kept = KeptParts(checkpoints)

    def forecast(self, n_planes: int | None = None) -> Forecast:
        """Try a piece of the image, for about a second, and tell what the run takes."""
        planes = self._to_fill()
        if not planes or self._plan.clean:
            return Forecast(0.0, 0)
        config = self._plan.config
        if n_planes is None:
            n_planes = len(planes)
        else:
            config = self._plan.config_for(n_planes, self._grid.plane_shape)
        plane = self._filler.read(planes[0].index)
        weights = self._plan.weights
        return memory.or_on_processor(
            lambda device: forecast(plane, n_planes, weights, config, device),
            self._resources.device,
        )

    def result(self) -> Denoised:
        """Return what is reached so far; planes that were not begun are still noisy."""
        if self._closed and self._joined is not None:
            # A run that carries on later has all planes: these are not kept for it.
            counts = self._joined.finish_rest()
            self._tally.planes_done += len(counts)
            self._tally.joined += counts
            self._joined = None
        self.refresh()
        store = self._store
        report = write_report(
            self._plan,
            self._grid,
            self._resources,
            self._tally,
            self._filler.losses,
            self._judge(),
            stuck=store.stuck,
            pixel_type=store.dtype,
            whole=store.whole,
            uncertainty=store.uncertainty is not None,
        )
        return Denoised(store.image, store.noise_map, report, store.uncertainty)

    def _judge(self) -> Verdict | None:
        """Look at a few finished planes; there is nothing to say before the first."""
        store, noise = self._store, self._plan.noise
        done = [index for index in store.varying if index in self._filler.touched]
        if not done or noise is None or self._plan.clean:
            return None
        chosen = planes_to_look_at(done, self._grid)
        return judge(
            store.noisy(chosen),
            store.done(chosen),
            noise,
            intensity=store.intensities(chosen),
        )

    def _run(self) -> Generator[Progress, None, None]:
        memory.keep_warm()
        try:
            planes = self._to_fill()
            self._tally.planes_done = self._grid.n_planes - len(planes)
            if self._plan.clean:
                yield from self._fill_only_stuck(planes)
            elif self._plan.config.crop_size is None:
                yield from self._iterate_over_planes(planes)
            else:
                yield from self._adapt_then_fill(planes)
        finally:
            self._filler.release()
            memory.give_back(self._resources.device)

    def _to_fill(self) -> list[Plane]:
        """Return the planes that there is something to do for."""
        if self.unchanged is not None:
            return []
        numbers = {index: n for n, index in enumerate(self._grid.indices())}
        return [Plane(numbers[index], index) for index in self._store.varying]

    def _fill_only_stuck(self, planes: list[Plane]) -> Generator[Progress, None, None]:
        """Fill the stuck pixels of planes that have no noise besides."""
        n_planes = self._grid.n_planes
        for plane in planes:
            self._filler.fill_only_stuck(plane)
            self._finish(plane)
            fraction = (plane.number + 1) / n_planes
            yield Progress("filling", plane.number, n_planes, 1, 1, fraction)

    def _iterate_over_planes(
        self, planes: list[Plane]
    ) -> Generator[Progress, None, None]:
        """Fill each plane as the paper does, on its own and as a whole."""
        n_iter, n_planes = self._plan.config.n_iter, self._grid.n_planes
        if planes:
            self._resources.require_whole_planes()
        for plane in planes:
            if self._restore_plane(plane):
                continue
            n_before = self._tally.iterations
            for step in self._filler.iterate_over(plane):
                self._tally.iterations += 1
                yield Progress(
                    "filling",
                    plane.number,
                    n_planes,
                    step.step,
                    n_iter,
                    (plane.number + step.step / n_iter) / n_planes,
                    step.loss,
                    step.validation,
                )
            self._finish(plane, self._tally.iterations - n_before)

    def _adapt_then_fill(self, planes: list[Plane]) -> Generator[Progress, None, None]:
        """Adapt the network on crops, for each plane or for all, then fill planes."""
        if not planes:
            return
        self._resources.fit_tiles()
        config, n_planes = self._plan.config, self._grid.n_planes
        together = config.adapt_to == "stack"
        groups = [planes] if together else [[plane] for plane in planes]
        n_pixels = math.prod(self._grid.plane_shape[:2])
        share = share_of_adapting(config, n_pixels, len(groups[0]))
        done = self._tally.planes_done / n_planes
        for group in groups:
            part = len(group) / n_planes
            states = self._restore_networks(group[0])
            if states is None:
                states = yield from self._adapt(group, done, part * share)
            for position, plane, step in self._fill_group(group, states):
                filled = (position + step.done / step.total) / len(group)
                yield Progress(
                    "filling",
                    plane.number,
                    n_planes,
                    step.done,
                    step.total,
                    done + part * (share + (1 - share) * filled),
                )
            if not together:
                self._kept.forget_networks(group[0].number)
            done += part

    def _fill_group(
        self, group: list[Plane], states: list[State]
    ) -> Generator[tuple[int, Plane, PassStep], None, None]:
        """Fill planes by the same networks, and join those that show the same.

        What is yielded begins with the plane's position in the order of the work.
        """
        neighbourhood = self._filler.neighbourhood()
        if neighbourhood is None:
            for position, plane in enumerate(group):
                if not self._restore_plane(plane):
                    for step in self._filler.fill(plane, states):
                        yield position, plane, step
                    self._finish(plane)
            return
        self._joined = joined = JoinedFilling(group, neighbourhood, self._filler)
        for plane in joined.order:
            if self._restore_plane(plane):
                joined.leave(plane)
            else:
                yield from joined.fill(plane, states)
                self._finish(plane, n_joined=joined.finish(plane))
        self._joined = None

    def _adapt(
        self, group: list[Plane], done: float, part: float
    ) -> Generator[Progress, None, list[State]]:
        """Adapt to a group of planes; `done` and `part` are shares of the whole run."""
        first, n_before = group[0].number, self._tally.iterations
        adaptation = GroupAdaptation(
            first,
            [plane.index for plane in group],
            self._filler.read,
            self._plan,
            self._resources,
        )
        for step in adaptation:
            self._tally.iterations += 1
            yield Progress(
                "adapting",
                first,
                self._grid.n_planes,
                step.step,
                step.n_iter,
                done + part * step.step / step.n_iter,
                step.loss,
                step.validation,
            )
        record = adaptation.record()
        self._tally.adaptations.append(record)
        facts = self._facts(self._tally.iterations - n_before)
        self._kept.save_networks(
            first, adaptation.states, facts | {"adaptation": record}
        )
        return adaptation.states

    def _finish(
        self, plane: Plane, iterations: int = 0, n_joined: float | None = None
    ) -> None:
        self._filler.finish()
        self._tally.planes_done += 1
        arrays = self._store.finished(plane.index)
        if n_joined is not None:
            self._tally.joined.append(n_joined)
        facts = self._facts(iterations, n_joined)
        self._kept.save_plane(plane.number, arrays, facts)
        self._store.let_go()

    def _restore_plane(self, plane: Plane) -> bool:
        """Take over a plane that an earlier run finished, if there is one."""
        kept = self._kept.plane(plane.number)
        if kept is None:
            return False
        arrays, facts = kept
        self._filler.restore(plane, arrays)
        self._take(facts)
        self._tally.planes_done += 1
        self._store.let_go()
        return True

    def _restore_networks(self, first: Plane) -> list[State] | None:
        """Take over networks that an earlier run adapted, if there are some."""
        kept = self._kept.networks(first.number)
        if kept is None:
            return None
        states, facts = kept
        self._take(facts)
        self._tally.adaptations.append(facts["adaptation"])
        return states

    def _facts(self, iterations: int, n_joined: float | None = None) -> dict[str, Any]:
        """Return what the run has come to besides pixels and networks."""
        return {
            "iterations": iterations,
            **self._resources.facts(),
            "filling": self._filler.losses,
            "joined": n_joined,
        }

    def _take(self, facts: dict[str, Any]) -> None:
        self._tally.iterations += facts["iterations"]
        self._resources.restore(facts)
        self._filler.losses = facts["filling"]
        if facts["joined"] is not None:
            self._tally.joined.append(facts["joined"])
