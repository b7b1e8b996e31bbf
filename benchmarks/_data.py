"""Where the benchmark images lie, and how results are scored."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

FMD_SCENES = (
    "Confocal_BPAE_B",
    "Confocal_BPAE_R",
    "Confocal_FISH",
    "TwoPhoton_BPAE_R",
    "TwoPhoton_MICE",
    "WideField_BPAE_G",
)


def data_folder() -> Path:
    """Return the folder with `data` and `weights` in it.

    The environment variable NAPARI_MPI_DATA names it; without it, `shared` beside the
    project is taken.
    """
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("NAPARI_MPI_DATA", default))
    if not (folder / "data" / "fmd").is_dir():
        raise SystemExit(
            f"No benchmark images in {folder}: set NAPARI_MPI_DATA to a folder that is "
            "laid out as benchmarks/README.md says."
        )
    return folder


def fmd_pair(
    scene: str, realisation: int = 1, crop: int | None = 256
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a noisy FMD image and its truth, the top-left crop of both."""
    folder = data_folder() / "data" / "fmd"
    noisy = iio.imread(folder / "raw" / f"{scene}_{realisation}.png")
    truth = iio.imread(folder / "gt" / f"{scene}.png")
    return noisy[:crop, :crop], truth[:crop, :crop]


def kodak(name: str, crop: int | None = 256) -> NDArray[np.float64]:
    """Return a clean Kodak image with values 0 to 1, the top-left crop."""
    image = iio.imread(data_folder() / "data" / "kodak" / f"{name}.png")
    return image[:crop, :crop] / 255


def score(image: NDArray, truth: NDArray) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of values 0 to 1, clipped, colour in the last axis."""
    image = np.clip(image, 0, 1)
    channel_axis = -1 if truth.ndim == 3 else None
    psnr = peak_signal_noise_ratio(truth, image, data_range=1)
    ssim = structural_similarity(truth, image, data_range=1, channel_axis=channel_axis)
    return float(psnr), float(ssim)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser that knows `--device`."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--device", default="cpu")
    return result
