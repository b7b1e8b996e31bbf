"""A run on RGB with gray weights: brightness first, then two colour differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.colour import from_opponent, opponent_errors_to_rgb, to_opponent
from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.engine import memory
from napari_mpi.pipeline.denoising import Denoised, Denoising
from napari_mpi.pipeline.joint_denoising import JointDenoising, joint_report

__all__ = ["ColourDenoising"]


class _Component:
    """One component of a colour image, computed plane by plane when it is read."""

    dtype = np.dtype(np.float64)

    def __init__(self, image: Any, number: int) -> None:
        self._image, self._number = image, number
        self.shape = tuple(image.shape[:-1])

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        components = to_opponent(np.asarray(self._image[index]))
        return np.ascontiguousarray(components[self._number])


class ColourDenoising(JointDenoising):
    """A run on RGB with gray weights: brightness first, then two colour differences.

    Parameters
    ----------
    image : array_like with `shape` and `dtype`
        RGB or RGBA in the last axis.
    grid : PlaneGrid
        Where its planes lie.
    begin : callable
        Starts the run of a component, given that and its grid.
    """

    def __init__(
        self, image: Any, grid: PlaneGrid, begin: Callable[[Any, PlaneGrid], Denoising]
    ) -> None:
        self._source, self._grid = image, grid
        n_bytes = math.prod(grid.shape) * _Component.dtype.itemsize
        self._on_disk = memory.belongs_on_disk(image, n_bytes)
        runs = []
        for number in range(3):
            component: Any = _Component(image, number)
            if not self._on_disk:
                component = component[...]
            runs.append(begin(component, PlaneGrid.of(component, rgb=False)))
        super().__init__(runs)

    @property
    def image(self) -> None:
        """None: colours come together at the end."""
        return

    def refresh(self) -> bool:
        """Do nothing, see `image`."""
        return False

    def result(self) -> Denoised:
        """Return what is reached; colours that were not begun are still noisy."""
        parts = [run.result() for run in self._runs]
        dtype = np.dtype(self._source.dtype).newbyteorder("=")
        image = memory.allocate(self._grid.shape, dtype, self._on_disk)
        noise_map = memory.allocate(self._grid.shape, np.float32, self._on_disk)
        for index in self._grid.indices():
            noisy = np.asarray(self._source[index]).astype(dtype, copy=False)
            plane = noisy
            if self.unchanged is None:
                colours = from_opponent(np.stack([part.image[index] for part in parts]))
                plane = np.concatenate(
                    [to_dtype(colours, dtype), noisy[..., 3:]], axis=-1
                )
            image[index] = plane
            noise_map[index] = noisy.astype(np.float64) - plane
            memory.let_go(image)
            memory.let_go(noise_map)
        # Brightness is what is seen; what was found in it speaks for the image.
        report = {
            **joint_report(parts),
            "rgb": True,
            "planes_done": min(part.report["planes_done"] for part in parts),
        }
        return Denoised(image, noise_map, report, self._uncertainty(parts))

    def _uncertainty(self, parts: list[Denoised]) -> NDArray[np.float32] | None:
        errors = [part.uncertainty for part in parts if part.uncertainty is not None]
        if not errors:
            return None
        uncertainty = memory.allocate(self._grid.shape, np.float32, self._on_disk)
        for index in self._grid.indices():
            plane = opponent_errors_to_rgb(np.stack([error[index] for error in errors]))
            uncertainty[index][..., :3] = plane
            memory.let_go(uncertainty)
        return uncertainty
