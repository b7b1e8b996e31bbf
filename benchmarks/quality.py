"""Print PSNR and SSIM of the presets, and of other denoisers, on images with truth.

    python -m benchmarks.quality                      # FMD crops, with "official"
    python -m benchmarks.quality --data kodak --methods auto paper-fast
    python -m benchmarks.quality --peers              # needs `pip install bm3d`
    python -m benchmarks.quality --peers CAREamics    # needs `pip install careamics`

FMD and timelapse images carry real or simulated microscope noise and are scored as
8-bit values / 255; the timelapse after a fit of gain and offset, as its noisy images
have another offset than the truth. Kodak photographs get synthetic noise: Gaussian of
σ 25 / 255, Poisson of 30 photons at white, a noise level function (Poisson of gain 0.02
and Gaussian of σ 10 / 255), speckle (multiplicative Gaussian of σ 0.2) and
salt-and-pepper (5 % of the values). "weak" are the same photographs with Gaussian
noise of σ 5 and 10 / 255, rounded to 8 bits. "stains" is an RGB image whose colours are
three of the FMD scenes. "official" is `paper-fast` from the weights of the
MPI authors, with the noise kind that the paper takes for such images, and
"official-paper" is `paper` from the same. "CAREamics" trains Noise2Void on the one
noisy image, which a crop of 256x256 pixels makes one batch an epoch, for 1,000 epochs.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.restoration import calibrate_denoiser, denoise_nl_means, estimate_sigma

from benchmarks._data import FMD_SCENES, data_folder, fmd_pair, kodak, parser, score
from napari_mpi import denoise
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.config import MEASURING

OFFICIAL = {
    "correlated": "imgnet_80_95_singlechannel_skip.pth",
    "independent": "imgnet_30_multchannel_skip.pth",
}
AUTHORS = {"official": "paper-fast", "official-paper": "paper"}
STAINS = ("Confocal_BPAE_R", "Confocal_FISH", "Confocal_BPAE_B")
KODAK = ("kodim03", "kodim08", "kodim19")
Image = NDArray
# Name, noisy image, truth within 0 to 1, noise kind for the paper's presets, and how a
# result becomes comparable with the truth.
Case = tuple[str, Image, Image, str, Callable[[Image], Image]]


def add_noise(clean: Image, kind: str, rng: np.random.Generator) -> Image:
    """Return a photograph with values 0 to 1 with synthetic noise of a kind."""
    normal = rng.standard_normal(clean.shape)
    if kind == "gaussian":
        return clean + 25 / 255 * normal
    if kind == "poisson":
        return rng.poisson(clean * 30) / 30
    if kind == "nlf":
        return rng.poisson(clean / 0.02) * 0.02 + 10 / 255 * normal
    if kind == "speckle":
        return clean * (1 + 0.2 * normal)
    hit = rng.random(clean.shape)
    return np.where(hit < 0.025, 0.0, np.where(hit > 0.975, 1.0, clean))


NOISES = ("gaussian", "poisson", "nlf", "speckle", "salt-and-pepper")


def cases(data: str, crop: int | None, realisation: int, seed: int) -> Iterator[Case]:
    """Yield the images of a data set."""
    if data == "fmd":
        for scene in FMD_SCENES:
            noisy, truth = fmd_pair(scene, realisation, crop)
            name = f"{scene}_{realisation}"
            yield name, noisy, truth / 255, "correlated", lambda image: image / 255
    elif data == "stains":
        noisy, truth = (
            np.stack(colours, axis=-1)
            for colours in zip(
                *(fmd_pair(scene, realisation, crop) for scene in STAINS), strict=True
            )
        )
        yield "stains", noisy, truth / 255, "correlated", lambda image: image / 255
    elif data == "timelapse":
        folder = data_folder() / "data" / "timelapse"
        noisy, truth = (
            tifffile.imread(folder / f"{name}.tif")[:, :crop, :crop]
            for name in ("noisy", "gt")
        )
        for frame in (0, 5, 9):
            target = truth[frame] / 255

            def fitted(image: Image, target: Image = target) -> Image:
                slope, offset = np.polyfit(image.ravel(), target.ravel(), 1)
                return slope * image + offset

            yield f"timelapse {frame}", noisy[frame], target, "independent", fitted
    elif data == "weak":
        for name in KODAK:
            clean = kodak(name, crop)
            for sigma in (5, 10):
                normal = np.random.default_rng(seed).standard_normal(clean.shape)
                noisy = np.clip(np.round(255 * clean + sigma * normal), 0, 255)
                noisy = noisy.astype(np.uint8)
                title = f"{name} sigma {sigma}"
                yield title, noisy, clean, "independent", lambda image: image / 255
    else:
        for name in KODAK:
            clean = kodak(name, crop)
            for kind in NOISES:
                noisy = add_noise(clean, kind, np.random.default_rng(seed))
                noisy = noisy.astype(np.float32)
                yield f"{name} {kind}", noisy, clean, "independent", np.asarray


def ours(method: str, noisy: Image, noise: str, seed: int, args: Namespace) -> Image:
    """Denoise with a preset, or with the authors' weights."""
    rgb = noisy.ndim == 3
    # Photographs already lie within 0 to 1, which the paper's presets take as it is.
    scaling = "none" if rgb and method not in MEASURING else None
    settings = {"device": args.device, "seed": seed, "rgb": rgb, "scaling": scaling}
    if method in AUTHORS:
        weights = data_folder() / "weights" / OFFICIAL[noise]
        settings |= {"preset": AUTHORS[method], "noise": noise, "weights": weights}
    elif method in MEASURING:
        settings |= {"preset": method, "weights": args.weights, "n_iter": args.n_iter}
    else:
        settings |= {"preset": method, "noise": noise, "weights": args.weights}
    return denoise(noisy, **settings).image


def non_local_means(noisy: Image) -> Image:
    """Return scikit-image's non-local means with its own estimate of the noise."""
    image = noisy.astype(float)
    axis = -1 if image.ndim == 3 else None
    sigma = estimate_sigma(image, average_sigmas=True, channel_axis=axis)
    return denoise_nl_means(
        image, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=axis
    )


def j_invariant(noisy: Image) -> Image:
    """Return non-local means with its strength calibrated without truth."""
    image = noisy.astype(float)
    axis = -1 if image.ndim == 3 else None
    sigma = estimate_sigma(image, average_sigmas=True, channel_axis=axis)
    calibrated = calibrate_denoiser(
        image,
        denoise_nl_means,
        {
            "h": list(sigma * np.array([0.5, 0.8, 1.2])),
            "sigma": [0, sigma],
            "channel_axis": [axis],
        },
    )
    return calibrated(image)


def bm3d(noisy: Image) -> Image:
    """Return BM3D with the standard deviation that `estimate_noise` finds."""
    from bm3d import bm3d as run
    from bm3d import bm3d_rgb as run_rgb

    image = noisy.astype(float)
    if image.ndim == 2:
        return run(image, estimate_noise(image).rms)
    return run_rgb(image, estimate_noise(np.moveaxis(image, -1, 0)).rms)


def careamics(noisy: Image) -> Image:
    """Return what CAREamics' Noise2Void makes of the image, trained on it alone."""
    from careamics import CAREamist
    from careamics.config import create_n2v_config

    image = noisy.astype(np.float32)
    colours = {} if image.ndim == 2 else {"n_channels": image.shape[2]}
    config = create_n2v_config(
        "benchmark",
        data_type="array",
        axes="YXC" if colours else "YX",
        patch_size=[64, 64],
        batch_size=16,
        num_epochs=1000,
        **colours,
    )
    with tempfile.TemporaryDirectory() as folder:
        trained = CAREamist(config, work_dir=folder, enable_progress_bar=False)
        trained.train(train_data=image)
        predicted, _ = trained.predict(image)
    return np.asarray(predicted[0]).reshape(image.shape)


PEERS = {
    "non-local means": non_local_means,
    "J-invariant": j_invariant,
    "BM3D": bm3d,
    "CAREamics": careamics,
}
QUICK_PEERS = ["non-local means", "J-invariant", "BM3D"]


def main() -> None:
    """Print the table, row by row."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--data",
        nargs="+",
        default=["fmd"],
        choices=["fmd", "stains", "timelapse", "kodak", "weak"],
    )
    arguments.add_argument(
        "--methods",
        nargs="*",
        default=["paper-fast", "official", "auto"],
        choices=["paper-fast", "paper", *AUTHORS, "auto", "fast"],
    )
    arguments.add_argument("--only", default="", help="part of the images' names")
    arguments.add_argument("--crop", type=int, default=256, help="0 for whole images")
    arguments.add_argument("--realisation", type=int, default=1, choices=[1, 2])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--weights", default="universal", help="of the presets")
    arguments.add_argument("--n-iter", type=int, help="of auto and fast")
    arguments.add_argument("--peers", nargs="*", choices=PEERS, help="of other makers")
    args = arguments.parse_args()
    named = (args.peers or QUICK_PEERS) if args.peers is not None else []
    peers = {name: PEERS[name] for name in named}
    columns = ["noisy", *args.methods, *peers]
    print("| image | " + " | ".join(columns) + " |")
    print("|" + "---|" * (len(columns) + 1))
    table = []
    for data in args.data:
        for case in cases(data, args.crop or None, args.realisation, args.seeds[0]):
            name, noisy, truth, noise, comparable = case
            if args.only not in name:
                continue
            row = [(*score(comparable(noisy), truth), 0.0)]
            for method in args.methods:
                started, scores = time.perf_counter(), []
                for seed in args.seeds:
                    image = ours(method, noisy, noise, seed, args)
                    scores.append(score(comparable(image), truth))
                seconds = (time.perf_counter() - started) / len(args.seeds)
                row.append((*np.mean(scores, axis=0), seconds))
            for peer in peers.values():
                started = time.perf_counter()
                image = peer(noisy)
                row.append(
                    (*score(comparable(image), truth), time.perf_counter() - started)
                )
            table.append(row)
            print(f"| {name} | " + " | ".join(map(_cell, row)) + " |", flush=True)
    if table:
        means = np.mean(table, axis=0)
        print("| **mean** | " + " | ".join(map(_cell, means)) + " |")


def _cell(values: tuple[float, float, float]) -> str:
    psnr, ssim, seconds = values
    return f"{psnr:.2f}/{ssim:.3f}" + (f" ({seconds:.0f} s)" if seconds else "")


if __name__ == "__main__":
    main()
