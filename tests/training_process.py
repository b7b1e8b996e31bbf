"""One of several processes that train together, for the tests.

Run as ``python training_process.py ROLE FOLDER`` with the variables that torchrun sets.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from training_runs import settings

from napari_mpi.cli import main
from napari_mpi.engine.network import Hourglass
from napari_mpi.training import held_out, processes
from napari_mpi.training.gradients import Gradients
from napari_mpi.training.pretrain import iter_pretrain

RANK = int(os.environ["RANK"])
backward = Gradients.backward


def train(folder: Path) -> None:
    """Train undisturbed, interrupted and stopped; write down what came of it."""
    batches, written = [], []

    def note_writing(event, arguments):
        if event == "os.rename" or (event == "open" and "w" in str(arguments[1])):
            path = Path(str(arguments[event == "os.rename"]))
            written.append(path.name if path.parent == folder else None)

    sys.addaudithook(note_writing)

    def spy(self, *batch):
        batches.append(batch)
        return backward(self, *batch)

    Gradients.backward = spy
    whole = start(folder, "whole")
    losses = [step.loss for step in whole]
    Gradients.backward = backward
    torch.save(batches, folder / f"batches-{RANK}.pt")

    interrupted = start(folder, "resumed")
    resumed_losses = [next(interrupted).loss]
    interrupted.close()
    together = processes.join_processes("cpu")
    together.wait()
    if RANK == 0:
        shutil.copy(folder / "resumed.ckpt", folder / "interrupted.ckpt")
    resumed = start(folder, "resumed", resume=folder / "resumed.ckpt")
    resumed_losses += [step.loss for step in resumed]

    stopped = start(folder, "stopped", steps=1000)
    next(stopped)
    if RANK == 1:
        stopped.stop()
    assert list(stopped) == []

    try:
        together.require_same({"images": RANK, "seed": 0})
    except ValueError as error:
        difference = str(error)
    report = {
        "losses": losses,
        "network": sha256(whole.preview().now),
        "compared": whole.comparison is not None,
        "written": sorted({name for name in written if name}),
        "resumed losses": resumed_losses,
        "resumed network": sha256(resumed.preview().now),
        "difference": difference,
        "errors": gradient_errors(together),
    }
    (folder / f"report-{RANK}.json").write_text(json.dumps(report))


def start(folder, name, *, resume=None, **changes):
    return iter_pretrain(
        folder / "images",
        folder / f"{name}.safetensors",
        settings(**changes),
        resume=resume,
        device="cpu",
    )


def sha256(array) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def gradient_errors(together) -> list[float]:
    """Compare own and averaged gradients of half a batch with those of the whole."""
    torch.manual_seed(0)
    network = Hourglass(1, 1).to(memory_format=torch.channels_last).train()
    gradients = Gradients(network, bfloat16=False)
    noisy, target, noise = torch.rand(3, 4, 1, 64, 64)
    mask = (noise > 0.5).float()

    def backward(crops):
        gradients.backward(noisy[crops], target[crops], mask[crops])
        return flat(network)

    whole = backward(slice(None))
    own = backward(slice(2 * RANK, 2 * RANK + 2))
    together.average_gradients(network)
    gradients.close()
    return [
        float((part - whole).norm() / whole.norm()) for part in (own, flat(network))
    ]


def flat(network) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def fail(folder: Path, rank: int, failure: Callable[[], None]) -> int:
    """Train from the command line; something befalls a process in its third step."""
    steps = []

    def spy(self, *batch):
        steps.append(batch)
        if rank == RANK and len(steps) == 3:
            failure()
        return backward(self, *batch)

    Gradients.backward = spy
    output = str(folder / "lab.safetensors")
    options = ["--steps", "1000", "--batch-size", "1", "--device", "cpu"]
    return main(["pretrain", str(folder / "images"), "-o", output, *options])


def run_out_of_memory():
    raise MemoryError("no memory left on this card")


def hang():
    time.sleep(600)


def be_terminated():
    os.kill(os.getpid(), signal.SIGTERM)


FAILURES = {
    "out of memory": (1, run_out_of_memory),
    "hang": (1, hang),
    "terminated": (0, be_terminated),
}

if __name__ == "__main__":
    held_out._N_CROPS = 4
    role, folder = sys.argv[1], Path(sys.argv[2])
    if role == "train":
        train(folder)
    else:
        if role == "hang":
            processes._TIMEOUT = timedelta(seconds=10)
        sys.exit(fail(folder, *FAILURES[role]))
