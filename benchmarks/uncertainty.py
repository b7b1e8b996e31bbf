"""Print how well the uncertainty tells the error, on images with known truth.

    python -m benchmarks.uncertainty

Rank correlation: Spearman's, of the uncertainty and the absolute error over all pixels;
above 0, the error is larger where the uncertainty is. A perfect standard error does not
reach 1, as chance decides how much of it shows in a pixel. The other columns are the
root mean square of the error over that of the uncertainty, for all pixels and for the
fifth with the lowest and the highest uncertainty; 1 is right, more is too certain.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from benchmarks._data import parser
from napari_mpi import denoise
from napari_mpi.training.simulated_noise import add_camera_noise
from napari_mpi.training.synthetic import fluorescence_image

METHODS = {
    "auto": {"preset": "auto"},
    "fast": {"preset": "fast"},
    "auto, correlated": {"preset": "auto", "noise": "correlated"},
    "paper-fast": {"preset": "paper-fast", "noise": "independent"},
}


def main() -> None:
    """Print the table."""
    args = parser(__doc__).parse_args()
    print("| method | rank correlation | all | least uncertain | most uncertain |")
    print("|---|---|---|---|---|")
    for name, options in METHODS.items():
        rows = [_measure(seed, args.device, options) for seed in range(101, 107)]
        figures = " | ".join(
            f"{mean:.2f} ({low:.2f} to {high:.2f})"
            for mean, low, high in zip(
                np.mean(rows, axis=0), np.min(rows, axis=0), np.max(rows, axis=0),
                strict=True,
            )
        )  # fmt: skip
        print(f"| {name} | {figures} |", flush=True)


def _measure(seed: int, device: str, options: dict[str, str]) -> list[float]:
    rng = np.random.default_rng(seed)
    clean = fluorescence_image((128, 128), rng)
    photons = 20.0 if seed % 2 else 100.0
    noisy, truth = add_camera_noise(clean, rng, photons=photons)
    if options.get("noise") == "correlated":
        noise = noisy - truth
        shared = gaussian_filter(noise, 0.7)
        noisy = truth + shared * noise.std() / shared.std()
    result = denoise(noisy, device=device, uncertainty=True, **options)
    error = np.abs(result.image - truth).ravel()
    uncertainty = result.uncertainty.ravel().astype(float)
    fifths = np.array_split(np.argsort(uncertainty), 5)
    return [
        float(spearmanr(error, uncertainty)[0]),
        *(
            float(np.sqrt((error[part] ** 2).mean() / (uncertainty[part] ** 2).mean()))
            for part in (slice(None), fifths[0], fifths[-1])
        ),
    ]


if __name__ == "__main__":
    main()
