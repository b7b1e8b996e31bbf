"""Masked pre-training: teach the network to fill in hidden pixels of clean images.

The method is section 3.2 of Ma et al. (NeurIPS 2024): Adam with both moments at 0.9,
a cosine schedule, masked mean squared error on random crops.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mpi.engine.devices import prefers_bfloat16
from napari_mpi.engine.masking import N_SEEDS, one_mask_for_twins, random_mask
from napari_mpi.engine.network import Hourglass, memory_format, on_device
from napari_mpi.io.atomic import require_folder_writable, staged, write_bytes
from napari_mpi.io.files import ImageData
from napari_mpi.training.checkpoint import Checkpoint, settings_of
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.corpus import Crops, Source, load_corpus
from napari_mpi.training.gradients import Gradients
from napari_mpi.training.held_out import Comparison, HeldOut, Preview, hold_out
from napari_mpi.training.processes import Processes, join_processes
from napari_mpi.training.start import baseline, starting_network
from napari_mpi.weights.loading import Weights, load_weights, save_weights

__all__ = ["PretrainStep", "Training", "iter_pretrain", "pretrain"]

PathLike = str | os.PathLike[str]


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
    images: Sequence[ImageData] = (),
    overwrite: bool = False,
) -> Weights:
    """Train weights on clean images and write them to a file.

    Beside `output` appear a checkpoint (``.ckpt``) to resume from, and the loss curve
    as ``.loss.csv`` and ``.loss.png``.

    A part of the images is held out and never trained on: the last tenth of them, or a
    strip of each if they are fewer than five. On it the new weights are compared with
    those they started from, or with the bundled ones; ``card["held_out"]`` tells
    whether they are better.

    Processes that ``torchrun`` started train together, if all of them call this.

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
    images : sequence of ImageData
        Images that are open already, to train on beside the folders or instead.
    overwrite : bool
        Whether to start anew where an earlier training left weights or a checkpoint.

    Returns
    -------
    Weights
        As read back from the file.

    Raises
    ------
    ValueError
        If `output` does not end in ``.safetensors``, or there is no such device.
    FileExistsError
        If an earlier training left weights or a checkpoint there, unless it is to be
        resumed or overwritten.
    FileNotFoundError
        If a folder, the one of `output`, `init` or `resume` does not exist.
    FileError
        If a folder has no image to train on, or images are smaller than the crop.
    WeightsError
        If `init` or `resume` cannot be used.
    ConnectionError
        If another process of the training is lost.
    OSError
        If weights or checkpoint cannot be written, as on a full disk.
    """
    training = iter_pretrain(
        folders,
        output,
        config,
        init=init,
        resume=resume,
        device=device,
        images=images,
        overwrite=overwrite,
    )
    for _ in training:
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
    images: Sequence[ImageData] = (),
    overwrite: bool = False,
) -> Training:
    """Do the same as `pretrain`, step by step.

    Parameters and errors are those of `pretrain`.

    Returns
    -------
    Training
        An iterator over the steps.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"The output {output} has to end in .safetensors.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"The folder {output.parent} does not exist.")
    if resume is None and not overwrite:
        _require_unused(output)
    require_folder_writable(output.parent)
    processes = join_processes(device)
    initial = None if init is None else load_weights(init)
    network = starting_network(initial, config).to(processes.device)
    corpus = load_corpus(folders, config, network.image_channels, images)
    training = Training(network, corpus, output, config, initial, processes)
    if resume is not None:
        training.resume(Path(resume))
    return training


def _require_unused(output: Path) -> None:
    checkpoint = output.with_suffix(".ckpt")
    if checkpoint.is_file():
        raise FileExistsError(
            f"{checkpoint} is there already: carry on with resume={str(checkpoint)!r}, "
            "or start anew with overwrite=True."
        )
    if output.is_file():
        raise FileExistsError(
            f"{output} is there already: choose another name, or replace it with "
            "overwrite=True."
        )


class Training(Iterator[PretrainStep]):
    """A training under way; iterate over it to advance, stop whenever you like.

    At its end the weights are written. `iter_pretrain` makes one.

    Attributes
    ----------
    held_out : str
        What is never trained on, in words; empty if nothing can be spared.
    start : str
        The weights that the result is compared with.
    comparison : Comparison, optional
        How the trained weights do on what was held out, once they are written.
    """

    def __init__(
        self,
        network: Hourglass,
        corpus: list[list[Source]],
        output: Path,
        config: PretrainConfig,
        initial: Weights | None,
        processes: Processes,
    ) -> None:
        self._network, self._output, self._config = network, output, config
        self._initial, self._processes = initial, processes
        self._device = processes.device
        training, held, self.held_out = hold_out(corpus, config)
        self._seed = processes.seed(config.seed)
        self._crops = Crops(
            training, replace(config, seed=self._seed), network.image_channels
        )
        self.start, before = baseline(initial, config)
        self._before = before.to(self._device)
        self._held = HeldOut(held, self.held_out, config, network) if held else None
        self.comparison: Comparison | None = None
        on_device(network, self._device).train()
        self._learning_rate = config.first_learning_rate(
            from_weights=initial is not None
        )
        self._optimizer = torch.optim.Adam(
            network.parameters(), lr=self._learning_rate, betas=(0.9, 0.9)
        )
        self._settings = settings_of(config, initial, corpus, processes.count)
        self._state = Checkpoint(network, self._optimizer, config, self._settings)
        self._checkpoint = output.with_suffix(".ckpt")
        self._saved_at = 0
        self._stopped = self._saved = False
        self._resumed_from: Path | None = None
        self._steps = self._train()

    def __next__(self) -> PretrainStep:
        """Take a step of the optimiser, or write the weights and end."""
        return next(self._steps)

    def resume(self, checkpoint: Path) -> None:
        """Carry on where an interrupted training of the same settings stood.

        Raises
        ------
        FileNotFoundError
            If there is no such checkpoint.
        WeightsError
            If it is damaged, or of a training with other settings.
        """
        self._state.load(checkpoint)
        self._saved_at = self._state.step
        self._resumed_from = checkpoint.resolve()

    def stop(self) -> None:
        """End before the next step as if the budget were spent, but after one step."""
        self._stopped = True

    def close(self) -> None:
        """End at once, without weights; a checkpoint of the last step is left."""
        self._steps.close()

    def discard(self) -> None:
        """End at once and leave nothing, save a checkpoint it was resumed from."""
        self._saved_at = self._state.step
        self._steps.close()
        if self._saved and self._checkpoint.resolve() != self._resumed_from:
            self._checkpoint.unlink(missing_ok=True)

    def preview(self) -> Preview | None:
        """Show what the weights make of a held-out patch, at the start and now."""
        if self._held is None:
            return None
        return self._held.preview(self._before, self._network)

    def _train(self) -> Generator[PretrainStep, None, None]:
        state, config, processes = self._state, self._config, self._processes
        processes.require_same({**self._settings, "step": state.step})
        generator = torch.Generator(self._device)
        gradients = Gradients(self._network, prefers_bfloat16(self._device))
        try:
            while (progress := state.progress()) < 1:
                self._stopped = processes.any(self._stopped)
                if self._stopped and state.step > 0:
                    break
                started = time.monotonic()
                learning_rate = _cosine(
                    self._learning_rate, config.final_learning_rate, progress
                )
                self._optimizer.param_groups[0]["lr"] = learning_rate
                noisy, target, mask = self._draw(generator)
                loss = gradients.backward(noisy, target, mask)
                processes.average_gradients(self._network)
                self._optimizer.step()
                # One clock for all, or one process would end before another.
                loss, seconds = processes.mean(loss, time.monotonic() - started)
                state.took(loss, seconds)
                if state.step - self._saved_at >= config.checkpoint_every:
                    self._save()
                yield PretrainStep(
                    state.step, loss, learning_rate, min(state.progress(), 1.0)
                )
        finally:
            gradients.close()
            if state.step > self._saved_at:
                self._save()
        if processes.is_main:
            self._write()
        processes.wait()

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        step, n_masks = self._state.step, self._network.mask_channels
        *images, ratios = self._crops.draw(step)
        noisy, target = (
            torch.from_numpy(batch).to(
                self._device, memory_format=memory_format(self._device)
            )
            for batch in images
        )  # (B, C, H, W)
        # Seeding by step makes a resumed run draw what the whole run would have.
        generator.manual_seed((self._seed * 1_000_003 + step) % N_SEEDS)
        mask = random_mask(
            (len(target), n_masks, *target.shape[-2:]),
            torch.from_numpy(ratios).to(self._device),
            generator,
        )
        return noisy, target, one_mask_for_twins(mask, target)

    def _save(self) -> None:
        if self._processes.is_main:
            self._state.save(self._checkpoint)
            self._saved = True
        self._saved_at = self._state.step

    def _write(self) -> None:
        state = self._state
        if self._held is not None:
            before = self._held.score(self._before)
            self.comparison = self._held.compare(self.start, before, self._network)
        card: dict[str, Any] = {
            "data": self._crops.summary(),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "seed": self._config.seed,
            "processes": self._processes.count,
            "effective_batch_size": self._processes.count * self._config.batch_size,
            "final_loss": round(float(np.mean(state.losses[-200:])), 6),
            "initial_weights": None if self._initial is None else self._initial.name,
            "stopped_early": self._stopped,
            "held_out": None if self.comparison is None else self.comparison.for_card(),
            "config": asdict(self._config),
        }
        save_weights(self._output, self._network, card)
        _write_curve(self._output, state.losses)


def _cosine(start: float, end: float, progress: float) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(progress, 1.0)))


def _write_curve(output: Path, losses: list[float]) -> None:
    rows = [f"{step},{loss:.7f}\n" for step, loss in enumerate(losses, 1)]
    table = "".join(["step,loss\n", *rows])
    write_bytes(output.with_suffix(".loss.csv"), table.encode())
    from matplotlib.figure import Figure  # slow to import, and needed only here

    window = max(1, len(losses) // 100)
    kernel = np.ones(window) / window
    smooth = np.convolve(losses, kernel, mode="valid")
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(np.arange(1, len(losses) + 1), losses, color="0.8", lw=0.5)
    axes.semilogy(np.arange(len(smooth)) + window, smooth, color="C0")
    axes.set(xlabel="step", ylabel="masked mean squared error")
    with staged(output.with_suffix(".loss.png")) as partial:
        figure.savefig(partial, format="png", dpi=120)
