"""Fills the planes of a stack, each joined with those beside it."""

from __future__ import annotations

from collections.abc import Iterator

from napari_mpi.engine.adapt import State
from napari_mpi.engine.passes import PassStep
from napari_mpi.pipeline.neighbourhood import Neighbourhood
from napari_mpi.pipeline.plane_filling import Filled, Plane, PlaneFiller

__all__ = ["JoinedFilling"]


class JoinedFilling:
    """Fills planes by the same networks, and joins those that show the same.

    A plane that is filled is shown as it is by itself, until those on either side of it
    are filled, too.

    Parameters
    ----------
    planes : list of Plane
        What there is to fill.
    neighbourhood : Neighbourhood
        Which of them lie beside each other.
    filler : PlaneFiller
        Fills each of them, and puts it back.

    Attributes
    ----------
    order : list of Plane
        In this order they have to be finished.
    """

    def __init__(
        self, planes: list[Plane], neighbourhood: Neighbourhood, filler: PlaneFiller
    ) -> None:
        self._filler = filler
        by_index = {plane.index: plane for plane in planes}
        self.order = [by_index[index] for index in neighbourhood.in_order(by_index)]
        self._beside = {
            plane: [
                by_index[index]
                for index in neighbourhood.beside(plane.index)
                if index in by_index
            ]
            for plane in planes
        }
        self._positions = {plane: n for n, plane in enumerate(self.order)}
        self._filled: dict[Plane, Filled] = {}
        self._final: set[Plane] = set()

    def fill(
        self, plane: Plane, states: list[State]
    ) -> Iterator[tuple[int, Plane, PassStep]]:
        """Fill what `finish` needs of a plane and those beside it, if it is not yet.

        What is yielded begins with the place of the plane at work in the order.
        """
        all_needed = [plane, *self._beside[plane]]
        for needed in sorted(all_needed, key=self._positions.__getitem__):
            if needed in self._filled:
                continue
            # What an earlier run finished is not shown as it is by itself.
            is_new = needed not in self._final
            for step in self._filler.fill(needed, states, shown=is_new):
                yield self._positions[needed], needed, step
            filled = self._filler.take()
            if is_new:
                self._filler.put(filled)
            self._filled[needed] = filled

    def finish(self, plane: Plane) -> float:
        """Put back a filled plane with what those beside it tell, and forget others.

        As how many planes it counts is returned.
        """
        beside = self._beside[plane]
        self._filled = {
            one: filled
            for one, filled in self._filled.items()
            if one == plane or one in beside
        }
        joined, n_planes = self._filler.join(
            self._filled[plane],
            [self._filled[one] for one in beside if one in self._filled],
        )
        self._filler.put(joined)
        self._final.add(plane)
        return n_planes

    def leave(self, plane: Plane) -> None:
        """Leave a plane as an earlier run finished it."""
        self._final.add(plane)

    def finish_rest(self) -> list[float]:
        """Finish the planes that wait for others, which do not come any more.

        As how many planes each of them counts is returned.
        """
        waiting = [
            plane
            for plane in self.order
            if plane in self._filled and plane not in self._final
        ]
        return [self.finish(plane) for plane in waiting]
