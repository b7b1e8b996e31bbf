"""Print how soon weights come to a good estimate, beside the authors' weights.

    python -m benchmarks.weights                       # the bundled ones
    python -m benchmarks.weights --weights lab.safetensors --only Confocal
    python -m benchmarks.weights --steps 50 150 --seeds 0 1 2

Each row is the mean of runs, one a seed, of the loop of `paper-fast` over an FMD crop,
with percentile scaling and a mask ratio of 0.45, of 0.93 for the wide-field image,
looked at after so many iterations: PSNR in dB / SSIM.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks._data import FMD_SCENES, data_folder, fmd_pair, parser, score
from napari_mpi import iter_denoise

STEPS = (10, 20, 30, 50, 100, 150, 200)
OFFICIAL = "imgnet_80_95_singlechannel_skip.pth"


def main() -> None:
    """Print the table, row by row."""
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="universal")
    arguments.add_argument("--only", default="", help="part of the images' names")
    arguments.add_argument("--steps", type=int, nargs="+", default=STEPS)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
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
            runs = []
            for seed in args.seeds:
                run = iter_denoise(
                    noisy,
                    preset="paper-fast",
                    n_iter=max(args.steps),
                    mask_ratio=0.93 if "WideField" in scene else 0.45,
                    scaling="percentile",
                    weights=weights,
                    device=args.device,
                    seed=seed,
                )
                runs.append(
                    [
                        score(run.result().image / 255, truth / 255)
                        for progress in run
                        if progress.step in args.steps
                    ]
                )
            scores = np.mean(runs, axis=0).tolist()  # (steps, 2)
            means[name].append(scores)
            _print_row(scene, name, scores)
    for name, found in means.items():
        _print_row("**mean**", name, np.mean(found, axis=0))


def _print_row(image: str, weights: str, scores: Iterable[Iterable[float]]) -> None:
    cells = ["{:.2f}/{:.3f}".format(*pair) for pair in scores]
    print(f"| {image} | {weights} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
