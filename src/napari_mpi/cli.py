"""The command ``napari-mpi``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mpi.config import NOISE_KINDS, PRESETS, PretrainConfig
from napari_mpi.replay import COMMAND_SETTINGS

if TYPE_CHECKING:  # these load torch, which a quick `--help` does without
    from napari_mpi.files import ImageData
    from napari_mpi.pipeline import Denoised, Denoising

__all__ = ["main"]

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 means that all went well, 1 that something failed, 2 that the command was wrong,
    130 that it was stopped with Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    # A warning is one line for the reader, not a place in our source.
    warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
    try:
        code: int = args.run(args)
    except KeyboardInterrupt:
        _say("stopped. Finished files are complete; nothing half-written was left.")
        return EXIT_INTERRUPTED
    except (ValueError, TypeError, OSError, MemoryError) as error:
        _say(f"error: {_reason(error)}")
        return EXIT_FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-mpi",
        description="Remove the noise from microscopy images, with nothing but the "
        "noisy image.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    denoise = commands.add_parser("denoise", help="denoise image files")
    denoise.set_defaults(run=_denoise)
    denoise.add_argument(
        "inputs", nargs="+", type=Path, metavar="IN", help="a file, or a folder whose "
        "images are the planes of one stack"
    )  # fmt: skip
    denoise.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="folder for the results, or the name of the one result (.tif, .ome.tif)",
    )  # fmt: skip
    _add_fill_options(denoise)
    denoise.add_argument(
        "--noise-map", action="store_true", help="also write what was removed"
    )
    denoise.add_argument(
        "--forecast", action="store_true",
        help="only say how long each input will take, and how much memory",
    )  # fmt: skip

    demo = commands.add_parser(
        "demo", help="denoise a synthetic stack with known truth and show the gain"
    )
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "-o", "--output", type=Path, default=Path("napari-mpi-demo"), metavar="OUT"
    )
    demo.add_argument("--planes", type=int, default=3)
    demo.add_argument("--size", type=int, default=128, help="side in pixels")
    _add_fill_options(demo)

    info = commands.add_parser("info", help="show versions, devices and weights")
    info.set_defaults(run=_info)

    weights = commands.add_parser("weights", help="list, download or import weights")
    actions = weights.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser(
        "list", help="what is here, and what can be fetched"
    ).set_defaults(run=_weights_list)
    download = actions.add_parser("download", help="fetch weights by name")
    download.set_defaults(run=_weights_download)
    download.add_argument("name", metavar="NAME")
    importing = actions.add_parser("import", help="add a weights file of your own")
    importing.set_defaults(run=_weights_import)
    importing.add_argument("file", type=Path, metavar="FILE")
    facts = actions.add_parser("info", help="show what is known of some weights")
    facts.set_defaults(run=_weights_info)
    facts.add_argument("name", nargs="?", default="universal", metavar="NAME|FILE")

    pretrain = commands.add_parser(
        "pretrain", help="train weights on your own clean images"
    )
    pretrain.set_defaults(run=_pretrain)
    pretrain.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="folders of images"
    )
    pretrain.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.safetensors"
    )
    pretrain.add_argument(
        "--init", metavar="bundled|FILE", help="weights to start from"
    )
    budget = pretrain.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--steps", type=int)
    pretrain.add_argument(
        "--resume", type=Path, metavar="FILE", help="the .ckpt of an interrupted run"
    )
    pretrain.add_argument("--crop-size", type=int, default=64)
    pretrain.add_argument("--batch-size", type=int, default=16)
    pretrain.add_argument("--learning-rate", type=float, default=2e-3)
    pretrain.add_argument(
        "--synthetic", type=float, default=0.0, metavar="SHARE",
        help="share of procedural fluorescence images among the crops, 0 to 1",
    )  # fmt: skip
    pretrain.add_argument(
        "--noise", type=float, default=0.8, metavar="SHARE",
        help="share of crops that get simulated noise, 0 to 1 (default 0.8)",
    )  # fmt: skip
    pretrain.add_argument(
        "--rgb", action="store_true", help="train a network for RGB images"
    )
    pretrain.add_argument("--seed", type=int, default=0)
    pretrain.add_argument("--device", default="auto")
    return parser


def _add_fill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=PRESETS, default="auto")
    parser.add_argument(
        "--noise", choices=NOISE_KINDS,
        help="independent from pixel to pixel (photon noise), correlated, or "
        "strongly-correlated; without it, 'auto' measures the noise",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        default="bundled",
        metavar="NAME|FILE",
        help="a name that 'napari-mpi weights list' shows, .safetensors or .pth file",
    )
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument("--seed", type=int, default=0)
    expert = parser.add_argument_group("single settings, instead of the preset's")
    expert.add_argument("--n-iter", type=int, metavar="T")
    expert.add_argument("--n-passes", type=int, metavar="N")
    expert.add_argument(
        "--adapt-to", choices=("stack", "plane"),
        help="learn once from the whole stack (auto, fast), or from each plane",
    )  # fmt: skip
    expert.add_argument("--mask-ratio", type=float, metavar="P")
    expert.add_argument("--averaging", type=float, metavar="BETA")
    expert.add_argument("--learning-rate", type=float)
    expert.add_argument("--pixel-shuffle", type=int, metavar="D")
    expert.add_argument("--scaling", choices=("range", "percentile", "none"))
    expert.add_argument("--precision", choices=("auto", "float32", "bfloat16"))


def _fill_options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("preset", "noise", "weights", "device", "seed", *COMMAND_SETTINGS)
    return {name: getattr(args, name) for name in names}


def _denoise(args: argparse.Namespace) -> int:
    from napari_mpi.config import fill_config
    from napari_mpi.devices import resolve_device
    from napari_mpi.files import read_image
    from napari_mpi.pipeline import iter_denoise
    from napari_mpi.weights import load_weights

    # What is wrong for every file is said once, before the first one is touched.
    options = _fill_options(args)
    settings = {
        key: value
        for key, value in options.items()
        if key not in ("weights", "device", "seed")
    }
    fill_config(**settings)
    options["weights"] = load_weights(options["weights"])
    resolve_device(args.device)
    targets = _targets(args.inputs, args.output)
    failed = 0
    for source, target in targets.items():
        try:
            image = read_image(source)
            _require_fitting(target, image)
            run = iter_denoise(image.data, rgb=image.rgb, **options)
            if args.forecast:
                print(f"{source}: {run.forecast()}")
                continue
            result = _finish(run, source.name)
            _write_result(target, image, result, args.noise_map)
            _say_findings(source.name, result.report)
        except (ValueError, TypeError, OSError, MemoryError) as error:
            _say(f"error: {source}: {_reason(error)}")
            failed += 1
        else:
            print(target)
    if failed and len(targets) > 1:
        _say(f"{failed} of {len(targets)} inputs failed, see above.")
    return EXIT_FAILED if failed else 0


def _say_findings(name: str, report: dict[str, Any]) -> None:
    if report["choice"]:
        _say(f"{name}: {report['choice']}")
    for warning in (report["verdict"] or {"warnings": ()})["warnings"]:
        _say(f"{name}: {warning}")


def _targets(inputs: Iterable[Path], output: Path) -> dict[Path, Path]:
    """Return where each input's result goes, and make sure that it can go there."""
    from napari_mpi.files import stem_of

    sources = list(dict.fromkeys(inputs))
    if output.suffix.lower() in (".tif", ".tiff"):
        if len(sources) > 1:
            raise ValueError(
                f"{output} is one file, but there are {len(sources)} inputs: give a "
                "folder instead."
            )
        if output.resolve() == sources[0].resolve():
            raise ValueError(f"{output} is the input itself: choose another name.")
        output.parent.mkdir(parents=True, exist_ok=True)
        return {sources[0]: output}
    output.mkdir(parents=True, exist_ok=True)
    targets: dict[Path, Path] = {}
    for source in sources:
        stem = source.resolve().name if source.is_dir() else stem_of(source)
        target = output / f"{stem}_denoised.ome.tif"
        clash = [old for old, taken in targets.items() if taken == target]
        if clash:
            raise ValueError(
                f"{clash[0]} and {source} would both be written to {target}: denoise "
                "them into different folders."
            )
        targets[source] = target
    return targets


def _require_fitting(target: Path, image: ImageData) -> None:
    """Refuse an output format before the work, not after it."""
    from napari_mpi.files import can_hold_ome

    if ".ome." in target.name.lower() and not can_hold_ome(image.data.dtype):
        raise ValueError(
            f"OME-TIFF cannot hold {image.data.dtype} pixels: name a .tif file as the "
            "output."
        )


def _write_result(
    target: Path, image: ImageData, result: Denoised, with_noise_map: bool
) -> None:
    from dataclasses import replace

    from napari_mpi.files import stem_of, write_image

    record = json.dumps({"napari_mpi": result.report}, ensure_ascii=False)
    description = f"{image.description}\n{record}".strip()
    if with_noise_map:
        stem = stem_of(target)
        ending = target.name.removeprefix(stem)
        write_image(
            target.with_name(f"{stem.removesuffix('_denoised')}_noise{ending}"),
            replace(
                image,
                data=result.noise_map,
                name=f"{image.name} noise map",
                description=description,
            ),
        )
    write_image(
        target,
        replace(
            image,
            data=result.image,
            name=f"{image.name} denoised",
            description=description,
        ),
    )


def _finish(run: Denoising, label: str) -> Denoised:
    """Advance a run to its end with a progress bar."""
    from tqdm import tqdm

    with tqdm(total=1.0, desc=label, bar_format=_BAR, disable=None) as bar:
        for progress in run:
            plane = f"plane {progress.plane + 1}/{progress.n_planes}, "
            bar.set_postfix_str(
                f"{plane if progress.phase == 'filling' else ''}{progress.phase} "
                f"{progress.step}/{progress.n_steps}",
                refresh=False,
            )
            bar.update(progress.fraction - bar.n)
    return run.result()


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def _demo(args: argparse.Namespace) -> int:
    import numpy as np
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    from napari_mpi.files import ImageData, write_image
    from napari_mpi.pipeline import iter_denoise
    from napari_mpi.synthetic import add_camera_noise, fluorescence_stack

    args.output.mkdir(parents=True, exist_ok=True)
    # A clean image and its noise have to be new to the weights: their own seed.
    rng = np.random.default_rng([2024, args.seed])
    clean = fluorescence_stack(args.planes, (args.size, args.size), rng)
    noisy, truth = add_camera_noise(clean, rng)
    result = _finish(iter_denoise(noisy, **_fill_options(args)), "demo")

    data_range = float(np.ptp(truth))

    def score(image: Any) -> str:
        psnr = peak_signal_noise_ratio(truth, image, data_range=data_range)
        ssim = np.mean([
            structural_similarity(a, b, data_range=data_range)
            for a, b in zip(truth, image, strict=True)
        ])  # fmt: skip
        return f"PSNR {psnr:.2f} dB, SSIM {ssim:.3f}"

    print(f"noisy:    {score(noisy.astype(np.float32))}")
    print(f"denoised: {score(result.image.astype(np.float32))}")
    for name, data in (
        ("noisy", noisy),
        ("denoised", result.image),
        ("noise_map", result.noise_map),
        ("truth", truth),
    ):
        image = ImageData(data, "TYX", (1, 0.1, 0.1), ("s", "µm", "µm"), name)
        write_image(args.output / f"demo_{name}.ome.tif", image)
    _comparison(args.output / "demo.png", noisy[0], result, truth[0])
    print(f"written to {args.output}: demo.png and demo_*.ome.tif")
    return 0


def _comparison(path: Path, noisy: Any, result: Denoised, truth: Any) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    noise = result.noise_map[0]
    limit = float(np.percentile(np.abs(noise), 99.5)) or 1.0
    low, high = np.percentile(truth, [0.1, 99.9])
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    for axes, title, image in zip(
        panels,
        ("noisy", "denoised", "truth"),
        (noisy, result.image[0], truth),
        strict=False,
    ):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_title(title)
    shown = panels[3].imshow(noise, cmap="PiYG", vmin=-limit, vmax=limit)
    panels[3].set_title("noise map")
    figure.colorbar(shown, ax=panels[3], label="counts")
    for axes in panels:
        axes.axis("off")
    figure.savefig(path, dpi=110)


def _info(args: argparse.Namespace) -> int:
    import torch

    from napari_mpi.devices import available_devices
    from napari_mpi.weights import BUNDLED, load_weights

    print(f"python     {platform.python_version()} on {platform.platform()}")
    for package in ("napari-mpi", "napari", "torch", "numpy", "tifffile"):
        try:
            print(f"{package:<10} {version(package)}")
        except PackageNotFoundError:
            print(f"{package:<10} not installed")
    for device in available_devices():
        cuda = device == "cuda"
        label = torch.cuda.get_device_name(0) if cuda else platform.machine()
        print(f"device     {device} ({label})")
    for name in BUNDLED:
        weights = load_weights(name)
        print(
            f"weights    {name}: {weights.image_channels} channel, "
            f"{weights.card.get('steps', '?')} training steps, "
            f"sha256 {weights.sha256[:12]}"
        )
    return 0


def _weights_list(args: argparse.Namespace) -> int:
    from napari_mpi.weights import BUNDLED, weights_folder
    from napari_mpi.weights_library import ONLINE, installed_weights

    installed = installed_weights()
    for name in BUNDLED:
        print(f"{name:<22} bundled")
    for name, path in installed.items():
        print(f"{name:<22} {path}")
    for name, online in ONLINE.items():
        if name not in installed:
            print(f"{name:<22} online: {online.description} ({online.licence})")
    print(f"Weights of your own are kept in {weights_folder()}.")
    return 0


def _weights_download(args: argparse.Namespace) -> int:
    from napari_mpi.weights_library import ONLINE, download_weights

    path = download_weights(args.name)
    _say(f"terms of use: {ONLINE[args.name].licence}")
    print(path)
    return 0


def _weights_import(args: argparse.Namespace) -> int:
    from napari_mpi.weights_library import import_weights

    print(import_weights(args.file))
    return 0


def _weights_info(args: argparse.Namespace) -> int:
    from napari_mpi.weights import load_weights

    weights = load_weights(args.name)
    print(f"name       {weights.name}")
    print(f"sha256     {weights.sha256}")
    print(f"image      {weights.image_channels} channels")
    print(f"mask       {weights.mask_channels} channels")
    for key, value in weights.card.items():
        print(f"{key:<10} {value}")
    return 0


def _pretrain(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from napari_mpi.pretrain import iter_pretrain

    if args.steps is None and args.minutes is None:
        args.minutes = 60.0
    config = PretrainConfig(
        steps=args.steps,
        minutes=args.minutes,
        crop_size=args.crop_size,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        synthetic_share=args.synthetic,
        noise_share=args.noise,
        rgb=args.rgb,
        seed=args.seed,
    )
    steps = iter_pretrain(
        args.folders,
        args.output,
        config,
        init=args.init,
        resume=args.resume,
        device=args.device,
    )
    checkpoint = args.output.with_suffix(".ckpt")
    try:
        with tqdm(total=1.0, desc="pretrain", bar_format=_BAR, disable=None) as bar:
            for step in steps:
                bar.set_postfix_str(
                    f"step {step.step}, loss {step.loss:.5f}", refresh=False
                )
                bar.update(step.progress - bar.n)
    except KeyboardInterrupt:
        steps.close()
        _say(f"stopped. Carry on with the same command and --resume {checkpoint}")
        return EXIT_INTERRUPTED
    print(args.output)
    return 0


def _reason(error: BaseException) -> str:
    if isinstance(error, PermissionError) and error.filename:
        return (
            f"no permission for {error.filename}: choose a folder that is yours, or "
            "change its rights."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__


def _say(text: str) -> None:
    print(f"napari-mpi: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
