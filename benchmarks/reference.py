"""Compare `paper-fast` with the figures of the authors' own code.

    python -m benchmarks.reference

The reference column was measured with the authors' network, weights and loop at the
same settings: 256x256 top-left crops, 200 iterations, averaging 0.9, float32.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks._data import FMD_SCENES, data_folder, fmd_pair, kodak, parser, score
from napari_mpi import denoise

FMD_REFERENCE = {
    "Confocal_BPAE_B": (40.39, 0.972),
    "Confocal_BPAE_R": (33.60, 0.866),
    "Confocal_FISH": (31.23, 0.868),
    "TwoPhoton_BPAE_R": (37.20, 0.887),
    "TwoPhoton_MICE": (33.88, 0.923),
    "WideField_BPAE_G": (31.73, 0.744),
}
KODAK_REFERENCE = {"kodim03": (33.09, 0.902), "kodim19": (34.17, 0.887)}
CORRELATED = "imgnet_80_95_singlechannel_skip.pth"
INDEPENDENT = "imgnet_30_multchannel_skip.pth"


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--precision", default="mixed")
    args = arguments.parse_args()
    weights = data_folder() / "weights"
    print("| image | noisy | ours | authors' code | difference | seconds |")
    print("|---|---|---|---|---|---|")

    def row(name, noisy, truth, reference, **settings) -> float:
        started = time.perf_counter()
        image = denoise(
            noisy,
            preset="paper-fast",
            device=args.device,
            seed=args.seed,
            precision=args.precision,
            **settings,
        ).image
        seconds = time.perf_counter() - started
        scale = 255 if noisy.dtype == np.uint8 else 1
        before, after = score(noisy / scale, truth), score(image / scale, truth)
        difference = after[0] - reference[0]
        pairs = [f"{psnr:.2f}/{ssim:.3f}" for psnr, ssim in (before, after, reference)]
        print(
            f"| {name} | {' | '.join(pairs)} | {difference:+.2f} | {seconds:.0f} |",
            flush=True,
        )
        return difference

    differences = []
    for scene in FMD_SCENES:
        noisy, truth = fmd_pair(scene)
        differences.append(
            row(
                f"{scene}_1",
                noisy,
                truth / 255,
                FMD_REFERENCE[scene],
                weights=weights / CORRELATED,
                noise="correlated",
            )
        )
    print(f"| **mean** | | | | {np.mean(differences):+.2f} | |", flush=True)
    for name, reference in KODAK_REFERENCE.items():
        truth = kodak(name)
        normal = np.random.default_rng(0).standard_normal(truth.shape)
        noisy = truth + 25 / 255 * normal
        row(
            f"{name}, Gaussian σ 25",
            noisy,
            truth,
            reference,
            weights=weights / INDEPENDENT,
            noise="independent",
            rgb=True,
            scaling="none",
        )


if __name__ == "__main__":
    main()
