"""What a run computes with, and how it makes do when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from napari_mpi.engine import memory
from napari_mpi.engine.passes import TILE_SIZE

__all__ = ["Resources"]

_Step = TypeVar("_Step")
_Result = TypeVar("_Result")


class Resources:
    """The device that a run computes on, and the size of its tiles.

    Parameters
    ----------
    device : torch.device
        Where to compute, as long as its memory lasts.
    plane_shape : tuple of int
        Shape of the planes, rows and columns first.
    n_images : int
        As how many images the network sees a plane.

    Attributes
    ----------
    device : torch.device
        Where to compute now.
    tile_size : int
        Side of the tiles that larger planes are taken apart into, in pixels.
    fallbacks : list of str
        What was done each time when memory ran out or was little.
    """

    def __init__(
        self, device: torch.device, plane_shape: tuple[int, ...], n_images: int = 1
    ) -> None:
        self.device = device
        self.tile_size = TILE_SIZE
        self.fallbacks: list[str] = []
        self._plane_shape, self._n_images = plane_shape, n_images
        self._filters_fit = True

    def fit_tiles(self) -> None:
        """Take tiles that the device has memory for."""
        self.tile_size = memory.fitting_tile_size(
            TILE_SIZE, self.device, self._n_images
        )
        # Other tiles give other pixels, by less than the noise that is left.
        if self.tile_size < min(TILE_SIZE, max(self._plane_shape[:2])):
            self._tell(
                f"Little memory is free: planes are taken in tiles of {self.tile_size} "
                "pixels."
            )

    def require_whole_planes(self) -> None:
        """Refuse, before the first plane, what would fill the computer's memory.

        Raises
        ------
        MemoryError
            If iterating over whole planes takes more memory than is free.
        """
        height, width = self._plane_shape[:2]
        needed = memory.training_bytes(self._n_images * height * width)
        free = memory.available_bytes(self.device)
        if self.device.type == "cpu" and needed > free:
            raise MemoryError(
                f"Iterating over whole planes of {height}x{width} pixels takes about "
                f"{needed / 2**30:.0f} GiB of memory, and {free / 2**30:.0f} GiB are "
                "free. Take the preset auto or fast, which need little for planes of "
                "any size."
            )

    def until_it_fits(
        self,
        begin: Callable[[], Iterable[_Step]],
        *,
        in_tiles: bool = False,
        whole_planes: bool = False,
    ) -> Iterator[_Step]:
        """Yield the steps of some work; begin again with less if memory runs out.

        Parameters
        ----------
        begin : callable
            Begins the work anew with the device and the tiles of now.
        in_tiles : bool
            Whether smaller tiles would help.
        whole_planes : bool
            Whether whole planes are trained on, which needs much memory.

        Raises
        ------
        MemoryError
            If there is no way left.
        """
        while True:
            try:
                yield from begin()
                return
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                # What is on its way through the work has the memory still.
                failure = error.with_traceback(None)
            self._fall_back(failure, in_tiles, whole_planes)

    def _fall_back(
        self, error: BaseException, in_tiles: bool, whole_planes: bool
    ) -> None:
        """Make do with less memory, or raise what says that there is no way."""
        memory.give_back(self.device)
        memory.keep_warm()
        smaller = memory.smaller_tile_size(self.tile_size) if in_tiles else None
        if smaller is not None:
            self.tile_size = smaller
            said = f"in tiles of {smaller} pixels"
        elif self.device.type != "cpu":
            self.device = torch.device("cpu")
            if whole_planes:
                self.require_whole_planes()
            self.fit_tiles()
            said = "on the processor instead of the graphics card, which takes longer"
        else:
            raise MemoryError(
                f"There is too little free memory for planes of "
                f"{self._plane_shape} pixels. Close other programs, or denoise a "
                "smaller region."
            ) from error
        self._tell(f"Memory ran out: the run goes on {said}.")

    def unless_memory_runs_out(
        self, work: Callable[[], _Result], otherwise: _Result, said: str
    ) -> _Result:
        """Return what some work gives, or something else where memory is too little.

        Parameters
        ----------
        work : callable
            Takes nothing.
        otherwise : object
            What to return if memory runs out.
        said : str
            How the run goes on then, in words.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
        memory.give_back(self.device)
        memory.keep_warm()
        self._tell(f"Memory ran out: the run goes on {said}.")
        return otherwise

    def filtered(self, work: Callable[[torch.device], _Result]) -> _Result:
        """Return what a filter over a whole plane gives, which takes much memory.

        Once the device has had too little for it, it is done on the processor.

        Parameters
        ----------
        work : callable
            Takes the device to compute on.

        Raises
        ------
        MemoryError
            If the processor's memory is too small.
        """
        if self._filters_fit and self.device.type != "cpu":
            result = self.unless_memory_runs_out(
                lambda: work(self.device),
                None,
                "with its filters on the processor instead of the graphics card, which "
                "takes longer",
            )
            if result is not None:
                return result
            self._filters_fit = False
        return memory.or_on_processor(work, torch.device("cpu"))

    def _tell(self, message: str) -> None:
        if message not in self.fallbacks:  # as for each plane of a large stack
            self.fallbacks.append(message)
            warnings.warn(message, stacklevel=3)

    def facts(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {
            "tile_size": self.tile_size,
            "device": str(self.device),
            "fallbacks": self.fallbacks,
        }

    def restore(self, facts: dict[str, Any]) -> None:
        """Go on with less where memory ran out before."""
        self.tile_size = facts["tile_size"]
        # Another card of the kind that was asked for is as good.
        if torch.device(facts["device"]).type != self.device.type:
            self.device = torch.device(facts["device"])
        self.fallbacks = list(facts["fallbacks"])
