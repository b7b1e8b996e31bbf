"""A run on RGB with gray weights: brightness first, then two colour differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.colour import from_opponent, to_opponent
from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.pipeline.denoising import Denoised, Denoising, Progress
from napari_mpi.pipeline.forecast import Forecast

__all__ = ["ColourDenoising"]


class ColourDenoising(Denoising):
    """A run on RGB with gray weights: brightness first, then two colour differences."""

    def __init__(
        self, image: NDArray[Any], begin: Callable[[Any, PlaneGrid], Denoising]
    ) -> None:
        self._source = image
        self._runs = [
            begin(component, PlaneGrid.of(component, rgb=False))
            for component in to_opponent(image)
        ]

    def __next__(self) -> Progress:
        for number, run in enumerate(self._runs):
            for progress in run:
                n_planes = progress.n_planes
                return replace(
                    progress,
                    plane=number * n_planes + progress.plane,
                    n_planes=3 * n_planes,
                    fraction=(number + progress.fraction) / 3,
                )
        raise StopIteration

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if all its components are."""
        reasons = [run.unchanged for run in self._runs]
        return None if None in reasons else reasons[0]

    @property
    def image(self) -> None:
        """None: colours come together at the end."""
        return

    def refresh(self) -> None:
        """Do nothing, see `image`."""

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        for run in self._runs:
            run.close()

    def forecast(self, n_planes: int | None = None) -> Forecast:
        """Tell what the run takes; the components need memory one after the other."""
        forecasts = [run.forecast(n_planes) for run in self._runs]
        return Forecast(
            sum(forecast.seconds for forecast in forecasts),
            max(forecast.memory for forecast in forecasts),
        )

    def result(self) -> Denoised:
        """Return what is reached; colours that were not begun are still noisy."""
        parts = [run.result() for run in self._runs]
        noisy = self._source.astype(self._source.dtype.newbyteorder("="), copy=False)
        if self.unchanged is None:
            colours = from_opponent(np.stack([part.image for part in parts]))
            image = np.concatenate(
                [to_dtype(colours, noisy.dtype), noisy[..., 3:]], axis=-1
            )
        else:
            image = noisy.copy()
        noise_map = (noisy.astype(np.float64) - image).astype(np.float32)
        reports = [part.report for part in parts]
        # Brightness is what is seen; what was found in it speaks for the image.
        report = {
            **reports[0],
            "rgb": True,
            "planes_done": min(report["planes_done"] for report in reports),
            "iterations": sum(report["iterations"] for report in reports),
            "complete": all(report["complete"] for report in reports),
            "seconds": round(sum(report["seconds"] for report in reports), 2),
        }
        return Denoised(image, noise_map, report)
