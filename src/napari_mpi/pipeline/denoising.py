"""What a run is: steps on the way, and a result that is valid at each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mpi.pipeline.checkpoints import Checkpoints
from napari_mpi.pipeline.forecast import Forecast

__all__ = ["Denoised", "Denoising", "Progress"]


@dataclass(frozen=True)
class Denoised:
    """What a run gives back.

    Attributes
    ----------
    image : ndarray
        The denoised image, in the input's shape and range, and in its dtype, or in
        float32 where whole numbers are too coarse; see `FillConfig.pixel_type`.
    noise_map : ndarray
        Input minus denoised, float32, signed, in the input's units.
    report : dict
        Settings, weights and their hash, seed, versions, device, and how far the run
        came; JSON-serialisable.
    uncertainty : ndarray, optional
        Estimated standard error of each denoised pixel, float32, in the input's units,
        where it was asked for. It comes from how much the predictions of a pixel
        scatter, and, over some ten pixels, from what lies between image and prediction
        beyond noise. A small structure that no prediction shows is missing here, too.
        0 in planes that were not filled.
    """

    image: NDArray[Any]
    noise_map: NDArray[np.float32]
    report: dict[str, Any]
    uncertainty: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Progress:
    """A piece of the work that is done.

    Attributes
    ----------
    phase : {"adapting", "filling"}
        Whether the network learns from the image, or a plane is being filled.
    plane, n_planes : int
        The plane that is at work, from 0, and how many there are.
    step, n_steps : int
        Iterations, or tiles in all passes over the plane, that are done in this phase,
        and how many there will be.
    fraction : float
        Share of the whole run that is done, 0 to 1.
    loss : float or None
        Masked mean squared error of an iteration, in scaled units.
    validation : float or None
        Mean squared error on pixels that are never trained on, where it was measured.
    """

    phase: Literal["adapting", "filling"]
    plane: int
    n_planes: int
    step: int
    n_steps: int
    fraction: float
    loss: float | None = None
    validation: float | None = None


class Denoising(ABC):
    """A run under way: iterate to advance, take the `result` whenever you like.

    Made by `iter_denoise`.
    """

    def __iter__(self) -> Iterator[Progress]:
        return self

    @abstractmethod
    def __next__(self) -> Progress:
        """Advance by a step."""

    @property
    @abstractmethod
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if it is."""

    @property
    @abstractmethod
    def image(self) -> NDArray[Any] | None:
        """The result as it grows, if it grows plane by plane.

        Planes that are done are final, others still noisy; `refresh` shows what is
        reached of the one at work.
        """

    def look(
        self, index: tuple[int, ...], region: tuple[slice, slice]
    ) -> NDArray[Any] | None:
        """Fill a rectangle by the network as it comes, in a moment.

        The run itself is not advanced, and its result is the same.

        Parameters
        ----------
        index : tuple of int
            The plane.
        region : tuple of slice
            Rows and columns.

        Returns
        -------
        ndarray or None
            The rectangle, or None if that cannot be had: the plane is left unchanged,
            or its colours come together at the end.
        """
        return None

    @abstractmethod
    def refresh(self) -> bool:
        """Bring the plane at work up to date in `image`.

        Returns
        -------
        bool
            Whether anything is filled yet, of this plane or of others.
        """

    @abstractmethod
    def close(self) -> None:
        """End the run; `result` keeps what was reached."""

    @abstractmethod
    def restore(self, checkpoints: Checkpoints) -> None:
        """Carry on from what an earlier run kept, and keep what this one finishes.

        Call it before the first step.

        Parameters
        ----------
        checkpoints : Checkpoints
            What a run of the same image with the same settings kept, or an empty
            place. Adapted networks and finished planes are taken from there; the
            result is that of a run that was never interrupted.
        """

    @abstractmethod
    def forecast(self, n_planes: int | None = None) -> Forecast:
        """Try a piece of the image, for about a second, and tell what the run takes.

        Parameters
        ----------
        n_planes : int, optional
            Tell it for so many planes like these instead.
        """

    @abstractmethod
    def result(self) -> Denoised:
        """Return what is reached so far.

        Planes that were not begun are still the noisy input, with a noise map of 0. If
        the run goes on, so do the arrays: copy what is to stay as it is.
        """
