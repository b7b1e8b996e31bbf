"""A run under way: planes, scaling, adapting, filling, and back."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import napari_mpi
from napari_mpi import memory
from napari_mpi.adapt import Adaptation, State, cut_crops
from napari_mpi.auto import Choice, choose, for_unaware_weights
from napari_mpi.colour import from_opponent
from napari_mpi.config import MEASURING, PRESETS, FillConfig, fill_config
from napari_mpi.fill import Fill
from napari_mpi.intensity import Scaling, to_dtype
from napari_mpi.noise import NoiseEstimate, combine_with_input, estimate_noise
from napari_mpi.passes import TILE_SIZE, Passes
from napari_mpi.planes import PlaneGrid
from napari_mpi.verdict import Verdict, judge
from napari_mpi.weights import Weights

__all__ = [
    "ColourDenoising",
    "Denoised",
    "Denoising",
    "Forecast",
    "Progress",
    "Request",
]

# The intensity scaling of a stack is read from about this many of its values.
_N_SAMPLES = 4_000_000
_N_NOISE_PLANES = 5
# The network adapts to no more planes of a stack than this, spread evenly.
_MAX_ADAPT_PLANES = 32
# More crops than this are as good as new when they come again.
_MAX_CROPS = 512
# Local means are taken with a Gaussian of this standard deviation, in pixels: wide
# enough that hardly any noise is left in them.
_MEAN_SIGMA = 24.0
_PROBE_SIZE = 256  # pixels
# Float32 planes at work: noisy, mask, prediction, mean, scatter, count, and some more.
_PLANE_BYTES = 64
# Results larger than this go to a temporary file, as those of lazy arrays do.
_MAX_IN_MEMORY = 2 * 2**30

Index = tuple[int, ...]
_T = TypeVar("_T")


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
    """A piece of the work that is done.

    Attributes
    ----------
    phase : {"adapting", "filling"}
        Whether the network learns from the image, or a plane is being filled.
    plane, n_planes : int
        The plane that is at work, from 0, and how many there are.
    step, n_steps : int
        Iterations or passes done in this phase, and how many there will be.
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


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Time, at most: with early stopping a run may end before.
    memory : int
        Bytes at the peak, besides the image and its results.
    """

    seconds: float
    memory: int


@dataclass(frozen=True)
class Request:
    """The settings as they were asked for."""

    preset: str | FillConfig
    noise: str | None
    settings: dict[str, Any]

    def config(
        self, found: NoiseEstimate | None, weights: Weights
    ) -> tuple[FillConfig, Choice | None]:
        """Return the settings in full, and what was made of the noise."""
        if self.preset not in MEASURING:
            return fill_config(self.preset, self.noise, **self.settings), None
        if self.noise is not None or found is None:
            config = fill_config(self.preset, self.noise)
            if not weights.know_noise:
                config = for_unaware_weights(config, PRESETS[self.preset])
            return fill_config(config, **self.settings), None
        choice = choose(
            found, PRESETS[self.preset], weights_know_noise=weights.know_noise
        )
        return fill_config(choice.config, None, **self.settings), choice


class Denoising:
    """A run under way: iterate to advance, take the `result` whenever you like.

    Made by `iter_denoise`.
    """

    def __init__(
        self,
        image: Any,
        grid: PlaneGrid,
        request: Request,
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
        # A result as large as a lazy input has no more place in memory than that.
        n_bytes = int(np.prod(grid.shape)) * (dtype.itemsize + 4)
        on_disk = type(image) is not np.ndarray or n_bytes > _MAX_IN_MEMORY
        self._image = memory.allocate(grid.shape, self._dtype, on_disk)
        self._noise_map = memory.allocate(grid.shape, np.float32, on_disk)
        sample = self._check()
        self._noise = None if self._constant else self._estimate_noise()
        self._config, self._choice = request.config(self._noise, weights)
        self._scaling = Scaling.fit(sample, self._config.scaling)
        self._current: tuple[Index, NDArray[Any], Fill | Passes] | None = None
        self._tile_size = TILE_SIZE
        self._fallbacks: list[str] = []
        self._adaptations: list[dict[str, Any]] = []
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

    def forecast(self) -> Forecast:
        """Try a piece of the image, for about a second, and tell what the run takes."""
        planes = self._to_fill()
        if not planes:
            return Forecast(0.0, 0)
        config = self._config
        plane = self._grid.to_channels(self._image[planes[0][1]])
        piece = plane[:, :_PROBE_SIZE, :_PROBE_SIZE]
        scaled = torch.from_numpy(np.ascontiguousarray(self._scaling.apply(piece)))
        probe = Adaptation(
            [scaled] * 2,
            self._weights.build(),
            replace(config, n_iter=2, batch_size=1, early_stopping=False),
            seed=0,
            device=self._device,
        )
        per_iteration = _fastest(probe) / scaled[0].numel()
        # Two passes are the least; what is timed is one of them.
        passes = Passes(
            scaled,
            self._weights.build(),
            probe.states[-1:],
            replace(config, n_passes=2),
            seed=0,
            device=self._device,
        )
        per_pass = _fastest(passes) / scaled[0].numel()
        n_pixels = plane[0].size
        if config.crop_size is None:
            seconds = len(planes) * config.n_iter * n_pixels * per_iteration
            memory_needed = memory.training_bytes(n_pixels)
        else:
            crop = min(config.crop_size**2, n_pixels)
            n_adaptations = 1 if config.adapt_to == "stack" else len(planes)
            n_crops = n_adaptations * config.n_iter * config.batch_size
            seconds = n_crops * crop * per_iteration
            seconds += len(planes) * config.n_passes * n_pixels * per_pass
            tile = memory.fitting_tile_size(TILE_SIZE, self._device) ** 2
            memory_needed = max(
                memory.training_bytes(crop), memory.pass_bytes(min(tile, n_pixels))
            )
        n_channels = len(plane)
        return Forecast(seconds, memory_needed + _PLANE_BYTES * n_channels * n_pixels)

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
            memory.let_go(self._image)
            memory.let_go(self._source)
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
        return estimate_noise(
            self._gather(self._image, _spread_evenly(filled, _N_NOISE_PLANES))
        )

    def _gather(self, array: Any, indices: list[Index]) -> NDArray[Any]:
        """Return planes of shape (N, Y, X); colours count as planes."""
        planes = [np.asarray(array[index]) for index in indices]
        return np.concatenate([self._grid.to_channels(plane) for plane in planes])

    def _run(self) -> Generator[Progress, None, None]:
        memory.keep_warm()
        try:
            if self._config.crop_size is None:
                yield from self._iterate_over_planes()
            else:
                yield from self._adapt_then_fill()
        finally:
            memory.give_back(self._device)

    def _to_fill(self) -> list[tuple[int, Index]]:
        """Return number and index of the planes that there is something to do for."""
        if self.unchanged is not None:
            return []
        return [
            (number, index)
            for number, index in enumerate(self._grid.indices())
            if np.ptp(self._image[index]) > 0  # an empty frame stays as it is
        ]

    def _iterate_over_planes(self) -> Generator[Progress, None, None]:
        """Fill each plane as the paper does, on its own and as a whole."""
        n_planes, n_iter = self._grid.n_planes, self._config.n_iter
        planes = self._to_fill()
        self._n_done = n_planes - len(planes)
        if planes:
            self._require_memory()
        for number, index in planes:
            plane = self._image[index].copy()
            while True:
                fill = Fill(
                    self._scaled(plane),
                    self._weights.build(),
                    self._config,
                    seed=_plane_seed(self._seed, number),
                    device=self._device,
                )
                self._current = (index, plane, fill)
                try:
                    for step in fill:
                        self._iterations += 1
                        yield Progress(
                            "filling",
                            number,
                            n_planes,
                            step.step,
                            n_iter,
                            (number + step.step / n_iter) / n_planes,
                            step.loss,
                            step.validation,
                        )
                    break
                except (RuntimeError, MemoryError) as error:
                    self._fall_back(error, smaller_tiles=False)
            self._finish_plane()

    def _adapt_then_fill(self) -> Generator[Progress, None, None]:
        """Adapt the network on crops, for each plane or for all, then fill planes."""
        config = self._config
        self._tile_size = memory.fitting_tile_size(TILE_SIZE, self._device)
        planes = self._to_fill()
        self._n_done = self._grid.n_planes - len(planes)
        together = config.adapt_to == "stack"
        groups = [planes] if together else [[plane] for plane in planes]
        share = self._share_of_adapting(len(planes) if together else 1)
        done = self._n_done / self._grid.n_planes
        for group in filter(None, groups):
            part = len(group) / self._grid.n_planes
            states = yield from self._adapt(group, done, part * share)
            for position, (number, index) in enumerate(group):
                for progress in self._fill_by_passes(number, index, states):
                    filled = (position + progress.fraction) / len(group)
                    fraction = done + part * (share + (1 - share) * filled)
                    yield replace(progress, fraction=fraction)
            done += part

    def _share_of_adapting(self, n_planes: int) -> float:
        """Return about what share of the time of so many planes goes to adapting."""
        config = self._config
        assert config.crop_size is not None
        n_pixels = int(np.prod(self._grid.plane_shape[:2]))
        crop = min(config.crop_size**2, n_pixels)
        # An iteration costs a pass, and twice as much for the way back.
        adapting = 3 * config.n_iter * config.batch_size * crop
        return adapting / (adapting + n_planes * config.n_passes * n_pixels)

    def _adapt(
        self, group: list[tuple[int, Index]], done: float, part: float
    ) -> Generator[Progress, None, list[State]]:
        """Adapt to a group of planes; `done` and `part` are shares of the whole run."""
        config = self._config
        seed = _plane_seed(self._seed, group[0][0])
        losses, validations = [], []
        while True:
            adaptation = Adaptation(
                self._crops(group, seed),
                self._weights.build(),
                config,
                seed=seed,
                device=self._device,
            )
            try:
                for step in adaptation:
                    self._iterations += 1
                    losses.append(step.loss)
                    validations.append(step.validation)
                    yield Progress(
                        "adapting",
                        group[0][0],
                        self._grid.n_planes,
                        step.step,
                        step.n_iter,
                        done + part * step.step / step.n_iter,
                        step.loss,
                        step.validation,
                    )
                break
            except (RuntimeError, MemoryError) as error:
                self._fall_back(error, smaller_tiles=False)
                losses, validations = [], []
        self._adaptations.append(
            {
                "first_plane": group[0][0],
                "losses": losses,
                "validations": validations,
                "networks": len(adaptation.states),
            }
        )
        return adaptation.states

    def _crops(self, group: list[tuple[int, Index]], seed: int) -> list[torch.Tensor]:
        """Cut crops for all iterations from planes that are spread evenly."""
        config = self._config
        assert config.crop_size is not None
        rng = np.random.default_rng(seed)
        number = min(max(config.n_iter * config.batch_size, 1), _MAX_CROPS)
        chosen = _spread_evenly(group, min(_MAX_ADAPT_PLANES, number))
        crops: list[torch.Tensor] = []
        for _, index in chosen:
            scaled = self._scaling.apply(self._grid.to_channels(self._image[index]))
            n_crops = -(-number // len(chosen))
            crops += cut_crops(scaled, config.crop_size, n_crops, rng)
            memory.let_go(self._image)
        # In another order, so that neither the planes nor their places come in turn.
        return [crops[place] for place in rng.permutation(len(crops))[:number]]

    def _fill_by_passes(
        self, number: int, index: Index, states: list[State]
    ) -> Generator[Progress, None, None]:
        plane = self._image[index].copy()
        while True:
            try:
                passes = Passes(
                    self._scaled(plane),
                    self._weights.build(),
                    states,
                    self._config,
                    seed=_plane_seed(self._seed, number),
                    device=self._device,
                    tile_size=self._tile_size,
                )
                self._current = (index, plane, passes)
                for step in passes:
                    yield Progress(
                        "filling",
                        number,
                        self._grid.n_planes,
                        step.done,
                        step.total,
                        step.done / step.total,
                    )
                break
            except (RuntimeError, MemoryError) as error:
                self._fall_back(error, smaller_tiles=True)
        self._finish_plane()

    def _scaled(self, plane: NDArray[Any]) -> torch.Tensor:
        scaled = self._scaling.apply(self._grid.to_channels(plane))
        return torch.from_numpy(np.ascontiguousarray(scaled))  # (C, Y, X)

    def _finish_plane(self) -> None:
        assert self._current is not None
        self._store(*self._current)
        self._current = None
        self._n_done += 1
        for array in (self._image, self._noise_map, self._source):
            memory.let_go(array)

    def _require_memory(self) -> None:
        """Refuse, before the first plane, what would fill the computer's memory."""
        height, width = self._grid.plane_shape[:2]
        needed = memory.training_bytes(height * width)
        free = memory.available_bytes(self._device)
        if self._device.type == "cpu" and needed > free:
            raise MemoryError(
                f"Iterating over whole planes of {height}x{width} pixels takes about "
                f"{needed / 2**30:.0f} GiB of memory, and {free / 2**30:.0f} GiB are "
                "free. Take the preset auto or fast, which need little for planes of "
                "any size."
            )

    def _fall_back(self, error: BaseException, *, smaller_tiles: bool) -> None:
        """Make do with less memory, or raise what says that there is no way."""
        if not memory.is_out_of_memory(error):
            raise error
        memory.give_back(self._device)
        smaller = memory.smaller_tile_size(self._tile_size) if smaller_tiles else None
        if smaller is not None:
            self._tile_size = smaller
            said = f"in tiles of {smaller} pixels"
        elif self._device.type != "cpu":
            self._device = torch.device("cpu")
            self._tile_size = memory.fitting_tile_size(TILE_SIZE, self._device)
            said = "on the processor instead of the graphics card, which takes longer"
        else:
            raise MemoryError(
                f"There is too little free memory for planes of "
                f"{self._grid.plane_shape} pixels. Close other programs, or denoise a "
                "smaller region."
            ) from error
        message = f"Memory ran out: the run goes on {said}."
        self._fallbacks.append(message)
        warnings.warn(message, stacklevel=2)

    def _judge(self) -> Verdict | None:
        """Look at a few finished planes; there is nothing to say before the first."""
        done = [index for index in self._grid.indices() if self._noise_map[index].any()]
        if not done or self._noise is None:
            return None
        chosen = _spread_evenly(done, _N_NOISE_PLANES)
        noisy = self._gather(self._source, chosen).astype(self._dtype, copy=False)
        return judge(noisy, self._gather(self._image, chosen), self._noise)

    def _store(self, index: Index, noisy: NDArray[Any], filled: Fill | Passes) -> None:
        before = self._grid.to_channels(noisy)
        values = self._scaling.invert(filled.estimate.cpu().numpy())
        if self._config.keep_mean:
            values += ndimage.gaussian_filter(
                before - values, (0, _MEAN_SIGMA, _MEAN_SIGMA), mode="reflect"
            )
        if self._config.own_pixel and self._noise is not None:
            spread = filled.spread.cpu().double().numpy() * self._scaling.gain**2
            values = combine_with_input(before, values, spread, self._noise)
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
            "adaptations": self._adaptations,
            "fallbacks": self._fallbacks,
            "complete": self._n_done == self._grid.n_planes,
            "seconds": round(self._seconds, 2),
        }


class ColourDenoising(Denoising):
    """A run on RGB with gray weights: brightness first, then two colour differences."""

    def __init__(self, image: NDArray[Any], runs: list[Denoising]) -> None:
        self._source, self._runs = image, runs

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

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        for run in self._runs:
            run.close()

    def forecast(self) -> Forecast:
        """Tell what the run takes; the components need memory one after the other."""
        forecasts = [run.forecast() for run in self._runs]
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


def _fastest(steps: Iterable[Any]) -> float:
    """Return the seconds of the fastest step."""
    times = [time.perf_counter()]
    for _ in steps:
        times.append(time.perf_counter())
    return float(np.diff(times).min())


def _spread_evenly(items: list[_T], number: int) -> list[_T]:
    """Return at most so many of the items, from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), number))
    return [items[place] for place in chosen.round().astype(int)]


def _plane_seed(seed: int, plane: int) -> int:
    """Derive a seed that depends on the plane's place only, not on what ran before."""
    state = np.random.SeedSequence([seed, plane]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
