"""Print how much of the light of small spots is left, by their brightness.

    python -m benchmarks.spots

Spots of 3 pixels' width (a Gaussian with σ of 1.3 pixels) lie at random places of a dim
background, with the noise of photons and of reading: 5 photons in the background and a
reading noise of 1.5. A spot's light is summed within 4 pixels of its middle, less what
lies around it, and divided by that of the truth. The noisy image itself has a mean of
1 by this measure, and scatters. "noise" is the height of the spot over the noise at its
top.
"""

from __future__ import annotations

import numpy as np

from benchmarks._data import parser
from napari_mpi import denoise

SIDE = 256
SIGMA = 1.3
BACKGROUND = 5.0
READING = 1.5
HEIGHTS = (10, 20, 40, 80)
N_SPOTS = 90
APART = 18  # pixels

Spot = tuple[float, float, int]


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, list[Spot]]:
    """Return the clean and the noisy image, and row, column and height of each spot."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    clean, spots = np.full((SIDE, SIDE), BACKGROUND), list[Spot]()
    for row, column in rng.uniform(12, SIDE - 12, (N_SPOTS, 2)):
        if all(np.hypot(row - y, column - x) > APART for y, x, _ in spots):
            height = HEIGHTS[len(spots) % len(HEIGHTS)]
            squared = (rows - row) ** 2 + (columns - column) ** 2
            clean += height * np.exp(-squared / (2 * SIGMA**2))
            spots.append((row, column, height))
    noisy = rng.poisson(clean) + rng.normal(0, READING, clean.shape)
    return clean, noisy, spots


def light(image: np.ndarray, spot: Spot) -> float:
    """Return the light of a spot over what surrounds it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - spot[0], columns - spot[1])
    inside, around = distance < 4, (distance > 6) & (distance < 9)
    return float((image[inside] - np.median(image[around])).sum())


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--presets", nargs="+", default=["fast"])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = arguments.parse_args()
    methods = {"noisy": {}}
    for preset in args.presets:
        methods[preset] = {"preset": preset}
        methods[f"{preset}, wiener=False"] = {"preset": preset, "wiener": False}
    shares = {(name, height): list[float]() for name in methods for height in HEIGHTS}
    errors = {name: list[float]() for name in methods}
    for seed in args.seeds:
        clean, noisy, spots = scene(seed)
        for name, settings in methods.items():
            image = noisy
            if settings:
                image = denoise(noisy, seed=seed, device=args.device, **settings).image
            errors[name].append(float(np.sqrt(np.mean((image - clean) ** 2))))
            for spot in spots:
                shares[name, spot[2]].append(light(image, spot) / light(clean, spot))
    print("| height | noise | " + " | ".join(methods) + " |")
    print("|" + "---|" * (len(methods) + 2))
    for height in HEIGHTS:
        noise = height / np.sqrt(BACKGROUND + height + READING**2)
        cells = [
            f"{np.mean(found):.2f} ± {np.std(found):.2f}"
            for found in (shares[name, height] for name in methods)
        ]
        print(f"| {height} | {noise:.1f} | " + " | ".join(cells) + " |")
    cells = [f"{np.mean(errors[name]):.2f}" for name in methods]
    print("| error of all pixels | | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
