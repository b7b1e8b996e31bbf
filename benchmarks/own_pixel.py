"""Print how far the pixels' own values help, on synthetic images with known truth.

    python -m benchmarks.own_pixel

`combine_with_input` of `napari_mpi.analysis.noisy_values` takes the error of a
prediction to be a multiple of its spread. Each row is an image, each column a multiple;
0 is the blind prediction.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio

from benchmarks._data import parser
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.noisy_values import (
    _ERROR_PER_SPREAD,
    combine_with_input,
    error_variance,
)
from napari_mpi.arrays.intensity import Scaling
from napari_mpi.config import PRESETS
from napari_mpi.engine.adapt import Adaptation
from napari_mpi.engine.crops import cut_crops, hold_out
from napari_mpi.engine.devices import resolve_device
from napari_mpi.engine.passes import Passes
from napari_mpi.engine.predictor import Predictor
from napari_mpi.training.simulated_noise import add_camera_noise
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.loading import load_weights

MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def main() -> None:
    """Print the table; the factor in the code is divided out."""
    args = parser(__doc__).parse_args()
    print("| image | noisy | " + " | ".join(f"{m:g}" for m in MULTIPLES) + " |")
    print("|---|---|" + "---|" * len(MULTIPLES))
    table, config = [], PRESETS["auto"]
    for seed in range(101, 107):
        rng = np.random.default_rng(seed)
        clean = fluorescence_image((128, 128), rng)
        photons = 20.0 if seed % 2 else 100.0
        noisy, truth = add_camera_noise(clean, rng, photons=photons)
        scaling = Scaling.fit(noisy, "percentile")
        scaled = scaling.apply(noisy)[None]
        device = resolve_device(args.device)
        rng = np.random.default_rng(0)
        held_out = hold_out(scaled.shape, rng)
        crops = cut_crops(scaled, held_out, config.crop_size, config.n_iter, rng)
        network = load_weights("universal").build()
        adaptation = Adaptation(crops, network, config, seed=0, device=device)
        for _ in adaptation:
            pass
        predictor = Predictor(network, config, device)
        passes = Passes(
            torch.from_numpy(scaled), predictor, adaptation.states, config, seed=0
        )
        for _ in passes:
            pass
        estimate = scaling.invert(passes.estimate.cpu().numpy())
        spread = passes.spread.cpu().double().numpy() * scaling.gain**2
        noise = estimate_noise(noisy)
        row = [noisy.astype(float)]
        row += [
            combine_with_input(
                noisy[None],
                estimate,
                error_variance(spread) * multiple / _ERROR_PER_SPREAD,
                noise.variance(estimate),
            )[0]
            for multiple in MULTIPLES
        ]
        extent = float(np.ptp(truth))
        table.append(
            [peak_signal_noise_ratio(truth, image, data_range=extent) for image in row]
        )
        print(f"| {seed} | " + " | ".join(f"{v:.2f}" for v in table[-1]) + " |")
    print("| mean | " + " | ".join(f"{v:.2f}" for v in np.mean(table, axis=0)) + " |")


if __name__ == "__main__":
    main()
