"""A run on RGB with gray weights, which fill one component after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.analysis.colour_noise import ColourNoise
from napari_mpi.analysis.stuck_pixels import fill_stuck
from napari_mpi.analysis.uncertainty import error_of_filled
from napari_mpi.arrays.colour import (
    BRIGHTNESS_FIRST,
    ONE_BY_ONE,
    ColourAxes,
    have_structure_in_common,
    light_in_difference,
)
from napari_mpi.arrays.intensity import to_dtype
from napari_mpi.arrays.planes import Index, PlaneGrid
from napari_mpi.arrays.storage import allocate, belongs_on_disk, let_go
from napari_mpi.pipeline.denoising import Denoised
from napari_mpi.pipeline.joint_denoising import (
    JointDenoising,
    joint_report,
    reports_by_name,
)
from napari_mpi.pipeline.plane_store import planes_to_look_at
from napari_mpi.pipeline.report import pixel_types
from napari_mpi.pipeline.stack_denoising import StackDenoising

__all__ = ["ColourDenoising"]


def _colours_of(
    image: Any, grid: PlaneGrid, *, stuck_filled: bool, on_disk: bool
) -> tuple[NDArray[Any], float, list[Index]]:
    """Read the colours once.

    Tell which share of their pixels was filled, and which planes are not empty.
    """
    dtype = np.dtype(image.dtype).newbyteorder("=")
    colours = allocate((*grid.shape[:-1], 3), dtype, on_disk)
    share = 0.0
    not_empty = []
    for index in grid.indices():
        rgb = np.asarray(image[index])[..., :3]
        colours[index] = rgb
        if rgb.min() < rgb.max():
            not_empty.append(index)
        if stuck_filled:
            planes = np.moveaxis(rgb, -1, 0)  # (3, Y, X)
            filled = np.moveaxis(fill_stuck(planes, of_one_image=True), 0, -1)
            colours[index] = filled
            share += float(np.mean(filled != rgb)) / grid.n_planes
        let_go(image)
        let_go(colours)
    return colours, share, not_empty


class _Component:
    """A gray image made of colours, computed plane by plane when it is read."""

    dtype = np.dtype(np.float64)

    def __init__(
        self,
        colours: NDArray[Any],
        make: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        self._colours, self._make = colours, make
        self.shape = colours.shape[:-1]

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        return np.ascontiguousarray(self._make(self._colours[index]))


class ColourDenoising(JointDenoising):
    """A run on RGB with gray weights, which fill one component after the other.

    Components are brightness and two colour differences where the colours have
    structure in common, and else the colours themselves. The noise of a difference
    does not depend on its own values, but on the light that it is made of.

    Parameters
    ----------
    image : array_like with `shape` and `dtype`
        RGB or RGBA in the last axis.
    grid : PlaneGrid
        Where its planes lie.
    begin : callable
        Starts the run of a component: takes that, its grid, and what its noise depends
        on.
    fill_stuck : bool
        Whether to fill stuck pixels before the colours are taken apart.
    """

    def __init__(
        self,
        image: Any,
        grid: PlaneGrid,
        begin: Callable[..., StackDenoising],
        *,
        fill_stuck: bool,
    ) -> None:
        self._source, self._grid = image, grid
        n_bytes = math.prod(grid.shape) * _Component.dtype.itemsize
        self._on_disk = belongs_on_disk(image, n_bytes)
        self._colours, self._stuck, not_empty = _colours_of(
            image, grid, stuck_filled=fill_stuck, on_disk=self._on_disk
        )
        chosen = planes_to_look_at(not_empty or list(grid.indices()), grid)
        together = have_structure_in_common(self._colours[index] for index in chosen)
        self._axes = BRIGHTNESS_FIRST if together else ONE_BY_ONE
        noise = ColourNoise(
            lambda: np.stack([self._colours[index] for index in chosen])
        )
        runs: list[StackDenoising] = []
        for number in range(3):
            component: Any = _Component(
                self._colours, partial(_nth, self._axes, number)
            )
            if not self._on_disk:
                component = component[...]
            light = correct = None
            if together:
                correct = noise.of_difference if number > 0 else noise.of_brightness
            if together and number > 0:
                light = _Component(self._colours, partial(light_in_difference, number))
            part = PlaneGrid.of(component, rgb=False)
            runs.append(
                begin(
                    component,
                    part,
                    intensity=light,
                    correct=correct,
                    fill_stuck=False,  # they are filled already
                )
            )
        self._dtype = np.dtype(image.dtype).newbyteorder("=")
        self._whole = self._dtype.kind in "ui"
        # Noise is as strong in brightness, which is orthonormal, as in the colours.
        if any(run.in_float(self._dtype) for run in (runs[:1] if together else runs)):
            self._dtype = np.dtype(np.float32)
        super().__init__(runs)

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if it is."""
        return None if self._stuck else super().unchanged

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
        dtype = self._dtype
        clean = super().unchanged is not None
        image = allocate(self._grid.shape, dtype, self._on_disk)
        noise_map = allocate(self._grid.shape, np.float32, self._on_disk)
        for index in self._grid.indices():
            noisy = np.asarray(self._source[index]).astype(dtype, copy=False)
            if clean:
                colours = self._colours[index]
            elif any(part.noise_map[index].any() for part in parts):
                components = np.stack([part.image[index] for part in parts])
                colours = to_dtype(self._axes.join(components), dtype)
            else:  # nothing was done for this plane yet
                colours = noisy[..., :3]
            plane = np.concatenate([colours, noisy[..., 3:]], axis=-1)
            image[index] = plane
            noise_map[index] = noisy.astype(np.float64) - plane
            let_go(image)
            let_go(noise_map)
        report = self._report(parts)
        return Denoised(image, noise_map, report, self._uncertainty(parts, clean))

    def _report(self, parts: list[Denoised]) -> dict[str, Any]:
        # Brightness is what is seen; what was found in it speaks for the image, unless
        # only the colours have noise.
        changed = [not run.unchanged for run in self._runs]
        first = changed.index(True) if any(changed) else 0
        report = {
            **joint_report([parts[first], *parts[:first], *parts[first + 1 :]]),
            "rgb": True,
            "stuck": self._stuck,
            **pixel_types(self._dtype, whole=self._whole),
            "planes_done": min(part.report["planes_done"] for part in parts),
        }
        if self._axes is BRIGHTNESS_FIRST:
            if first > 0:
                report["choice"] = f"Brightness is left as it is. {report['choice']}"
            return report
        names = [name.capitalize() for name in self._axes.names]
        return report | reports_by_name(parts, names)

    def _uncertainty(
        self, parts: list[Denoised], clean: bool
    ) -> NDArray[np.float32] | None:
        errors = [part.uncertainty for part in parts if part.uncertainty is not None]
        if not errors:
            return None
        uncertainty = allocate(self._grid.shape, np.float32, self._on_disk)
        for index in self._grid.indices():
            if clean:
                plane = self._errors_of_filled(index)
            else:
                components = np.stack([error[index] for error in errors])
                plane = self._axes.join_errors(components)
            uncertainty[index][..., :3] = plane
            let_go(uncertainty)
        return uncertainty

    def _errors_of_filled(self, index: Any) -> NDArray[np.float64]:
        """Return the standard errors of a plane that is clean but for those."""
        filled = np.moveaxis(self._colours[index], -1, 0)
        noisy = np.moveaxis(np.asarray(self._source[index])[..., :3], -1, 0)
        return np.moveaxis(error_of_filled(filled, filled != noisy), 0, -1)


def _nth(axes: ColourAxes, number: int, rgb: NDArray[Any]) -> NDArray[np.float64]:
    component: NDArray[np.float64] = axes.split(rgb)[number]
    return component
