"""Print time, PSNR and memory beside those of the literal loop of the paper.

    python -m benchmarks.speed                        # one plane of 256x256, whole runs
    python -m benchmarks.speed --sizes 512 --steps 8  # loops timed on 8 iterations
    python -m benchmarks.speed --stack                # one adaptation, or one a plane
    python -m benchmarks.speed --memory               # peak memory

The literal loop is Algorithm 1 as it is published: float32, contiguous memory, whole
frames, 200 iterations, the network as it is drawn, on the weights that ship. All times
of a table come from one run; on a shared machine only their ratios mean something.
Planes are FMD images, mirrored to size. With `--steps` the loops of 200 iterations are
timed on fewer and scaled up, and have no PSNR.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import MethodType

import numpy as np
import psutil
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._data import data_folder, fmd_pair, parser, score
from napari_mpi import denoise, iter_denoise
from napari_mpi.engine.devices import wait_for
from napari_mpi.engine.network import Hourglass, _ConvNormAct, _Level
from napari_mpi.training.simulated_noise import add_camera_noise
from napari_mpi.training.synthetic import fluorescence_stack
from napari_mpi.weights.loading import load_weights

N_ITER, MASK_RATIO = 200, 0.3
EVERY = 5  # of a stack's planes, so many are compared


def literal_network(device: str) -> Hourglass:
    """Return the network with its layers one by one, as the paper draws it."""

    def level(self: _Level, x: Tensor) -> Tensor:
        below = self.down(x)
        if self.deeper is not None:
            below = self.deeper(below)
        below = F.interpolate(below, scale_factor=2.0, mode="nearest")
        return self.up(self.merge_norm(torch.cat([self.skip(x), below], dim=1)))

    def block(self: _ConvNormAct, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)

    network = load_weights().build()
    forwards: dict[type[nn.Module], object] = {_Level: level, _ConvNormAct: block}
    for module in network.modules():
        if type(module) in forwards:
            module.forward = MethodType(forwards[type(module)], module)
    return network.to(device).train()


def literal_loop(
    noisy: NDArray[np.uint8], steps: int, device: str
) -> tuple[float, NDArray]:
    """Return the seconds that 200 iterations take, and the estimate."""
    network = literal_network(device)
    x = torch.from_numpy(noisy / np.float32(255)).to(device)[None, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    torch.manual_seed(0)
    average = x.clone()
    started = 0.0
    for step in range(steps + 1):
        if step == 1:  # the first one warms up
            started = time.perf_counter()
        mask = (torch.rand_like(x) >= MASK_RATIO).float()
        y = network(mask * x, mask)
        loss = F.mse_loss((1 - mask) * y, (1 - mask) * x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hidden = mask == 0
        average[hidden] = 0.9 * average[hidden] + 0.1 * y.detach()[hidden]
    wait_for(x.device)
    seconds = (time.perf_counter() - started) * N_ITER / steps
    return seconds, average[0, 0].cpu().numpy()


def mirrored(image: NDArray, size: int) -> NDArray:
    """Return an image, cut or continued by mirroring to a square."""
    missing = [max(0, size - side) for side in image.shape]
    padded = np.pad(image, [(0, n) for n in missing], mode="symmetric")
    return padded[:size, :size]


def planes(sizes: list[int], scene: str, steps: int, device: str) -> None:
    """Print a table for single planes."""
    print("| plane | method | seconds | times faster | PSNR/SSIM |")
    print("|---|---|---|---|---|")
    for size in sizes:
        noisy, truth = (mirrored(image, size) for image in fmd_pair(scene, 1, None))
        reference = 0.0
        for method, seconds, result, is_whole in runs(noisy, steps, device):
            reference = reference or seconds  # the literal loop comes first
            quality = score(result, truth / 255) if is_whole else (0, 0)
            said = "{:.2f}/{:.3f}".format(*quality) if is_whole else "-"
            times = f"{seconds:.2f} | {reference / seconds:.1f}"
            print(f"| {size}x{size} | {method} | {times} | {said} |", flush=True)


def runs(
    noisy: NDArray[np.uint8], steps: int, device: str
) -> Iterator[tuple[str, float, NDArray, bool]]:
    """Yield method, seconds, result, and whether the result is a whole run's."""
    is_whole = steps >= N_ITER
    yield "literal loop", *literal_loop(noisy, steps, device), is_whole
    settings = {"preset": "paper-fast", "mask_ratio": MASK_RATIO, "device": device}
    run = iter_denoise(noisy, n_iter=steps + 1, **settings)
    next(run)  # warms up, as above
    started = time.perf_counter()
    for _ in range(steps):
        next(run)
    learnt = time.perf_counter()
    for _ in run:
        pass
    # What follows the iterations is done once, however many there are.
    seconds = (learnt - started) * N_ITER / steps + time.perf_counter() - learnt
    yield "paper-fast", seconds, run.result().image / 255, is_whole
    for preset in ("auto", "fast"):
        started = time.perf_counter()
        image = denoise(noisy, preset=preset, device=device).image
        yield preset, time.perf_counter() - started, image / 255, True


def stacks(only: str, steps: int, device: str) -> None:
    """Print what one adaptation for a whole stack costs and saves."""
    folder = data_folder() / "data" / "timelapse"
    rng = np.random.default_rng([77, 0])
    clean = fluorescence_stack(20, (512, 512), rng)
    noisy, truth = add_camera_noise(clean, rng)
    cases = {
        "timelapse, 10 planes of 490x490": (
            tifffile.imread(folder / "noisy.tif"),
            tifffile.imread(folder / "gt.tif").astype(np.float64),
        ),
        "synthetic, 20 planes of 512x512": (noisy, truth.astype(np.float64)),
    }
    print("| stack | method | seconds per plane | times faster | PSNR |")
    print("|---|---|---|---|---|")
    for name, (stack, expected) in cases.items():
        if only not in name:
            continue
        as_bytes = (stack / stack.max() * 255).astype(np.uint8)
        reference, _ = literal_loop(as_bytes[0], steps, device)
        print(f"| {name} | literal loop | {reference:.1f} | 1.0 | - |", flush=True)
        for method, chosen in (("stack", stack), ("plane", stack[::EVERY])):
            started = time.perf_counter()
            image = denoise(chosen, adapt_to=method, device=device).image
            seconds = (time.perf_counter() - started) / len(chosen)
            compared = image[::EVERY] if method == "stack" else image
            print(
                f"| {name} | one adaptation per {method} | {seconds:.1f} | "
                f"{reference / seconds:.1f} | "
                f"{_fitted_psnr(compared, expected[::EVERY]):.2f} |",
                flush=True,
            )


def _fitted_psnr(image: NDArray, truth: NDArray) -> float:
    """Return the PSNR after a fit of gain and offset, over the range of the truth."""
    gain, offset = np.polyfit(image.ravel().astype(np.float64), truth.ravel(), 1)
    error = np.mean((gain * image + offset - truth) ** 2)
    return float(10 * np.log10(np.ptp(truth) ** 2 / error))


def memory_table(device: str) -> None:
    """Print the peak memory of runs, each in a process of its own."""
    print("| input | preset | peak above the loaded libraries, MiB | seconds |")
    print("|---|---|---|---|")
    cases = [(1, size, "fast") for size in (256, 512, 1024, 2048, 4096)]
    cases += [(1, size, "paper-fast") for size in (256, 512)]
    cases += [(count, 1024, "stack") for count in (5, 50, 200)]
    for count, size, preset in cases:
        call = [str(count), str(size), preset, device]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed", "--measure", *call],
            capture_output=True,
            text=True,
            check=True,
        )
        peak, seconds = done.stdout.split()
        print(f"| {count}x{size}x{size} | {preset} | {peak} | {seconds} |", flush=True)


def measure(count: int, size: int, preset: str, device: str) -> None:
    """Print peak memory in MiB and the seconds of one run."""
    rng = np.random.default_rng(0)
    plane = rng.poisson(30, (size, size)).astype(np.uint16)
    plane[: size // 2] *= 4
    settings: dict[str, object] = {"preset": preset}
    if preset == "paper-fast":
        settings |= {"n_iter": 2}
    if preset == "stack":
        # As much memory as a whole run, in less time.
        settings = {"preset": "fast", "n_iter": 0, "n_passes": 2}
    denoise(plane[:64, :64], n_iter=1, n_passes=2)  # loads the libraries
    process = psutil.Process()

    def private() -> int:
        # Pages of mapped files can be dropped at any time and do not count.
        info = process.memory_info()
        return int(info.rss - getattr(info, "shared", 0))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.npy"
        stack = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.uint16, shape=(count, size, size)
        )
        for number in range(count):
            stack[number] = plane
        stack.flush()
        del stack
        lazy = np.load(path, mmap_mode="r")
        before, peak, running = private(), [0], [True]

        def watch() -> None:
            while running[0]:
                peak[0] = max(peak[0], private())
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        denoise(lazy, device=device, **settings)
        seconds = time.perf_counter() - started
        running[0] = False
        watcher.join()
    print((peak[0] - before) // 2**20, round(seconds))


def main() -> None:
    """Print the tables that were asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[256])
    arguments.add_argument("--scene", default="Confocal_FISH")
    arguments.add_argument("--steps", type=int, default=N_ITER)
    arguments.add_argument("--stack", action="store_true")
    arguments.add_argument("--memory", action="store_true")
    arguments.add_argument("--only", default="", help="part of the stacks' names")
    arguments.add_argument("--measure", nargs=4, metavar=("N", "SIZE", "PRESET", "ON"))
    args = arguments.parse_args()
    if args.measure:
        count, size, preset, device = args.measure
        measure(int(count), int(size), preset, device)
    elif args.memory:
        memory_table(args.device)
    elif args.stack:
        stacks(args.only, min(args.steps, 8), args.device)
    else:
        planes(args.sizes, args.scene, args.steps, args.device)


if __name__ == "__main__":
    main()
