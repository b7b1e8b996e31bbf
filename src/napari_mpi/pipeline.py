"""From a noisy array to a denoised one: planes, scaling, filling, and back."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import napari_mpi
from napari_mpi.auto import Choice, choose
from napari_mpi.colour import from_opponent, to_opponent
from napari_mpi.config import FillConfig, fill_config
from napari_mpi.devices import resolve_device
from napari_mpi.fill import Fill
from napari_mpi.intensity import Scaling, to_dtype
from napari_mpi.noise import NoiseEstimate, combine_with_input, estimate_noise
from napari_mpi.planes import PlaneGrid
from napari_mpi.verdict import Verdict, judge
from napari_mpi.weights import Weights, load_weights

__all__ = ["Denoised", "Denoising", "Progress", "denoise", "iter_denoise"]

# The intensity scaling of a stack is read from about this many of its values.
_N_SAMPLES = 4_000_000
_N_NOISE_PLANES = 5


@dataclass(frozen=True)
class Denoised:
    """What a run gives back.

    Attributes
    ----------
    image : ndarray
        The denoised image, in the input's shape, dtype and range.
    noise_map : ndarray
        Input minus denoised, float32, signed, in the input's units.
    report : dict
        Settings, weights and their hash, seed, versions, device, and how far the run
        came; JSON-serialisable.
    """

    image: NDArray[Any]
    noise_map: NDArray[np.float32]
    report: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """One iteration that is done.

    Attributes
    ----------
    plane, n_planes : int
        The plane that is being filled, from 0, and how many there are.
    step, n_iter : int
        Iterations done on this plane, and how many there will be.
    loss : float
        Masked mean squared error, in scaled units.
    """

    plane: int
    n_planes: int
    step: int
    n_iter: int
    loss: float

    @property
    def fraction(self) -> float:
        """Share of the whole run that is done, 0 to 1."""
        return (self.plane + self.step / self.n_iter) / self.n_planes


def denoise(
    image: ArrayLike,
    *,
    preset: str | FillConfig = "auto",
    noise: str | None = None,
    weights: str | os.PathLike[str] | Weights = "universal",
    device: str = "auto",
    rgb: bool = False,
    seed: int = 0,
    **settings: Any,
) -> Denoised:
    """Remove the noise from an image or stack.

    Parameters
    ----------
    image : array_like
        Ending in YX, or in YX and colour if `rgb`; at least 16x16 pixels, integers or
        floating-point numbers, finite. Every other axis is taken plane by plane. It is
        not modified.
    preset : str or FillConfig
        A name in `napari_mpi.PRESETS`, or your own settings. "auto" measures the noise
        and chooses for itself.
    noise : str, optional
        "independent", "correlated" or "strongly-correlated", if it is not to be
        measured; presets other than "auto" take "independent".
    weights : str or path or Weights
        Bundled or imported name, or a file. With gray weights, "auto" fills the
        brightness of an RGB image and then two colour differences.
    device : str
        "auto", "cpu", "cuda" or "mps".
    rgb : bool
        Whether the last axis holds RGB or RGBA samples. Transparency is kept.
    seed : int
        Seed of the masks.
    **settings
        Single fields of `napari_mpi.FillConfig`, for instance ``n_iter=50``.

    Returns
    -------
    Denoised
        The denoised image, the noise map and the report.

    Raises
    ------
    TypeError
        If the pixels are boolean, complex or no numbers.
    ValueError
        If the shape is no image, pixels are NaN or infinite, or a setting is wrong.

    Warns
    -----
    UserWarning
        If the image is constant, or if "auto" finds nothing to remove; it is returned
        as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi import denoise
    >>> noisy = np.random.default_rng(0).poisson(20, (32, 32)).astype(np.uint16)
    >>> result = denoise(noisy, n_iter=2)
    >>> result.image.dtype
    dtype('uint16')
    """
    run = iter_denoise(
        image,
        preset=preset,
        noise=noise,
        weights=weights,
        device=device,
        rgb=rgb,
        seed=seed,
        **settings,
    )
    for _ in run:
        pass
    return run.result()


def iter_denoise(
    image: ArrayLike,
    *,
    preset: str | FillConfig = "auto",
    noise: str | None = None,
    weights: str | os.PathLike[str] | Weights = "universal",
    device: str = "auto",
    rgb: bool = False,
    seed: int = 0,
    **settings: Any,
) -> Denoising:
    """Start the same run as `denoise` and hand it over, to be advanced step by step.

    Parameters are those of `denoise`. Wrong ones raise here, before the first step.

    Returns
    -------
    Denoising
        An iterator of `Progress`; its `result` is valid at every step.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi import iter_denoise
    >>> noisy = np.random.default_rng(0).normal(100, 9, (32, 32))
    >>> run = iter_denoise(noisy, n_iter=50)
    >>> for progress in run:
    ...     if progress.step == 3:
    ...         break
    >>> run.result().report["complete"]
    False
    """
    fill_config(preset, noise, **settings)  # wrong settings end here
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        image = np.asarray(image)
    grid = PlaneGrid.of(image, rgb)
    loaded = load_weights(weights)
    request = _Request(preset, noise, settings)
    begin = partial(
        Denoising,
        request=request,
        weights=loaded,
        device=resolve_device(device),
        seed=seed,
    )
    if rgb and preset == "auto" and loaded.image_channels == 1:
        image = np.asarray(image)
        runs = [
            begin(component, PlaneGrid.of(component, rgb=False))
            for component in to_opponent(image)
        ]
        run: Denoising = _ColourDenoising(image, runs)
    else:
        run = begin(image, grid)
    if run.unchanged is not None:
        warnings.warn(f"{run.unchanged}; it is returned as it is.", stacklevel=2)
    return run


@dataclass(frozen=True)
class _Request:
    """The settings as they were asked for."""

    preset: str | FillConfig
    noise: str | None
    settings: dict[str, Any]

    def config(self, found: NoiseEstimate | None) -> tuple[FillConfig, Choice | None]:
        """Return the settings in full, and what "auto" made of the noise."""
        if self.preset != "auto" or self.noise is not None or found is None:
            return fill_config(self.preset, self.noise, **self.settings), None
        choice = choose(found)
        return fill_config(choice.config, None, **self.settings), choice


class Denoising:
    """A run under way: iterate to advance, take the `result` whenever you like.

    Made by `iter_denoise`.
    """

    def __init__(
        self,
        image: Any,
        grid: PlaneGrid,
        request: _Request,
        weights: Weights,
        device: torch.device,
        seed: int,
    ) -> None:
        self._grid, self._request, self._weights = grid, request, weights
        self._device, self._seed = device, seed
        self._source = image
        dtype = np.dtype(image.dtype)
        # Big-endian files are common in microscopy; torch wants the native order.
        self._dtype = dtype.newbyteorder("=")
        self._image = np.empty(grid.shape, self._dtype)
        self._noise_map = np.zeros(grid.shape, np.float32)
        sample = self._check()
        self._noise = None if self._constant else self._estimate_noise()
        self._config, self._choice = request.config(self._noise)
        self._scaling = Scaling.fit(sample, self._config.scaling)
        self._current: tuple[tuple[int, ...], Fill] | None = None
        self._n_done = 0
        self._iterations = 0
        self._seconds = 0.0
        self._steps = self._run()

    def __iter__(self) -> Iterator[Progress]:
        return self

    def __next__(self) -> Progress:
        started = time.monotonic()
        try:
            return next(self._steps)
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"The graphics card has too little free memory for planes of "
                f"{self._grid.plane_shape} pixels. Choose the device cpu, close other "
                "programs that use the card, or denoise a smaller region."
            ) from error
        finally:
            self._seconds += time.monotonic() - started

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if it is."""
        if self._constant:
            return "The image is constant, so there is nothing to denoise"
        if self._choice is not None and self._choice.clean:
            return self._choice.reason.removesuffix(".")
        return None

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        self._steps.close()

    def result(self) -> Denoised:
        """Return what is reached so far.

        Planes that were not begun are still the noisy input, with a noise map of 0.
        """
        if self._current is not None:
            self._store(*self._current)
        return Denoised(self._image, self._noise_map, self._report(self._judge()))

    def _check(self) -> NDArray[Any]:
        """Read every plane once: refuse bad pixels, and return a sample of values."""
        per_plane = max(1, _N_SAMPLES // self._grid.n_planes)
        samples, n_bad, extremes = [], 0, []
        for index in self._grid.indices():
            plane = np.asarray(self._source[index]).astype(self._dtype, copy=False)
            self._image[index] = plane
            values = self._grid.to_channels(plane).reshape(-1)
            if self._dtype.kind == "f":
                n_bad += int(np.count_nonzero(~np.isfinite(values)))
            extremes += [values.min(), values.max()]
            samples.append(values[:: max(1, values.size // per_plane | 1)])
        if n_bad:
            n_all = int(np.prod(self._grid.shape))
            if n_bad == n_all:
                raise ValueError(
                    "Every pixel is NaN or infinite: there is no image to denoise."
                )
            raise ValueError(
                f"{n_bad} of {n_all} pixels are NaN or infinite. Replace them first, "
                "for instance with numpy.nan_to_num, or crop them away."
            )
        self._constant = bool(min(extremes) == max(extremes))
        return np.concatenate(samples)

    def _estimate_noise(self) -> NoiseEstimate:
        """Look at a few planes that are spread evenly; colours count as planes."""
        # Empty frames would only widen the range.
        filled = [index for index in self._grid.indices() if np.ptp(self._image[index])]
        return estimate_noise(self._gather(self._image, _spread_evenly(filled)))

    def _gather(self, array: Any, indices: list[tuple[int, ...]]) -> NDArray[Any]:
        """Return planes of shape (N, Y, X); colours count as planes."""
        planes = [np.asarray(array[index]) for index in indices]
        return np.concatenate([self._grid.to_channels(plane) for plane in planes])

    def _run(self) -> Generator[Progress, None, None]:
        grid, config = self._grid, self._config
        for number, index in enumerate(grid.indices()):
            plane = self._image[index]
            # An empty frame stays as it is.
            if self.unchanged is not None or plane.min() == plane.max():
                self._n_done += 1
                continue
            scaled = self._scaling.apply(grid.to_channels(plane))
            fill = Fill(
                torch.from_numpy(np.ascontiguousarray(scaled)),
                self._weights.build(),
                config,
                seed=_plane_seed(self._seed, number),
                device=self._device,
            )
            self._current = (index, fill)
            for step in fill:
                self._iterations += 1
                yield Progress(
                    number, grid.n_planes, step.step, config.n_iter, step.loss
                )
            self._store(index, fill)
            self._current = None
            self._n_done += 1

    def _judge(self) -> Verdict | None:
        """Look at a few finished planes; there is nothing to say before the first."""
        done = [index for index in self._grid.indices() if self._noise_map[index].any()]
        if not done or self._noise is None:
            return None
        chosen = _spread_evenly(done)
        noisy = self._gather(self._source, chosen).astype(self._dtype, copy=False)
        return judge(noisy, self._gather(self._image, chosen), self._noise)

    def _store(self, index: tuple[int, ...], fill: Fill) -> None:
        noisy = np.asarray(self._source[index]).astype(self._dtype, copy=False)
        values = self._scaling.invert(fill.estimate.cpu().numpy())
        if self._config.own_pixel and self._noise is not None:
            values = combine_with_input(
                self._grid.to_channels(noisy),
                values,
                fill.spread.cpu().double().numpy() * self._scaling.gain**2,
                self._noise,
            )
        channels = to_dtype(values, self._dtype)
        self._image[index] = self._grid.from_channels(channels, noisy)
        self._noise_map[index] = noisy.astype(np.float64) - self._image[index]

    def _report(self, verdict: Verdict | None) -> dict[str, Any]:
        preset = self._request.preset
        return {
            "napari_mpi": napari_mpi.__version__,
            "torch": torch.__version__,
            "preset": preset if isinstance(preset, str) else "custom",
            "noise": self._request.noise,
            "choice": None if self._choice is None else self._choice.reason,
            "noise_estimate": None if self._noise is None else asdict(self._noise),
            "verdict": None if verdict is None else asdict(verdict),
            "config": asdict(self._config),
            "weights": self._weights.name,
            "weights_sha256": self._weights.sha256,
            "device": str(self._device),
            "seed": self._seed,
            "rgb": self._grid.rgb,
            "scaling": asdict(self._scaling),
            "planes_done": self._n_done,
            "n_planes": self._grid.n_planes,
            "iterations": self._iterations,
            "complete": self._n_done == self._grid.n_planes,
            "seconds": round(self._seconds, 2),
        }


class _ColourDenoising(Denoising):
    """A run on RGB with gray weights: brightness first, then two colour differences."""

    def __init__(self, image: NDArray[Any], runs: list[Denoising]) -> None:
        self._source, self._runs = image, runs

    def __next__(self) -> Progress:
        for number, run in enumerate(self._runs):
            for progress in run:
                n_planes = progress.n_planes
                plane = number * n_planes + progress.plane
                return replace(progress, plane=plane, n_planes=3 * n_planes)
        raise StopIteration

    @property
    def unchanged(self) -> str | None:
        """Why the image is returned as it is, if all its components are."""
        reasons = [run.unchanged for run in self._runs]
        return None if None in reasons else reasons[0]

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        for run in self._runs:
            run.close()

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


def _spread_evenly(indices: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the few planes that stand for all in an estimate of the noise."""
    chosen = np.linspace(0, len(indices) - 1, min(len(indices), _N_NOISE_PLANES))
    return [indices[number] for number in chosen.round().astype(int)]


def _plane_seed(seed: int, plane: int) -> int:
    """Derive a seed that depends on the plane's place only, not on what ran before."""
    state = np.random.SeedSequence([seed, plane]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
