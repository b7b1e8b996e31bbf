"""A run under way: planes, scaling, adapting, filling, and back."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import napari_mpi
from napari_mpi.analysis.auto import Choice, choose, for_unaware_weights
from napari_mpi.analysis.noise import NoiseEstimate, combine_with_input, estimate_noise
from napari_mpi.analysis.uncertainty import standard_error
from napari_mpi.analysis.verdict import Verdict, judge
from napari_mpi.arrays.intensity import Scaling
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.config import (
    MEASURING,
    PRESETS,
    FillConfig,
    Precision,
    fill_config,
)
from napari_mpi.engine import memory
from napari_mpi.engine.adapt import Adaptation, State, cut_crops
from napari_mpi.engine.devices import prefers_bfloat16
from napari_mpi.engine.fill import Fill
from napari_mpi.engine.passes import TILE_SIZE, Passes
from napari_mpi.pipeline.checkpoints import Checkpoints, arrays_of, states_of
from napari_mpi.pipeline.forecast import Forecast, forecast
from napari_mpi.pipeline.plane_store import (
    Index,
    PlaneStore,
    Results,
    allocate_results,
    spread_evenly,
)
from napari_mpi.weights.loading import Weights

__all__ = [
    "Denoised",
    "Denoising",
    "Progress",
    "Request",
]

_N_NOISE_PLANES = 5
# The network adapts to no more planes of a stack than this, spread evenly.
_MAX_ADAPT_PLANES = 32
# More crops than this are as good as new when they come again.
_MAX_CROPS = 512
# Local means are taken with a Gaussian of this standard deviation, in pixels: wide
# enough that hardly any noise is left in them.
_MEAN_SIGMA = 24.0


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
    uncertainty : ndarray, optional
        Estimated standard error of each denoised pixel, float32, in the input's units,
        where it was asked for. It comes from how much the predictions of a pixel
        scatter, and so holds their random error and not the bias: structure that no
        prediction shows is missing here, too. 0 in planes that were not filled.
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
        uncertainty: bool = False,
        results: Results | None = None,
    ) -> None:
        self._grid, self._request, self._weights = grid, request, weights
        self._device, self._seed = device, seed
        results = results or allocate_results(image, grid.shape, uncertainty)
        self._store = store = PlaneStore(image, grid, results)
        self._noise: NoiseEstimate | None = None
        if not store.constant:
            # Empty frames would only widen the range.
            chosen = spread_evenly(store.filled, _N_NOISE_PLANES)
            self._noise = estimate_noise(store.denoised(chosen))
        config, self._choice = request.config(self._noise, weights)
        if config.precision == "auto":
            faster: Precision = "bfloat16" if prefers_bfloat16(device) else "float32"
            config = replace(config, precision=faster)
        self._config = config
        self._scaling = Scaling.fit(store.sample, self._config.scaling)
        self._current: tuple[Index, NDArray[Any], Fill | Passes] | None = None
        self._tile_size = TILE_SIZE
        self._fallbacks: list[str] = []
        self._adaptations: list[dict[str, Any]] = []
        self._filling: dict[str, Any] | None = None  # of the plane begun last
        self._checkpoints: Checkpoints | None = None
        self._n_done = 0
        self._touched: set[Index] = set()
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
        if self._store.constant:
            return "The image is constant, so there is nothing to denoise"
        if self._choice is not None and self._choice.clean:
            return self._choice.reason.removesuffix(".")
        return None

    @property
    def image(self) -> NDArray[Any] | None:
        """The result as it grows, if it grows plane by plane.

        Planes that are done are final, others still noisy; `refresh` shows what is
        reached of the one at work.
        """
        return self._store.image

    def refresh(self) -> None:
        """Bring the plane at work up to date in `image`."""
        if self._current is not None:
            self._put(*self._current)

    def close(self) -> None:
        """End the run; `result` keeps what was reached."""
        self._steps.close()

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
        self._checkpoints = checkpoints

    def forecast(self, n_planes: int | None = None) -> Forecast:
        """Try a piece of the image, for about a second, and tell what the run takes.

        Parameters
        ----------
        n_planes : int, optional
            Tell it for so many planes like these instead.
        """
        planes = self._to_fill()
        if not planes:
            return Forecast(0.0, 0)
        return forecast(
            self._scaled(self._store.plane(planes[0][1])),
            len(planes) if n_planes is None else n_planes,
            self._weights,
            self._config,
            self._device,
        )

    def result(self) -> Denoised:
        """Return what is reached so far.

        Planes that were not begun are still the noisy input, with a noise map of 0.
        """
        self.refresh()
        store = self._store
        report = self._report(self._judge())
        return Denoised(store.image, store.noise_map, report, store.uncertainty)

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
        numbers = {index: n for n, index in enumerate(self._grid.indices())}
        return [(numbers[index], index) for index in self._store.filled]

    def _iterate_over_planes(self) -> Generator[Progress, None, None]:
        """Fill each plane as the paper does, on its own and as a whole."""
        n_planes, n_iter = self._grid.n_planes, self._config.n_iter
        planes = self._to_fill()
        self._n_done = n_planes - len(planes)
        if planes:
            self._require_memory()
        for number, index in planes:
            if self._restore_plane(number, index):
                continue
            before = self._iterations
            plane = self._store.plane(index)
            while True:
                try:
                    fill = Fill(
                        self._scaled(plane),
                        self._weights.build(),
                        self._config,
                        seed=_plane_seed(self._seed, number),
                        device=self._device,
                    )
                    self._current = (index, plane, fill)
                    losses: list[float] = []
                    validations: list[float | None] = []
                    self._filling = {
                        "plane": number,
                        "losses": losses,
                        "validations": validations,
                    }
                    for step in fill:
                        self._iterations += 1
                        losses.append(step.loss)
                        validations.append(step.validation)
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
            self._finish_plane(number, self._iterations - before)

    def _adapt_then_fill(self) -> Generator[Progress, None, None]:
        """Adapt the network on crops, for each plane or for all, then fill planes."""
        config = self._config
        self._tile_size = memory.fitting_tile_size(TILE_SIZE, self._device)
        planes = self._to_fill()
        self._n_done = self._grid.n_planes - len(planes)
        if not planes:
            return
        together = config.adapt_to == "stack"
        groups = [planes] if together else [[plane] for plane in planes]
        share = self._share_of_adapting(len(planes) if together else 1)
        done = self._n_done / self._grid.n_planes
        for group in groups:
            part = len(group) / self._grid.n_planes
            states = self._restore_networks(group[0][0])
            if states is None:
                states = yield from self._adapt(group, done, part * share)
            for position, (number, index) in enumerate(group):
                if self._restore_plane(number, index):
                    continue
                for progress in self._fill_by_passes(number, index, states):
                    filled = (position + progress.fraction) / len(group)
                    fraction = done + part * (share + (1 - share) * filled)
                    yield replace(progress, fraction=fraction)
            if not together:
                self._forget_networks(group[0][0])
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
        before = self._iterations
        losses, validations = [], []
        while True:
            try:
                adaptation = Adaptation(
                    self._crops(group, seed),
                    self._weights.build(),
                    config,
                    seed=seed,
                    device=self._device,
                )
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
        record = {
            "first_plane": group[0][0],
            "losses": losses,
            "validations": validations,
            "initial_validation": adaptation.initial_validation,
            "networks": len(adaptation.states),
            "kept_at": adaptation.kept_at,
        }
        self._adaptations.append(record)
        if self._checkpoints is not None:
            facts = self._facts(self._iterations - before)
            self._checkpoints.save(
                f"networks-{group[0][0]}",
                arrays_of(adaptation.states),
                facts | {"adaptation": record},
            )
        return adaptation.states

    def _crops(self, group: list[tuple[int, Index]], seed: int) -> list[torch.Tensor]:
        """Cut crops for all iterations from planes that are spread evenly."""
        config = self._config
        assert config.crop_size is not None
        rng = np.random.default_rng(seed)
        number = min(max(config.n_iter * config.batch_size, 1), _MAX_CROPS)
        chosen = spread_evenly(group, min(_MAX_ADAPT_PLANES, number))
        crops: list[torch.Tensor] = []
        for _, index in chosen:
            scaled = self._scaled(self._store.plane(index)).numpy()
            n_crops = -(-number // len(chosen))
            crops += cut_crops(scaled, config.crop_size, n_crops, rng)
            self._store.let_go()
        # In another order, so that neither the planes nor their places come in turn.
        return [crops[place] for place in rng.permutation(len(crops))[:number]]

    def _fill_by_passes(
        self, number: int, index: Index, states: list[State]
    ) -> Generator[Progress, None, None]:
        plane = self._store.plane(index)
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
        self._finish_plane(number)

    def _scaled(self, plane: NDArray[Any]) -> torch.Tensor:
        scaled = self._scaling.apply(self._grid.to_channels(plane))
        return torch.from_numpy(np.ascontiguousarray(scaled))  # (C, Y, X)

    def _finish_plane(self, number: int, iterations: int = 0) -> None:
        assert self._current is not None
        self._put(*self._current)
        index = self._current[0]
        self._current = None
        self._n_done += 1
        if self._checkpoints is not None:
            arrays = self._store.finished(index)
            self._checkpoints.save(f"plane-{number}", arrays, self._facts(iterations))
        self._store.let_go()

    def _restore_plane(self, number: int, index: Index) -> bool:
        """Take a finished plane from the checkpoints, if it is there."""
        kept = self._checkpoints and self._checkpoints.load(f"plane-{number}")
        if not kept:
            return False
        arrays, facts = kept
        self._store.restore(index, arrays)
        self._take(facts)
        self._touched.add(index)
        self._n_done += 1
        self._store.let_go()
        return True

    def _restore_networks(self, first: int) -> list[State] | None:
        """Take adapted networks from the checkpoints, if they are there."""
        kept = self._checkpoints and self._checkpoints.load(f"networks-{first}")
        if not kept or self._checkpoints is None:
            return None
        arrays, facts = kept
        if not arrays and not self._checkpoints.load(f"plane-{first}"):
            return None
        self._take(facts)
        self._adaptations.append(facts["adaptation"])
        return states_of(arrays)

    def _forget_networks(self, first: int) -> None:
        """Keep no networks of a plane that is finished, only what is said of them."""
        name = f"networks-{first}"
        kept = self._checkpoints and self._checkpoints.load(name)
        if kept and self._checkpoints:
            self._checkpoints.save(name, {}, kept[1])

    def _facts(self, iterations: int) -> dict[str, Any]:
        """Return what the run has come to besides pixels and networks."""
        return {
            "iterations": iterations,
            "tile_size": self._tile_size,
            "device": str(self._device),
            "fallbacks": self._fallbacks,
            "filling": self._filling,
        }

    def _take(self, facts: dict[str, Any]) -> None:
        self._iterations += facts["iterations"]
        # Where memory ran out once, the run goes on with less.
        self._tile_size = facts["tile_size"]
        self._device = torch.device(facts["device"])
        self._fallbacks = list(facts["fallbacks"])
        self._filling = facts["filling"]

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
        done = [index for index in self._store.filled if index in self._touched]
        if not done or self._noise is None:
            return None
        chosen = spread_evenly(done, _N_NOISE_PLANES)
        store = self._store
        return judge(store.noisy(chosen), store.denoised(chosen), self._noise)

    def _put(self, index: Index, noisy: NDArray[Any], filled: Fill | Passes) -> None:
        before = self._grid.to_channels(noisy)
        values = self._scaling.invert(filled.estimate.cpu().numpy())
        if self._config.keep_mean:
            values += ndimage.gaussian_filter(
                before - values, (0, _MEAN_SIGMA, _MEAN_SIGMA), mode="reflect"
            )
        own_noise = self._noise if self._config.own_pixel else None
        if own_noise is not None or self._store.uncertainty is not None:
            spread = filled.spread.cpu().double().numpy() * self._scaling.gain**2
            if self._store.uncertainty is not None:
                errors = standard_error(spread, values, own_noise)
                self._store.put_uncertainty(index, errors)
            if own_noise is not None:
                values = combine_with_input(before, values, spread, own_noise)
        self._store.put(index, noisy, values)
        self._touched.add(index)

    def _report(self, verdict: Verdict | None) -> dict[str, Any]:
        preset = self._request.preset
        return {
            "napari_mpi": napari_mpi.__version__,
            "torch": torch.__version__,
            "preset": preset if isinstance(preset, str) else "custom",
            "noise": self._request.noise,
            "settings": {
                key: value
                for key, value in self._request.settings.items()
                if value is not None
            },
            "choice": None if self._choice is None else self._choice.reason,
            "noise_estimate": None if self._noise is None else asdict(self._noise),
            "verdict": None if verdict is None else asdict(verdict),
            "config": asdict(self._config),
            "weights": self._weights.name,
            "weights_source": self._weights.source,
            "weights_sha256": self._weights.sha256,
            "device": str(self._device),
            "threads": torch.get_num_threads(),
            "seed": self._seed,
            "rgb": self._grid.rgb,
            "scaling": asdict(self._scaling),
            "planes_done": self._n_done,
            "n_planes": self._grid.n_planes,
            "iterations": self._iterations,
            "adaptations": self._adaptations,
            "filling": self._filling,
            "fallbacks": self._fallbacks,
            "complete": self._n_done == self._grid.n_planes,
            "seconds": round(self._seconds, 2),
        }


def _plane_seed(seed: int, plane: int) -> int:
    """Derive a seed that depends on the plane's place only, not on what ran before."""
    state = np.random.SeedSequence([seed, plane]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
