"""Fills the planes of a stack, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from napari_mpi.analysis.uncertainty import error_of_filled
from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.arrays.planes import Index, PlaneGrid
from napari_mpi.engine.adapt import State
from napari_mpi.engine.fill import Fill, FillStep
from napari_mpi.engine.passes import Passes, PassStep
from napari_mpi.engine.predictor import Predictor
from napari_mpi.pipeline.checkpoints import Arrays
from napari_mpi.pipeline.neighbourhood import Neighbourhood, closest_axis
from napari_mpi.pipeline.photometry import Photometry, PlaneEstimate
from napari_mpi.pipeline.plan import Plan
from napari_mpi.pipeline.plane_store import PlaneStore
from napari_mpi.pipeline.resources import Resources

__all__ = ["Filled", "Plane", "PlaneFiller"]


# Of larger planes, in pixels, only the next ones are kept in memory.
_LARGE = 2**22
# Enough for a first look, and hardly any time.
_LOOK_PASSES = 4


@dataclass(frozen=True)
class Plane:
    """A plane's place, counted through and in the leading axes."""

    number: int
    index: Index


@dataclass(frozen=True)
class _AtWork:
    """A plane that is being filled."""

    plane: Plane
    noisy: NDArray[Any]
    channels: NDArray[Any]  # of the noisy plane, with its stuck pixels filled
    filling: Fill | Passes
    shown: bool  # when it is refreshed


@dataclass(frozen=True)
class Filled:
    """A plane that is filled, and what it was."""

    plane: Plane
    noisy: NDArray[Any]
    estimate: PlaneEstimate


class PlaneFiller:
    """Fills the planes of a stack, one at a time, and puts them back into it.

    Parameters
    ----------
    store : PlaneStore
        The planes.
    grid : PlaneGrid
        Where they lie.
    plan : Plan
        What is decided.
    resources : Resources
        What to compute with.

    Attributes
    ----------
    touched : set of tuple of int
        Index of each plane that was put back so far.
    losses : dict or None
        Losses of the plane begun last, where planes are iterated over.
    """

    def __init__(
        self, store: PlaneStore, grid: PlaneGrid, plan: Plan, resources: Resources
    ) -> None:
        self._store, self._grid = store, grid
        self._plan, self._resources = plan, resources
        self._photometry = Photometry.of(plan)
        self._at_work: _AtWork | None = None
        self._kept_predictor: tuple[Any, Predictor] | None = None
        self.touched: set[Index] = set()
        self.losses: dict[str, Any] | None = None

    def iterate_over(self, plane: Plane) -> Iterator[FillStep]:
        """Fill a plane as the paper does, by a network that learns from it."""
        noisy = self._store.plane(plane.index)
        channels = self._store.channels(noisy)

        def begin() -> Fill:
            fill = Fill(
                self._photometry.to_network(channels),
                self._plan.weights.build(),
                self._plan.config,
                seed=self._plan.plane_seed(plane.number),
                device=self._resources.device,
            )
            self._at_work = _AtWork(plane, noisy, channels, fill, shown=True)
            self.losses = {
                "plane": plane.number, "losses": [], "validations": [], "kept_at": []
            }  # fmt: skip
            return fill

        for step in self._resources.until_it_fits(begin, whole_planes=True):
            assert self.losses is not None
            self.losses["losses"].append(step.loss)
            self.losses["validations"].append(step.validation)
            self.losses["kept_at"] = [step.kept]
            yield step

    def neighbourhood(self) -> Neighbourhood | None:
        """Return which planes tell of each other, if any do."""
        config, store = self._plan.config, self._store
        reach = config.neighbours
        # Planes that show different things are better adapted to one by one.
        if not reach or not self._photometry.joins or config.adapt_to == "plane":
            return None
        if math.prod(self._grid.plane_shape[:2]) > _LARGE:
            reach = 1
        axis = closest_axis(
            store.varying,
            lambda index: store.channels(store.original(index)),
        )
        store.let_go()
        return None if axis is None else Neighbourhood(axis, reach)

    def fill(
        self, plane: Plane, states: list[State], *, shown: bool = True
    ) -> Iterator[PassStep]:
        """Fill a plane by passes of networks that are adapted already.

        It need not be shown as it grows: what is there may be better.
        """
        store = self._store
        noisy = (store.plane if shown else store.original)(plane.index)
        channels = store.channels(noisy)

        def begin() -> Passes:
            passes = Passes(
                self._photometry.to_network(channels),
                self._predictor(),
                states,
                self._plan.config,
                seed=self._plan.plane_seed(plane.number),
                tile_size=self._resources.tile_size,
            )
            self._at_work = _AtWork(plane, noisy, channels, passes, shown)
            return passes

        yield from self._resources.until_it_fits(begin, in_tiles=True)

    def take(self) -> Filled:
        """Return the plane at work, which is filled, without putting it back."""
        work = self._at_work
        assert work is not None
        self._at_work = None
        return Filled(work.plane, work.noisy, self._estimate(work))

    def join(self, own: Filled, others: list[Filled]) -> tuple[Filled, float]:
        """Return what a plane and those beside it tell, and as how many it counts."""
        if not others:
            return own, 1.0
        joined, n_planes = self._resources.unless_memory_runs_out(
            lambda: self._photometry.joined(
                own.estimate,
                [other.estimate for other in others],
                self._resources,
            ),
            (own.estimate, 1.0),
            "with planes that are not joined with those beside them",
        )
        return replace(own, estimate=joined), n_planes

    def put(self, filled: Filled) -> None:
        """Put a plane back."""
        index, found = filled.plane.index, filled.estimate
        values, errors = self._photometry.to_input(found)
        if errors is not None:
            self._store.put_uncertainty(index, errors)
        self._store.put(index, filled.noisy, values)
        self.touched.add(index)

    def fill_only_stuck(self, plane: Plane) -> None:
        """Fill the stuck pixels of a plane, and change nothing else."""
        noisy = self._store.plane(plane.index)
        filled = self._store.channels(noisy)
        errors = error_of_filled(filled, filled != self._grid.to_channels(noisy))
        self._store.put_uncertainty(plane.index, errors)
        self._store.put(plane.index, noisy, filled)
        self.touched.add(plane.index)

    def look(self, index: Index, region: tuple[slice, slice]) -> NDArray[Any]:
        """Fill a rectangle of a plane by the network as it comes, and return it."""
        store = self._store
        noisy = store.original(index)
        channels = store.channels(noisy)[:, *region]
        intensity = store.intensity(index)
        if intensity is not None:
            intensity = intensity[:, *region]
        config = replace(self._plan.config, n_passes=_LOOK_PASSES)
        # A plane that is at work goes on with the network that it has.
        network = self._plan.weights.build()
        passes = Passes(
            self._photometry.to_network(channels),
            Predictor(network, config, self._resources.device),
            [dict(self._plan.weights.state)],
            config,
            seed=self._plan.plane_seed(0),
        )
        for _ in passes:
            pass
        found = self._photometry.estimate(
            passes, channels, self._resources, intensity, uncertainty=False
        )
        values, _ = self._photometry.to_input(found)
        store.let_go()
        return self._grid.from_channels(to_dtype(values, store.dtype), noisy[region])

    def read(self, index: Index) -> Tensor:
        """Return a plane as the network takes it, and keep nothing else of it."""
        channels = self._store.channels(self._store.plane(index))
        self._store.let_go()
        return self._photometry.to_network(channels)

    def refresh(self) -> None:
        """Put back what is reached of the plane at work, if that is all of it.

        After its first pass half of the pixels would be denoised, the others not.
        """
        work = self._at_work
        if work is None or not work.shown:
            return
        if isinstance(work.filling, Fill) or work.filling.has_all:
            self._put_back(work)

    def release(self) -> None:
        """Let go of the network, and of the memory that it has on its device."""
        self._kept_predictor = None

    def finish(self) -> None:
        """Put back the plane at work, which is final now."""
        if self._at_work is not None:
            self._put_back(self._at_work)
        self._at_work = None

    def restore(self, plane: Plane, arrays: Arrays) -> None:
        """Put back a plane that an earlier run finished."""
        self._store.restore(plane.index, arrays)
        self.touched.add(plane.index)

    def _predictor(self) -> Predictor:
        """Return the network that fills all planes, until memory runs out."""
        resources = self._resources
        place = resources.device, resources.tile_size
        if self._kept_predictor is None or self._kept_predictor[0] != place:
            self._kept_predictor = None  # what it recorded takes memory
            network = self._plan.weights.build()
            predictor = Predictor(network, self._plan.config, resources.device)
            self._kept_predictor = place, predictor
        return self._kept_predictor[1]

    def _put_back(self, work: _AtWork) -> None:
        self.put(Filled(work.plane, work.noisy, self._estimate(work)))

    def _estimate(self, work: _AtWork) -> PlaneEstimate:
        return self._photometry.estimate(
            work.filling,
            work.channels,
            self._resources,
            self._store.intensity(work.plane.index),
            uncertainty=self._store.uncertainty is not None,
        )
