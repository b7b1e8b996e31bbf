"""Masked pre-training: teach the network to fill in hidden pixels of clean images.

The method is section 3.2 of Ma et al. (NeurIPS 2024): Adam with both moments at 0.9,
a cosine schedule, masked mean squared error on random crops.
"""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from torch import Tensor

from napari_mpi.config import PretrainConfig
from napari_mpi.engine.devices import prefers_bfloat16, resolve_device
from napari_mpi.engine.masking import masked_mse, random_mask
from napari_mpi.engine.network import Hourglass
from napari_mpi.training.corpus import Crops, load_corpus
from napari_mpi.weights.loading import (
    Weights,
    WeightsError,
    load_weights,
    read_tensors,
    save_weights,
)

__all__ = ["PretrainStep", "iter_pretrain", "pretrain"]

PathLike = str | os.PathLike[str]

# What reading a checkpoint of another kind can end in.
_FOREIGN: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError)
_FOREIGN += (RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class PretrainStep:
    """Where a training stands.

    Attributes
    ----------
    step : int
        Steps taken, over all resumed runs.
    loss : float
        Masked mean squared error of this step's crops, intensities being 0 to 1.
    learning_rate : float
        Step size that Adam used.
    progress : float
        Share of the budget that is spent, 0 to 1.
    """

    step: int
    loss: float
    learning_rate: float
    progress: float


def pretrain(
    folders: PathLike | Sequence[PathLike],
    output: PathLike,
    config: PretrainConfig,
    *,
    init: PathLike | Weights | None = None,
    resume: PathLike | None = None,
    device: str = "auto",
) -> Weights:
    """Train weights on clean images and write them to a file.

    Beside `output` appear a checkpoint (``.ckpt``) to resume from, and the loss curve
    as ``.csv`` and ``.png``.

    Parameters
    ----------
    folders : path or sequence of path
        Folders of images, 2-D or stacks; each folder is drawn from equally often.
    output : path
        The ``.safetensors`` file to write.
    config : PretrainConfig
        Length, crop size, schedule, seed.
    init : str or path or Weights, optional
        Weights to start from; without it the start is random.
    resume : path, optional
        Checkpoint of an earlier run to carry on with.
    device : str
        "auto", "cpu", "cuda" or "mps".

    Returns
    -------
    Weights
        As read back from the file.

    Raises
    ------
    FileNotFoundError
        If a folder, or the one of `output`, does not exist.
    FileError
        If a folder has no readable image, or images are smaller than the crop.
    WeightsError
        If `init` or `resume` cannot be used.
    """
    for _ in iter_pretrain(
        folders, output, config, init=init, resume=resume, device=device
    ):
        pass
    return load_weights(output)


def iter_pretrain(
    folders: PathLike | Sequence[PathLike],
    output: PathLike,
    config: PretrainConfig,
    *,
    init: PathLike | Weights | None = None,
    resume: PathLike | None = None,
    device: str = "auto",
) -> Generator[PretrainStep, None, None]:
    """Do the same as `pretrain`, step by step.

    Closing the iterator early leaves a checkpoint of the last step.

    Yields
    ------
    PretrainStep
        After each step of the optimiser.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"The output {output} has to end in .safetensors.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"The folder {output.parent} does not exist.")
    torch_device = resolve_device(device)
    initial = None if init is None else load_weights(init)
    network = _start(initial, config)
    corpus = load_corpus(folders, config, network.image_channels)
    crops = Crops(corpus, config, network.image_channels)

    network.to(device=torch_device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, betas=(0.9, 0.9)
    )
    state = _Progress(network, optimizer, config)
    if resume is not None:
        state.load(Path(resume))
    checkpoint = output.with_suffix(".ckpt")
    generator = torch.Generator(torch_device)
    bfloat16 = prefers_bfloat16(torch_device)

    saved_at = state.step
    workers = _Workers(network, bfloat16)
    try:
        while (progress := state.progress()) < 1:
            started = time.monotonic()
            learning_rate = _cosine(
                config.learning_rate, config.final_learning_rate, progress
            )
            optimizer.param_groups[0]["lr"] = learning_rate
            *images, ratios = crops.draw(state.step)
            noisy, target = (
                torch.from_numpy(batch).to(
                    torch_device, memory_format=torch.channels_last
                )
                for batch in images
            )  # (B, C, H, W)
            # Seeding by step makes a resumed run draw what the whole run would have.
            generator.manual_seed(config.seed * 1_000_003 + state.step)
            mask = random_mask(
                (len(target), network.mask_channels, *target.shape[-2:]),
                torch.from_numpy(ratios).to(torch_device),
                generator,
            )
            if network.mask_channels > 1:
                mask = _one_mask_for_gray(mask, target)
            loss = workers.backward(noisy, target, mask)
            optimizer.step()
            state.took(loss, time.monotonic() - started)
            if state.step - saved_at >= config.checkpoint_every:
                state.save(checkpoint)
                saved_at = state.step
            yield PretrainStep(
                state.step, state.losses[-1], learning_rate, min(state.progress(), 1.0)
            )
    finally:
        workers.close()
        if state.step > saved_at:
            state.save(checkpoint)
    card = {
        "data": crops.summary(),
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "seed": config.seed,
        "final_loss": round(float(np.mean(state.losses[-200:])), 6),
        "initial_weights": None if initial is None else initial.name,
        "config": asdict(config),
    }
    save_weights(output, network, card)
    _write_curve(output, state.losses)


class _Progress:
    """Everything that a checkpoint holds."""

    def __init__(
        self,
        network: Hourglass,
        optimizer: torch.optim.Optimizer,
        config: PretrainConfig,
    ) -> None:
        self.network, self.optimizer, self.config = network, optimizer, config
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []

    def progress(self) -> float:
        if self.config.steps is not None:
            return self.step / self.config.steps
        assert self.config.minutes is not None
        return self.seconds / (60 * self.config.minutes)

    def took(self, loss: float, seconds: float) -> None:
        self.step += 1
        self.seconds += seconds
        self.losses.append(loss)

    def save(self, path: Path) -> None:
        partial = path.with_name(path.name + ".part")
        content = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        try:
            torch.save(content, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def load(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"There is no checkpoint {path}.")
        saved = read_tensors(path)
        try:
            if not isinstance(saved, dict):
                raise TypeError(f"expected a dict, got a {type(saved).__name__}")
            self.network.load_state_dict(saved["network"])
            # How large Adam's steps are is for this run to say.
            groups = self.optimizer.state_dict()["param_groups"]
            moments = saved["optimizer"]["state"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            self.step = int(saved["step"])
            self.seconds = float(saved["seconds"])
            self.losses = [float(loss) for loss in saved["losses"]]
            self._check()
        except _FOREIGN as error:
            raise WeightsError(
                f"{path} is no checkpoint of this training ({error}). Give the .ckpt "
                "file that an interrupted run left."
            ) from error

    def _check(self) -> None:
        if self.step < 0 or not 0 <= self.seconds < math.inf:
            raise ValueError(f"it counts {self.step} steps in {self.seconds} s")
        if len(self.losses) != self.step:
            raise ValueError(f"it has {len(self.losses)} losses of {self.step} steps")
        tensors = list(self.network.state_dict().values())
        for parameter in self.network.parameters():
            moments = self.optimizer.state[parameter]
            tensors.append(moments["step"])
            for key in ("exp_avg", "exp_avg_sq"):
                if moments[key].shape != parameter.shape:
                    raise ValueError(f"{key} has the shape {tuple(moments[key].shape)}")
                tensors.append(moments[key])
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise ValueError("it holds NaN or infinite numbers")


class _Workers:
    """Computes gradients crop by crop, on a CPU as many at a time as it has cores.

    With one crop at a time, batch norm has the statistics of one image, as it has when
    that image is filled. Small crops keep one core busy each, and no more.
    """

    def __init__(self, network: Hourglass, bfloat16: bool) -> None:
        self._bfloat16 = bfloat16
        self._parameters = list(network.parameters())
        self._n_threads = torch.get_num_threads()
        on_cpu = self._parameters[0].device.type == "cpu"
        n_workers = self._n_threads if on_cpu else 1
        self._pool = ThreadPoolExecutor(
            n_workers,
            initializer=torch.set_num_threads,
            initargs=(1 if on_cpu else self._n_threads,),
        )
        self._replicas: SimpleQueue[Hourglass] = SimpleQueue()
        for _ in range(n_workers):
            self._replicas.put(_replica(network))

    def backward(self, noisy: Tensor, target: Tensor, mask: Tensor) -> float:
        """Set every parameter's gradient for a batch (B, C, H, W), return the loss."""

        def one(crop: int) -> tuple[float, tuple[Tensor, ...]]:
            chosen = slice(crop, crop + 1)
            network = self._replicas.get()
            with torch.autocast(
                noisy.device.type, torch.bfloat16, enabled=self._bfloat16
            ):
                predicted = network(noisy[chosen] * mask[chosen], mask[chosen])
            self._replicas.put(network)
            error = masked_mse(predicted.float(), target[chosen], mask[chosen])
            error = error / len(target)
            return float(error.detach()), torch.autograd.grad(error, self._parameters)

        losses, gradients = zip(*self._pool.map(one, range(len(target))), strict=True)
        for parameter, parts in zip(
            self._parameters, zip(*gradients, strict=True), strict=True
        ):
            # Added in the order of the crops, whoever was done first.
            parameter.grad = torch.stack(parts).sum(dim=0)
        return float(sum(losses))

    def close(self) -> None:
        """End the threads and give torch its own back."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._n_threads)


def _replica(network: Hourglass) -> Hourglass:
    """Copy a network whose parameters stay in common with the original's.

    What batch norm counts while it runs stays apart, so that no thread changes what
    another one reads.
    """
    copied = copy.deepcopy(network)
    for own, original in zip(copied.modules(), network.modules(), strict=True):
        for name, parameter in original.named_parameters(recurse=False):
            own.register_parameter(name, parameter)
    return copied


def _one_mask_for_gray(mask: Tensor, target: Tensor) -> Tensor:
    """Hide the same pixels in equal channels, which would give each other away."""
    gray = (target == target[:, :1]).flatten(1).all(dim=1)  # (B,)
    return torch.where(gray[:, None, None, None], mask[:, :1], mask)


def _start(initial: Weights | None, config: PretrainConfig) -> Hourglass:
    # The initialisation draws from torch's global generator; leave that as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Hourglass(3, 3) if config.rgb else Hourglass(1, 1)
    if initial is None:
        return network
    if not config.rgb or initial.image_channels == 3:
        return initial.build()
    if initial.image_channels != 1:
        raise WeightsError(
            f"{initial.name} is for images of {initial.image_channels} channels: start "
            "an RGB network from gray or from RGB weights."
        )
    network.load_state_dict(_for_rgb(initial.state))
    return network


def _for_rgb(gray: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Widen gray weights: all three channels do at first what the one did."""
    state = dict(gray)
    for key in ("levels.skip.conv.weight", "levels.down.0.conv.weight"):
        image, mask = gray[key].chunk(2, dim=1)  # (64, 1, k, k) each
        state[key] = torch.cat([image / 3] * 3 + [mask / 3] * 3, dim=1)
    for key in ("head.weight", "head.bias"):
        state[key] = torch.cat([gray[key]] * 3)
    return state


def _cosine(start: float, end: float, progress: float) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(progress, 1.0)))


def _write_curve(output: Path, losses: list[float]) -> None:
    with output.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss"])
        writer.writerows((i + 1, f"{loss:.7f}") for i, loss in enumerate(losses))
    from matplotlib.figure import Figure  # slow to import, and needed only here

    window = max(1, len(losses) // 100)
    kernel = np.ones(window) / window
    smooth = np.convolve(losses, kernel, mode="valid")
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(np.arange(1, len(losses) + 1), losses, color="0.8", lw=0.5)
    axes.semilogy(np.arange(len(smooth)) + window, smooth, color="C0")
    axes.set(xlabel="step", ylabel="masked mean squared error")
    figure.savefig(output.with_suffix(".png"), dpi=120)
