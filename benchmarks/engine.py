"""Print how much of what a device can compute the network's work comes to.

    python -m benchmarks.engine                        # on the processor
    python -m benchmarks.engine --device cuda --precision bfloat16

Each row is a pass of the network, by which planes are filled, or an iteration, by which
it learns: over whole planes, or over the crops of `auto`. The arithmetic is counted,
the time is the median of several calls after the first ones, and the shares are of what
the product of two large matrices comes to there, in float32 and in bfloat16; on CUDA
float32 convolutions are rounded to TF32, by torch's default. The last column is the
most memory that a CUDA card had in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._data import parser
from napari_mpi import load_weights
from napari_mpi.config import PRESETS, FillConfig
from napari_mpi.engine.adapt import Adaptation
from napari_mpi.engine.crops import Crop
from napari_mpi.engine.devices import resolve_device, wait_for
from napari_mpi.engine.fill import Fill
from napari_mpi.engine.network import Hourglass
from napari_mpi.engine.predictor import Predictor

# The first calls are slower: memory is asked for, and on CUDA work is recorded.
N_FIRST, N_TIMED = 12, 20
MATRIX_SIDE = 4096
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Print the table, row by row."""
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    arguments.add_argument("--precision", default="float32", choices=sorted(DTYPES))
    args = arguments.parse_args()
    device = resolve_device(args.device)
    peaks = {name: peak(device, dtype) for name, dtype in DTYPES.items()}
    for name, found in peaks.items():
        print(f"Product of two matrices in {name}: {found / 1e12:.2f} TFLOP/s\n")
    print("| work | milliseconds | TFLOP/s | of float32 | of bfloat16 | MiB on CUDA |")
    print("|---|---|---|---|---|---|")
    for name, n_operations, steps in works(args.sizes, args.precision, device):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = median_seconds(lambda steps=steps: next(steps), device)
        memory = "-"
        if device.type == "cuda":
            memory = f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}"
        rate = n_operations / seconds
        shares = " | ".join(f"{100 * rate / found:.0f} %" for found in peaks.values())
        print(
            f"| {name} | {1e3 * seconds:.2f} | {rate / 1e12:.3f} | {shares} "
            f"| {memory} |",
            flush=True,
        )


def works(
    sizes: list[int], precision: str, device: torch.device
) -> Iterator[tuple[str, float, Iterator[object]]]:
    """Yield what is done, how many operations it takes, and steps without end."""
    auto = replace(PRESETS["auto"], precision=precision, early_stopping=False)
    whole = replace(PRESETS["paper-fast"], precision=precision, n_iter=10**6)
    for size in sizes:
        plane = torch.rand(1, size, size)
        yield f"pass, {size}x{size}", operations(size), passes(plane, auto, device)
        fill = Fill(plane, network(), whole, seed=0, device=device)
        yield f"iteration, {size}x{size}", 3 * operations(size), iter(fill)
    assert auto.crop_size is not None
    side, number = auto.crop_size, auto.batch_size
    crops = [Crop.to_learn_from(one) for one in torch.rand(64, 1, side, side)]
    learning = replace(auto, n_iter=10**4, early_stopping=False)
    adaptation = Adaptation(crops, network(), learning, seed=0, device=device)
    name = f"iteration, {number} crops of {side}x{side}"
    yield name, 3 * number * operations(side), iter(adaptation)


def passes(
    plane: torch.Tensor, config: FillConfig, device: torch.device
) -> Iterator[object]:
    """Predict the same plane again and again."""
    predictor = Predictor(network(), config, device)
    predictor.network.train()
    noisy = plane[None].to(device)
    mask = (torch.rand_like(noisy) > config.mask_ratio).float()
    while True:
        yield predictor(noisy, mask)


def network() -> Hourglass:
    """Return the bundled network."""
    return load_weights().build()


def operations(size: int) -> float:
    """Count the additions and multiplications of a pass over a square plane."""
    x = torch.zeros(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network()(x, x)
    return float(counter.get_total_flops())


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of a product of two large matrices."""
    side = MATRIX_SIDE if device.type != "cpu" else MATRIX_SIDE // 4
    matrix = torch.rand(side, side, device=device).to(dtype)
    return 2 * side**3 / median_seconds(lambda: matrix @ matrix, device)


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes once it is warm."""
    seconds = []
    for _ in range(N_FIRST + N_TIMED):
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[N_FIRST:]))


if __name__ == "__main__":
    main()
