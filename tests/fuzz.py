"""Read files that were spoilt on purpose, and see that nothing worse happens.

    python tests/fuzz.py                           # 1,000 files of all formats
    python tests/fuzz.py --format mrc --seed 17    # one of them, and keep it

A sound file is written, spoilt as a seed decides, and opened in a process of its own
with a limit of time and memory. It ends well as "read" or as "refused": an error of
ours that names the file. Everything else is a failure and is printed with its seed.
The processes are forked, so this runs on Linux and macOS; the tests open some files
of each format in their own process on every system.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import microscope_files
import mrcfile
import numpy as np
import tifffile
import torch
from mutations import ANY, PICKLE, TIFF, Mutation

from napari_mpi._napari.reader import get_reader
from napari_mpi.engine.network import N_LEVELS, Hourglass
from napari_mpi.io.files import can_read, read_image
from napari_mpi.io.zarr_reader import require_zarr
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.pretrain import pretrain
from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.official import _OFFICIAL_BLOCKS, _official_to_own

__all__ = ["FORMATS", "GOOD", "Format", "outcome", "spoil"]

GOOD = ("read", "refused")
SECONDS = 20
MEMORY = 1536 * 2**20  # bytes, beyond what the libraries have mapped at the start

_TRAINING = PretrainConfig(steps=2, batch_size=1, synthetic_share=1.0)


@dataclass(frozen=True)
class Format:
    """A kind of file that is read.

    Attributes
    ----------
    write : callable
        Writes a sound file into a folder and returns what is to be opened.
    open : callable
        Opens it, looks at all of it, and raises AssertionError if that is no sense.
    mutations : tuple of Mutation
        Ways to spoil one of the files.
    """

    write: Callable[[Path], Path]
    open: Callable[[Path], None]
    mutations: tuple[Mutation, ...] = ANY


def _open_image(path: Path) -> None:
    reader = get_reader(str(path))
    assert (reader is not None) == can_read(path)
    if reader is None:
        image = read_image(path)
        assert image.data.dtype.isnative or isinstance(image.data, np.memmap)
        layers: list[Any] = [(image.data, {"scale": image.scale}, "image")]
    else:
        layers = reader(str(path))
    assert layers
    for data, options, _ in layers:
        assert data.ndim >= 2
        assert np.nanmax(data.astype(np.float32)) is not None  # every pixel is read
        assert all(0 < step < np.inf for step in options["scale"])


def _open_weights(path: Path) -> None:
    assert all(
        value.isfinite().all()
        for value in load_weights(path).build().state_dict().values()
    )


def _open_checkpoint(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pretrain(
            [], Path(folder) / "a.safetensors", _TRAINING, resume=path, device="cpu"
        )


def _pixels(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


def _tiff(
    name: str = "a.tif", *, rgb: bool = False, **options: Any
) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        data = _pixels(3, 40, 48, 3, dtype="uint8") if rgb else _pixels(3, 40, 48)
        photometric = "rgb" if rgb else "minisblack"
        tifffile.imwrite(folder / name, data, **{"photometric": photometric, **options})
        return folder / name

    return write


def _ome_in_two_files(folder: Path) -> Path:
    blocks = "".join(
        f'<TiffData IFD="{t % 2}" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{t // 2}.ome.tif">urn:uuid:{t // 2}</UUID></TiffData>'
        for t in range(4)
    )
    data = _pixels(4, 40, 48)
    for number in range(2):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{number}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYCZT" Type="uint16" SizeX="48" SizeY="40" SizeC="1" '
            'SizeZ="1" SizeT="4" PhysicalSizeX="0.1" PhysicalSizeY="0.1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}'
            "</Pixels></Image></OME>"
        )
        tifffile.imwrite(
            folder / f"{number}.ome.tif",
            data[2 * number : 2 * number + 2],
            photometric="minisblack",
            metadata=None,
            description=text.encode(),
        )
    return folder / "0.ome.tif"


def _mrc(folder: Path) -> Path:
    with mrcfile.new(folder / "a.mrc") as mrc:
        mrc.set_data(_pixels(3, 40, 48, dtype="int16"))
        mrc.voxel_size = 2.0
    return folder / "a.mrc"


def _picture(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        iio.imwrite(folder / name, _pixels(40, 48, dtype="uint8"))
        return folder / name

    return write


def _picture_folder(folder: Path) -> Path:
    for number in range(3):
        iio.imwrite(folder / f"{number}.png", _pixels(40, 48))
    return folder


def _ome_zarr(version: str) -> Callable[[Path], Path]:
    """Write a store by hand: with zarr, this process would have threads to fork."""
    axes = [{"name": letter, "type": "space"} for letter in "zyx"]
    transformation = {"type": "scale", "scale": [2.0, 0.5, 0.5]}
    levels = [{"path": "0", "coordinateTransformations": [transformation]}]
    image: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": levels}]}

    def write(folder: Path) -> Path:
        store = folder / "a.ome.zarr"
        array = store / "0"
        array.mkdir(parents=True)
        data = _pixels(3, 40, 48)
        if version == "0.4":
            image["multiscales"][0]["version"] = version
            _write_json(store / ".zgroup", {"zarr_format": 2})
            _write_json(store / ".zattrs", image)
            header = {"zarr_format": 2, "shape": data.shape, "chunks": (1, 20, 48)}
            header |= {"dtype": "<u2", "fill_value": 0, "order": "C", "filters": None}
            zlib_of_level_1 = {"id": "zlib", "level": 1}
            _write_json(array / ".zarray", header | {"compressor": zlib_of_level_1})
            pieces, pack = "{0}.{1}.0", zlib.compress
        else:
            group = {"zarr_format": 3, "node_type": "group"}
            attributes = {"ome": {"version": version, **image}}
            _write_json(store / "zarr.json", group | {"attributes": attributes})
            grid = {"name": "regular", "configuration": {"chunk_shape": (1, 20, 48)}}
            keys = {"name": "default", "configuration": {"separator": "/"}}
            codecs = [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "gzip", "configuration": {"level": 1}},
            ]
            header = {"zarr_format": 3, "node_type": "array", "shape": data.shape}
            header |= {"data_type": "uint16", "fill_value": 0, "codecs": codecs}
            header |= {"chunk_grid": grid, "chunk_key_encoding": keys}
            _write_json(array / "zarr.json", header)
            pieces, pack = "c/{0}/{1}/0", gzip.compress
        for z, half in np.ndindex(3, 2):
            piece = array / pieces.format(z, half)
            piece.parent.mkdir(parents=True, exist_ok=True)
            piece.write_bytes(pack(data[z, 20 * half : 20 * half + 20].tobytes()))
        return store

    return write


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_NETWORK: list[Hourglass] = []


def _network() -> Hourglass:
    if not _NETWORK:
        _NETWORK.append(Hourglass(1, 1))
    return _NETWORK[0]


def _microscopes() -> dict[str, Format]:
    """Return the formats for whose readers the packages are installed."""
    data = _pixels(3, 40, 48)
    images = {"one": ("ZYX", data), "two": ("TYX", data[:2])}
    writers: dict[str, Callable[[Path], Path]] = {
        "czi": lambda path: microscope_files.write_czi(path, data, "ZYX", 0.1),
        "dv": lambda path: microscope_files.write_dv(path, data, 0.1),
        "lif": lambda path: microscope_files.write_lif(path, images, 0.1),
        "nd2": lambda path: microscope_files.write_nd2(path, data, 0.1),
    }
    found = {}
    for name, write in writers.items():
        if importlib.util.find_spec(f"bioio_{name}"):
            importlib.import_module(f"bioio_{name}")  # which takes seconds, once
            found[name] = Format(partial(_write_to, write, f"a.{name}"), _open_image)
    return found


def _write_to(write: Callable[[Path], Path], name: str, folder: Path) -> Path:
    return write(folder / name)


def _safetensors(folder: Path) -> Path:
    save_weights(folder / "a.safetensors", _network(), {"steps": 5, "config": {}})
    return folder / "a.safetensors"


def _official_state() -> dict[str, torch.Tensor]:
    """Return the network's parameters under the names that the authors gave them."""
    official = {
        _official_to_own(key): key
        for depth in range(N_LEVELS)
        for block in (*_OFFICIAL_BLOCKS, "9")
        for conv in ("", "1.")
        for leaf in _LEAVES
        if (key := f"net.{'1.1.7.' * depth}{block}.{conv}{leaf}")
    }
    return {official[key]: value for key, value in _network().state_dict().items()}


def _torch(*, zipped: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        content = {"params": _official_state()}
        path = folder / "a.pth"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        return path

    return write


class _RunsCode:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def _pickle(folder: Path) -> Path:
    content = {"params": _RunsCode(folder.parent / "executed")}
    (folder / "a.pth").write_bytes(pickle.dumps(content, 2))
    return folder / "a.pth"


_CHECKPOINT: list[bytes] = []


def _checkpoint(folder: Path) -> Path:
    if not _CHECKPOINT:
        with tempfile.TemporaryDirectory() as made:
            pretrain([], Path(made) / "a.safetensors", _TRAINING, device="cpu")
            _CHECKPOINT.append((Path(made) / "a.ckpt").read_bytes())
    (folder / "a.ckpt").write_bytes(_CHECKPOINT[0])
    return folder / "a.ckpt"


FORMATS: dict[str, Format] = {
    "tiff": Format(_tiff(), _open_image, TIFF),
    "tiff-pages": Format(_tiff(metadata=None), _open_image, TIFF),
    "tiff-big-endian": Format(_tiff(byteorder=">"), _open_image, TIFF),
    "bigtiff": Format(_tiff(bigtiff=True), _open_image, TIFF),
    "tiff-tiles": Format(_tiff(tile=(16, 16)), _open_image, TIFF),
    "tiff-deflate": Format(_tiff(tile=(16, 16), compression="zlib"), _open_image, TIFF),
    "tiff-lzw": Format(_tiff(compression="lzw", predictor=2), _open_image, TIFF),
    "tiff-zstd": Format(_tiff(compression="zstd"), _open_image, TIFF),
    "tiff-jpeg": Format(
        _tiff(rgb=True, compression="jpeg", tile=(16, 16)), _open_image, TIFF
    ),
    "imagej": Format(
        _tiff(imagej=True, metadata={"axes": "ZYX", "unit": "um", "spacing": 0.5}),
        _open_image,
        TIFF,
    ),
    "ome-tiff": Format(
        _tiff("a.ome.tif", metadata={"axes": "TYX", "PhysicalSizeX": 0.1}),
        _open_image,
        TIFF,
    ),
    "ome-tiff-in-two-files": Format(_ome_in_two_files, _open_image, TIFF),
    "ome-zarr-0.4": Format(_ome_zarr("0.4"), _open_image),
    "ome-zarr-0.5": Format(_ome_zarr("0.5"), _open_image),
    "mrc": Format(_mrc, _open_image),
    "png": Format(_picture("a.png"), _open_image),
    "jpeg": Format(_picture("a.jpg"), _open_image),
    "png-folder": Format(_picture_folder, _open_image),
    **_microscopes(),
    "safetensors": Format(_safetensors, _open_weights),
    "pth": Format(_torch(zipped=True), _open_weights, PICKLE),
    "pth-legacy": Format(_torch(zipped=False), _open_weights, PICKLE),
    "pth-with-code": Format(_pickle, _open_weights, PICKLE),
    "checkpoint": Format(_checkpoint, _open_checkpoint, PICKLE),
}
"""What is read, by name; a further format is one more line."""


def spoil(name: str, seed: int, folder: Path) -> Path:
    """Write a file of a format into an empty folder, spoil it, and return it."""
    chosen = FORMATS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    path = chosen.write(folder)
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    victim = files[rng.integers(len(files))]
    content = bytearray(victim.read_bytes())
    for _ in range(1 if rng.random() < 0.8 else 2):
        mutate = chosen.mutations[rng.integers(len(chosen.mutations))]
        try:
            content = mutate(content, rng)
        except (ValueError, IndexError):  # nothing is left to spoil
            break
    victim.write_bytes(content)
    return path


def outcome(name: str, path: Path) -> tuple[str, str]:
    """Open a spoilt file and tell in a word how it ended, with what was said."""
    before = _state(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            FORMATS[name].open(path)
            how, said = "read", ""
        except (ValueError, TypeError, OSError) as error:
            how, said = "refused", str(error)
            names = [one.name for one in path.iterdir()] if path.is_dir() else []
            if not any(one in said for one in [path.name, *names]) or len(said) < 40:
                how = "unhelpful"
            if _lacked_memory(error):
                how = "allocation"
        except MemoryError as error:
            how, said = "allocation", repr(error)
        except BaseException:
            how, said = "foreign error", traceback.format_exc(limit=-4)
    if (path.parent / "executed").exists() or (
        path.parent.parent / "executed"
    ).exists():
        how = "ran code"
    if _state(path) != before:
        how = "changed files"
    return how, said


def _state(path: Path) -> dict[str, str]:
    folder = path if path.is_dir() else path.parent
    return {
        str(one): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in folder.rglob("*")
        if one.is_file()
    }


def _lacked_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or "alloc" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _child(name: str, path: Path, answer: Any) -> None:
    import resource

    seen: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.system", "subprocess.Popen", "socket.connect", "os.exec"):
            seen.append(f"{event} {arguments}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            opened = Path(os.fsdecode(arguments[0])).resolve()
            arena = path.parents[1] if path.is_file() else path.parent
            inside = opened.is_relative_to(path.parent if path.is_file() else path)
            if (
                (opened.is_relative_to(arena) and not inside)
                or opened.is_relative_to("/etc")
                or str(opened) == "/dev/zero"
            ):
                seen.append(f"opened {opened}")

    sys.addaudithook(watch)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY,) * 2)
    how, said = outcome(name, path)
    if seen:
        how, said = "went outside", "; ".join(seen[:3])
    answer.send((how, said))


def in_a_child(name: str, path: Path) -> tuple[str, str]:
    """Open a spoilt file under limits, in a forked process."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_child, args=(name, path, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(SECONDS):
            process.kill()
            return "hang", f"no end within {SECONDS} s"
        return receiver.recv()
    except EOFError:
        process.join()
        return "crash", f"exit code {process.exitcode}"
    finally:
        process.join()


def main() -> int:
    """Spoil files and print how they ended; the status is 1 if one ended badly."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="how many, in all")
    parser.add_argument("--format", choices=FORMATS, action="append")
    parser.add_argument("--seed", type=int, help="only this one, kept for a look")
    args = parser.parse_args()
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    require_zarr()  # loaded once, and not by each process again
    names = args.format or list(FORMATS)
    cases = [(names[n % len(names)], n // len(names)) for n in range(args.files)]
    if args.seed is not None:
        cases = [(name, args.seed) for name in names]
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    bad = []
    started = time.monotonic()
    for name, seed in cases:
        arena = Path(tempfile.mkdtemp())
        folder = arena / "case"
        folder.mkdir()
        tifffile.imwrite(arena / "bait.ome.tif", _pixels(40, 48))
        path = spoil(name, seed, folder)
        how, said = in_a_child(name, path)
        if args.seed is None:
            shutil.rmtree(arena)
        counts[name][how] += 1
        if how not in GOOD:
            bad.append(f"{name} seed {seed}: {how}: {said}")
        if args.seed is not None:
            print(f"{path}: {how}: {said}")
    columns = [
        *GOOD,
        *sorted({how for one in counts.values() for how in one} - {*GOOD}),
    ]
    print("| format | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, count in counts.items():
        print(f"| {name} | " + " | ".join(str(count[how]) for how in columns) + " |")
    total = sum(counts.values(), Counter())
    print("| all | " + " | ".join(str(total[how]) for how in columns) + " |")
    print(
        f"\n{len(cases)} files in {time.monotonic() - started:.0f} s, {len(bad)} bad."
    )
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
