"""Print what planes of a stack tell of each other, on stacks with known truth.

    python -m benchmarks.stacks [--peers]             # peers: `pip install bm4d`

"two frames" are the two noisy images of a scene of FMD, whose noise is real. "flow" is
a real time lapse, whose truth is a longer exposure. In the others the noise is made:
photons (60 at white) and reading noise (1.5), on five frames of an FMD truth. These are
the same five times ("still"), move by 1.5 and 3.7 pixels a frame ("drift"), fade by a
tenth a frame ("fading"), have 16 spots that light up in each frame only ("flashes"),
hold a region that is brighter in the middle frame by three tenths ("pulse"), are in
focus in the middle and blurred by a pixel more in each frame from there ("focus"), are
the same with noise that a Gaussian of 0.7 pixels blurs and that is as strong
("blurred"), or show five different scenes ("unlike"). "synthetic" are slices of a
specimen that is made up.

PSNR is that of the middle plane after a fit of gain and offset, over the truth's range.
"light" is what is left of the light of the flashes. "BM4D" is told the true strength of
the noise, as if it were Gaussian; it takes four planes at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks._data import FMD_SCENES, data_folder, fmd_pair, parser
from napari_mpi import denoise
from napari_mpi.training.simulated_noise import add_camera_noise
from napari_mpi.training.synthetic import fluorescence_stack

SIDE, N_FRAMES = 192, 5
PHOTONS, OFFSET, GAIN = 60, 200, 8  # at white; of the camera, counts a photon
SCENES = ("Confocal_BPAE_R", "TwoPhoton_MICE", "Confocal_FISH")
KINDS = (
    "still",
    "drift 1.5",
    "drift 3.7",
    "fading",
    "flashes",
    "pulse",
    "focus",
    "blurred",
)
Image = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A stack, its truth, and spots that light up in one plane."""

    noisy: NDArray
    truth: Image
    flashes: Image | None = None


def frames(scene: str, kind: str) -> tuple[Image, Image | None]:
    """Return frames without noise, and flashes in them."""
    whole = iio.imread(data_folder() / "data" / "fmd" / "gt" / f"{scene}.png")
    name, _, pixels = kind.partition(" ")
    step = float(pixels or 0)
    within = np.s_[100 : 100 + SIDE, 100 : 100 + SIDE]
    still = np.stack(
        [
            ndimage.shift(whole.astype(float), (step * n, 0.6 * step * n))[within]
            for n in range(N_FRAMES)
        ]
    ).clip(0)
    rng = np.random.default_rng(0)
    if name == "fading":
        return still * 0.9 ** np.arange(N_FRAMES)[:, None, None], None
    if name == "pulse":
        region = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12)
        still[N_FRAMES // 2] *= 1 + 0.3 * (region > np.quantile(region, 0.7))
    if name == "focus":
        for number, frame in enumerate(still):
            frame[:] = ndimage.gaussian_filter(frame, abs(number - N_FRAMES // 2))
    if name != "flashes":
        return still, None
    flashes = np.zeros_like(still)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for frame in flashes:
        for row, column, height in rng.uniform((10, 10, 12), (182, 182, 40), (16, 3)):
            squared = (rows - row) ** 2 + (columns - column) ** 2
            frame += height * np.exp(-squared / (2 * 1.5**2))
    return 0.4 * still + 20 + flashes, flashes


def with_noise(clean: Image, blurred: bool = False) -> NDArray[np.uint16]:
    """Return counts of a camera."""
    rng = np.random.default_rng(1)
    light = clean * PHOTONS / 255
    noise = rng.poisson(light) - light + rng.normal(0, 1.5, clean.shape)
    if blurred:
        strength = noise.std()
        noise = ndimage.gaussian_filter(noise, (0, 0.7, 0.7))
        noise *= strength / noise.std()
    return (OFFSET + GAIN * (light + noise)).clip(0).astype(np.uint16)


def cases(only: str) -> dict[str, Case]:
    """Return the stacks whose names hold a word."""
    found = {}
    for scene in FMD_SCENES:
        if only in (name := f"two frames, {scene}"):
            pairs = [fmd_pair(scene, number) for number in (1, 2)]
            noisy, truth = (np.stack(images) for images in zip(*pairs, strict=True))
            found[name] = Case(noisy, truth.astype(float))
    if only in "flow":
        folder, part = data_folder() / "data" / "timelapse", np.s_[:5, :SIDE, :SIDE]
        noisy, truth = (tifffile.imread(folder / f"{n}.tif") for n in ("noisy", "gt"))
        found["flow"] = Case(noisy[part], truth[part].astype(float))
    for kind in KINDS:
        for scene in SCENES:
            if only in (name := f"{kind}, {scene}"):
                clean, flashes = frames(scene, kind)
                found[name] = Case(with_noise(clean, kind == "blurred"), clean, flashes)
    if only in "unlike":
        clean = np.stack([frames(scene, "still")[0][0] for scene in FMD_SCENES[:5]])
        found["unlike"] = Case(with_noise(clean), clean)
    for seed in (0, 1):
        if only in (name := f"synthetic {seed}"):
            rng = np.random.default_rng([77, seed])
            clean = fluorescence_stack(N_FRAMES, (SIDE, SIDE), rng)
            noisy, truth = add_camera_noise(clean, rng)
            found[name] = Case(noisy, truth.astype(float))
    return found


def fitted(image: NDArray, truth: Image) -> Image:
    """Return an image in the units of its truth."""
    gain, offset = np.polyfit(image.ravel().astype(float), truth.ravel(), 1)
    return gain * image + offset


def psnr(image: NDArray, truth: Image) -> float:
    """Return the PSNR over the truth's range."""
    error = np.mean((fitted(image, truth) - truth) ** 2)
    return float(10 * np.log10(np.ptp(truth) ** 2 / error))


def light(image: NDArray, truth: Image, flashes: Image) -> float:
    """Return the share of the flashes' light that is left."""
    counts = image.astype(float) - OFFSET
    without = counts / GAIN * 255 / PHOTONS - (truth - flashes)
    near = ndimage.binary_dilation(flashes > 2)
    return float(without[near].sum() / flashes[near].sum())


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--preset", default="fast")
    arguments.add_argument("--only", default="", help="part of the stacks' names")
    arguments.add_argument("--peers", action="store_true")
    args = arguments.parse_args()
    methods = ["noisy", "each by itself", "joined", *(["BM4D"] if args.peers else [])]
    print(f"| stack | {' | '.join(methods)} | planes joined |")
    print("|" + "---|" * (len(methods) + 2))
    rows = []
    for name, case in cases(args.only).items():
        noisy, middle = case.noisy, len(case.noisy) // 2
        settings = {"preset": args.preset, "device": args.device}
        alone, joined = (
            denoise(noisy, neighbours=number, **settings) for number in (0, 2)
        )
        results = [noisy, alone.image, joined.image]
        if args.peers:
            from bm4d import bm4d

            truth = fitted(case.truth[middle], noisy[middle].astype(float))
            strength = float(np.std(noisy[middle] - truth))
            if len(noisy) >= 4:
                results.append(bm4d(noisy.astype(float), strength))
        rows.append([psnr(image[middle], case.truth[middle]) for image in results])
        rows[-1] += [np.nan] * (len(methods) - len(results))
        cells = [f"{value:.2f}" for value in rows[-1]]
        if case.flashes is not None:
            for number, image in enumerate(results):
                kept = light(image[middle], case.truth[middle], case.flashes[middle])
                cells[number] += f" (light {kept:.2f})"
        print(
            f"| {name} | {' | '.join(cells)} | {joined.report['joined']} |", flush=True
        )
    # Of those that all methods can take.
    complete = [row for row in rows if not np.isnan(row).any()]
    means = " | ".join(f"{mean:.2f}" for mean in np.mean(complete, axis=0))
    print(f"| **mean of {len(complete)}** | {means} | |")


if __name__ == "__main__":
    main()
