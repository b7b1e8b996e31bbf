"""Print PSNR on images with hardly a flat place: textures, and small structures.

    python -m benchmarks.kinds                        # needs `pip install bm3d`

256x256 pieces of images that come with scikit-image, scaled to their 0.1 and 99.9
percentiles, and drawn ones: 250 bars of 12 by 4 pixels, as bacteria are, and 500 spots
of 2, all blurred by a Gaussian of 0.9 pixels. They have noise of σ 0.02, 0.05 or 0.1,
photon noise of 10 or 100 photons at white and reading noise of 1, noise of σ 0.08 that
a Gaussian of 0.7 pixels blurs, and noise of σ 0.08 of which rows have three tenths of
the variance in common; counts of one photon at white and none of reading noise, speckle
of four looks, and noise of σ 0.02 on the left that grows to 0.15 on the right, as after
a correction of strong shading; noise of σ 0.05, cut off at 0 and 1.3, below salt and
pepper in 5 % of pixels; and the root of the squared image with noise of σ 0.08, as
after a camera's gamma correction; and noise of σ 0.08 that is blurred along X only, by
0.8 pixels, as by a fast scanner.
"BM3D" is told the true strength of the noise, as if it were Gaussian and independent.
"""

from __future__ import annotations

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks._data import parser
from napari_mpi import denoise

# Number of structures, and half of their length and width in pixels.
DRAWN = {"bars": (250, 6.0, 1.8), "spots": (500, 1.0, 1.0)}
NAMES = ("brick", "cell", "coins", "grass", "gravel", "moon", *DRAWN)
NOISES = (
    "gaussian 0.02",
    "gaussian 0.05",
    "gaussian 0.1",
    "poisson 10",
    "poisson 100",
    "blurred",
    "rows",
    "counts 1",
    "speckle 4",
    "shaded",
    "salt 5",
    "root 0.08",
    "scanned",
)
Image = NDArray[np.float64]


def piece(name: str) -> Image:
    """Return a part of an image, with values of about 0 to 1."""
    if name in DRAWN:
        return drawn(*DRAWN[name])
    image = getattr(skimage.data, name)()[100:356, 20:276].astype(float)
    low, high = np.percentile(image, (0.1, 99.9))
    return np.clip((image - low) / (high - low), 0, 1.3)


def drawn(number: int, half_length: float, half_width: float) -> Image:
    """Draw bright bars at random places, each in a direction and light of its own."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:256, :256]
    image = np.zeros((256, 256))
    for _ in range(number):
        row, column = rng.uniform(0, 256, 2)
        angle = rng.uniform(0, np.pi)
        along = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
        across = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)
        inside = (np.abs(along) < half_length) & (np.abs(across) < half_width)
        image = np.maximum(image, inside * rng.uniform(0.5, 1))
    image = 0.03 + ndimage.gaussian_filter(image, 0.9)
    return image / np.percentile(image, 99.9)


def add_noise(clean: Image, kind: str, rng: np.random.Generator) -> Image:
    """Return the image with noise of a kind."""
    normal = rng.standard_normal(clean.shape)
    name, _, strength = kind.partition(" ")
    if name == "gaussian":
        return clean + float(strength) * normal
    if name == "poisson":
        photons = float(strength)
        return (rng.poisson(clean * photons) + normal) / photons
    if name == "counts":
        return rng.poisson(clean * float(strength)) / float(strength)
    if name == "speckle":
        looks = float(strength)
        return clean * rng.gamma(looks, 1 / looks, clean.shape)
    if name == "salt":
        share, drawn = float(strength) / 200, rng.random(clean.shape)
        salted = np.where(drawn > 1 - share, 1.3, clean + 0.05 * normal)
        return np.where(drawn < share, 0.0, np.clip(salted, 0.0, 1.3))
    if name == "root":
        return np.sqrt(np.maximum(clean**2 + float(strength) * normal, 0))
    if name == "shaded":
        return clean + np.linspace(0.02, 0.15, clean.shape[1]) * normal
    if name == "blurred":
        blurred = ndimage.gaussian_filter(normal, 0.7, mode="wrap")
        return clean + 0.08 * blurred / blurred.std()
    if name == "scanned":
        blurred = ndimage.gaussian_filter1d(normal, 0.8, axis=1, mode="wrap")
        return clean + 0.08 * blurred / blurred.std()
    rows = rng.standard_normal((len(clean), 1))
    return clean + 0.08 * (np.sqrt(0.7) * normal + np.sqrt(0.3) * rows)


def main() -> None:
    """Print the table, row by row."""
    arguments = parser(__doc__)
    arguments.add_argument("--methods", nargs="+", default=["auto", "fast"])
    arguments.add_argument("--only", default="", help="part of name and noise")
    args = arguments.parse_args()
    try:
        from bm3d import bm3d
    except ImportError:
        raise SystemExit("BM3D is compared with: `pip install bm3d` first.") from None
    columns = ["noisy", *args.methods, "BM3D"]
    print("| image | " + " | ".join(columns) + " |")
    print("|" + "---|" * (len(columns) + 1))
    table = []
    for name in NAMES:
        clean = piece(name)
        for kind in NOISES:
            if args.only not in f"{name} {kind}":
                continue
            noisy = add_noise(clean, kind, np.random.default_rng(5)).astype(np.float32)
            images = [noisy]
            images += [
                denoise(noisy, preset=method, device=args.device).image
                for method in args.methods
            ]
            images.append(bm3d(noisy.astype(float), (noisy - clean).std()))
            errors = [np.square(image - clean).mean() for image in images]
            table.append(-10 * np.log10(errors))
            print(f"| {name}, {kind} | {_cells(table[-1])} |", flush=True)
    print(f"| **mean** | {_cells(np.mean(table, axis=0))} |")


def _cells(values: NDArray[np.float64]) -> str:
    return " | ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    main()
