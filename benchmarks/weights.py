"""Print how soon weights come to a good estimate, beside the authors' weights.

    python -m benchmarks.weights                       # the bundled ones
    python -m benchmarks.weights --weights lab.safetensors --only Confocal
    python -m benchmarks.weights --steps 50 150 --seeds 0 1 2
    python -m benchmarks.weights --steps 50 150 --preset auto

Each row is the mean of runs, one a seed, of the loop of `paper-fast` over an FMD crop,
with percentile scaling and a mask ratio of 0.45, of 0.93 for the wide-field image,
looked at after so many iterations: PSNR in dB / SSIM. With `--preset auto` or `fast`
each number of iterations is a run of its own, as that preset chooses.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._data import FMD_SCENES, data_folder, fmd_pair, parser, score
from napari_mpi import denoise, iter_denoise
from napari_mpi.config import MEASURING

STEPS = (10, 20, 30, 50, 100, 150, 200)
OFFICIAL = "imgnet_80_95_singlechannel_skip.pth"


def main() -> None:
    """Print the table, row by row."""
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="universal")
    arguments.add_argument("--only", default="", help="part of the images' names")
    arguments.add_argument("--steps", type=int, nargs="+", default=STEPS)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument(
        "--preset", choices=("paper-fast", *MEASURING), default="paper-fast"
    )
    args = arguments.parse_args()
    rivals = {
        args.weights: args.weights,
        "authors": data_folder() / "weights" / OFFICIAL,
    }
    print("| image | weights | " + " | ".join(map(str, args.steps)) + " |")
    print("|" + "---|" * (2 + len(args.steps)))
    means: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in rivals}
    for scene in FMD_SCENES:
        if args.only not in scene:
            continue
        noisy, truth = fmd_pair(scene)
        for name, weights in rivals.items():
            runs = [_scores(noisy, truth, scene, weights, s, args) for s in args.seeds]
            scores = np.mean(runs, axis=0).tolist()  # (steps, 2)
            means[name].append(scores)
            _print_row(scene, name, scores)
    for name, found in means.items():
        _print_row("**mean**", name, np.mean(found, axis=0))


def _scores(
    noisy: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    scene: str,
    weights: str | Path,
    seed: int,
    args: argparse.Namespace,
) -> list[tuple[float, float]]:
    """Return PSNR and SSIM of one image after each number of iterations."""
    options = {"weights": weights, "device": args.device, "seed": seed}
    if args.preset in MEASURING:
        images = (
            denoise(noisy, preset=args.preset, n_iter=steps, **options).image
            for steps in args.steps
        )
        return [score(image / 255, truth / 255) for image in images]
    run = iter_denoise(
        noisy,
        preset=args.preset,
        n_iter=max(args.steps),
        mask_ratio=0.93 if "WideField" in scene else 0.45,
        scaling="percentile",
        **options,
    )
    return [
        score(run.result().image / 255, truth / 255)
        for progress in run
        if progress.step in args.steps
    ]


def _print_row(image: str, weights: str, scores: Iterable[Iterable[float]]) -> None:
    cells = ["{:.2f}/{:.3f}".format(*pair) for pair in scores]
    print(f"| {image} | {weights} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
