"""``napari-mpi demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mpi.cli.console import finish
from napari_mpi.cli.fill_options import add_fill_options, fill_options

if TYPE_CHECKING:  # this loads torch, which a quick `--help` does without
    from napari_mpi.pipeline.api import Denoised

__all__ = ["add_parser"]

_MIN_SIZE = 16  # pixels; no run takes smaller planes


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    demo = commands.add_parser(
        "demo", help="denoise a synthetic stack with known truth and show the gain"
    )
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "-o", "--output", type=Path, default=Path("napari-mpi-demo"), metavar="OUT",
        help="folder to write to (default napari-mpi-demo)",
    )  # fmt: skip
    demo.add_argument("--planes", type=int, default=3, help="how many (default 3)")
    demo.add_argument(
        "--size", type=int, default=128, help="side in pixels (default 128)"
    )
    add_fill_options(demo)


def _demo(args: argparse.Namespace) -> int:
    import numpy as np
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    from napari_mpi.batch.results import write_result
    from napari_mpi.io.files import ImageData, write_image
    from napari_mpi.pipeline.api import iter_denoise
    from napari_mpi.training.simulated_noise import add_camera_noise
    from napari_mpi.training.synthetic import fluorescence_stack

    for option, value, least in (
        ("--planes", args.planes, 1),
        ("--size", args.size, _MIN_SIZE),
    ):
        if value < least:
            raise ValueError(f"{option} is {value}: expected at least {least}.")
    args.output.mkdir(parents=True, exist_ok=True)
    # A clean image and its noise have to be new to the weights: their own seed.
    rng = np.random.default_rng([2024, args.seed])
    clean = fluorescence_stack(args.planes, (args.size, args.size), rng)
    noisy, truth = add_camera_noise(clean, rng)
    result = finish(iter_denoise(noisy, **fill_options(args)), "demo")

    data_range = float(np.ptp(truth))

    def score(image: Any) -> str:
        psnr = peak_signal_noise_ratio(truth, image, data_range=data_range)
        ssim = np.mean([
            structural_similarity(a, b, data_range=data_range)
            for a, b in zip(truth, image, strict=True)
        ])  # fmt: skip
        return f"PSNR {psnr:.2f} dB, SSIM {ssim:.3f}"

    print(f"noisy:    {score(noisy.astype(np.float32))}")
    print(f"denoised: {score(result.image.astype(np.float32))}")
    for name, data in (("truth", truth), ("noisy", noisy)):
        image = ImageData(data, "TYX", (1, 0.1, 0.1), ("s", "µm", "µm"), name)
        write_image(args.output / f"demo_{name}.ome.tif", image)
    write_result(args.output / "demo_denoised.ome.tif", image, result, True)
    _comparison(args.output / "demo.png", noisy[0], result, truth[0])
    print(f"written to {args.output}: demo.png and demo_*.ome.tif")
    return 0


def _comparison(path: Path, noisy: Any, result: Denoised, truth: Any) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    noise = result.noise_map[0]
    limit = float(np.percentile(np.abs(noise), 99.5)) or 1.0
    low, high = np.percentile(truth, [0.1, 99.9])
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    for axes, title, image in zip(
        panels,
        ("noisy", "denoised", "truth"),
        (noisy, result.image[0], truth),
        strict=False,
    ):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_title(title)
    shown = panels[3].imshow(noise, cmap="PiYG", vmin=-limit, vmax=limit)
    panels[3].set_title("noise map")
    figure.colorbar(shown, ax=panels[3], label="counts")
    for axes in panels:
        axes.axis("off")
    figure.savefig(path, dpi=110)
