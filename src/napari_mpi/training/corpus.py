"""What weights are trained on: folders of images, and crops drawn from them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi.arrays.intensity import Scaling
from napari_mpi.arrays.spread import evenly
from napari_mpi.io.files import FileError, ImageData, read_image
from napari_mpi.io.listing import list_images, without_parts
from napari_mpi.io.zarr_reader import looks_like_image
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.simulated_noise import add_random_noise
from napari_mpi.training.stains import stained_image
from napari_mpi.training.synthetic import fluorescence_image

__all__ = ["Crops", "Source", "load_corpus", "with_channels"]

PathLike = str | os.PathLike[str]

# A pool of procedural images is drawn once; one is replaced in every so many steps.
_POOL_SIZE, _POOL_TURNOVER = 128, 8
_POOL_SHAPE = (192, 192)
_DIM_SHARE = 0.6
# Training images are kept in memory; beyond this, further files of a folder are left
# out.
_MAX_FOLDER_BYTES = 4 * 2**30
# What a run leaves beside the denoised image holds no intensities.
_LEFTOVERS = ("noise map", "uncertainty")


@dataclass(frozen=True)
class Source:
    """The planes of one file, channels first, with their scaling."""

    name: str
    planes: NDArray[Any]  # (N, C, H, W) in the file's own dtype
    scaling: Scaling


class Crops:
    """Draws batches of augmented crops; the same step always gives the same batch."""

    def __init__(
        self, corpus: list[list[Source]], config: PretrainConfig, channels: int
    ) -> None:
        self._corpus, self._config, self._channels = corpus, config, channels
        self._pool: dict[int, NDArray[np.float32]] = {}

    def summary(self) -> dict[str, Any]:
        """Return what the crops come from, for the model card."""
        return {
            "folders": [
                {"images": len(folder), "planes": sum(len(s.planes) for s in folder)}
                for folder in self._corpus
            ],
            "synthetic_share": self._config.synthetic_share,
        }

    def draw(
        self, step: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return crops to see and to aim at (B, C, H, W), and mask ratios (B, 1, 1, 1).

        Clean values lie within 0 to 1.
        """
        rng = np.random.default_rng([self._config.seed, step])
        pairs = []
        for _ in range(self._config.batch_size):
            clean = self._crop(rng, step)
            if rng.random() < self._config.noise_share:
                pairs.append(add_random_noise(clean, rng))
            else:
                pairs.append((clean, clean))
        low, high = self._config.mask_ratio
        ratios = rng.uniform(low, high, (len(pairs), 1, 1, 1))
        noisy, clean = (np.stack(images) for images in zip(*pairs, strict=True))
        return noisy, clean, ratios.astype(np.float32)

    def _crop(self, rng: np.random.Generator, step: int) -> NDArray[np.float32]:
        if rng.random() < self._config.synthetic_share or not self._corpus:
            crop = self._cut(rng, self._synthetic(rng, step))
        else:
            folder = self._corpus[rng.integers(len(self._corpus))]
            source = folder[rng.integers(len(folder))]
            plane = source.planes[rng.integers(len(source.planes))]
            crop = source.scaling.apply(self._cut(rng, plane))
        crop = with_channels(crop, self._channels)
        if self._channels == 3:
            crop = crop[rng.permutation(3)]  # no colour is like the other two
        if rng.random() < 0.15:
            crop = 1 - crop
        # Dim images, as cameras deliver them, are part of what has to be filled.
        dim = rng.random() < _DIM_SHARE
        gain = math.exp(rng.uniform(math.log(0.15), 0)) if dim else 1.0
        crop = crop * np.float32(gain) + np.float32(rng.uniform(0, 0.3) * (1 - gain))
        crop = np.rot90(crop, int(rng.integers(4)), axes=(1, 2))
        if rng.random() < 0.5:
            crop = crop[:, :, ::-1]
        clipped: NDArray[np.float32] = np.clip(crop, 0, 1)
        return clipped

    def _cut(self, rng: np.random.Generator, plane: NDArray[Any]) -> NDArray[Any]:
        size = self._config.crop_size
        top = rng.integers(plane.shape[1] - size + 1)
        left = rng.integers(plane.shape[2] - size + 1)
        return plane[:, top : top + size, left : left + size]

    def _synthetic(self, rng: np.random.Generator, step: int) -> NDArray[np.float32]:
        first = step // _POOL_TURNOVER
        index = int(first + rng.integers(_POOL_SIZE))
        for old in [key for key in self._pool if key < first]:
            del self._pool[old]
        if index not in self._pool:
            height, width = (max(side, self._config.crop_size) for side in _POOL_SHAPE)
            seeded = np.random.default_rng([self._config.seed, 1, index])
            if self._channels == 3:
                image = stained_image((height, width), seeded)
            else:
                image = fluorescence_image((height, width), seeded)[np.newaxis]
            self._pool[index] = image  # (C, H, W)
        return self._pool[index]


def load_corpus(
    folders: PathLike | Sequence[PathLike],
    config: PretrainConfig,
    channels: int,
    images: Sequence[ImageData] = (),
) -> list[list[Source]]:
    """Read the images of some folders.

    Parameters
    ----------
    folders : path or sequence of path
        Folders of images, 2-D or stacks; folders inside them are not searched, with a
        warning, except for OME-Zarr images.
    config : PretrainConfig
        The crop size, and whether there has to be a folder.
    channels : int
        Channels of the network; RGB becomes gray for a network of one channel.
    images : sequence of ImageData
        Images that are open already; together they count as one more folder.

    Returns
    -------
    list of list of Source
        The images of each folder. Noise maps and uncertainties of earlier runs, and the
        curves of earlier trainings, are left out.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    FileError
        If a folder has no image to train on, or images are smaller than the crop.
    """
    paths = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    if not paths and not images and config.synthetic_share < 1:
        raise FileError("Give at least one folder of images to train on.")
    corpus = [_load_folder(Path(path), config.crop_size, channels) for path in paths]
    if images:
        opened = ((image.name, lambda image=image: image) for image in images)
        corpus.append(_sources(opened, "the chosen images", config.crop_size, channels))
    return corpus


def _load_folder(folder: Path, crop_size: int, channels: int) -> list[Source]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    files = (
        (path.name, partial(read_image, path))
        for path in _images_in(folder)
        if not _is_curve(path)
    )
    return _sources(files, str(folder), crop_size, channels)


def _images_in(folder: Path) -> list[Path]:
    """Return the files and OME-Zarr stores, and tell of other folders."""
    if looks_like_image(folder):
        return [folder]
    inside = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    stores = [path for path in inside if looks_like_image(path)]
    skipped = [path.name for path in inside if path not in stores]
    if skipped:
        warnings.warn(
            f"{folder}: folders inside it are not searched; give them, too, to train "
            f"on their images: {', '.join(skipped[:10])}"
            f"{', …' * (len(skipped) > 10)}.",
            stacklevel=3,
        )
    return [*without_parts(list_images(folder)), *stores]


def _is_curve(path: Path) -> bool:
    """Whether a figure lies beside weights of its name."""
    weights = path.name.removesuffix(".loss.png") + ".safetensors"
    return path.name.endswith(".loss.png") and path.with_name(weights).is_file()


def _sources(
    images: Iterable[tuple[str, Callable[[], ImageData]]],
    place: str,
    crop_size: int,
    channels: int,
) -> list[Source]:
    """Read images one by one, and say of all that are unfit what is wrong."""
    sources, refused, leftovers = [], [], []
    budget = _MAX_FOLDER_BYTES
    for name, read in images:
        if budget <= 0:
            warnings.warn(
                f"{place}: these are more than {_MAX_FOLDER_BYTES / 2**30:.0f} GiB of "
                f"images; those from {name} on are left out.",
                stacklevel=3,
            )
            break
        try:
            image = read()
            if image.layer.get("role") in _LEFTOVERS:
                leftovers.append(name)
                continue
            image = _in_memory(image)
            planes = _as_planes(image.data, image.rgb, channels)
        except (FileError, OSError) as error:
            refused.append(f"{name}: {error}")
            continue
        if min(planes.shape[-2:]) < crop_size:
            height, width = planes.shape[-2:]
            refused.append(
                f"{name}: {height}x{width} is smaller than the crop of "
                f"{crop_size}x{crop_size}"
            )
            continue
        if not np.isfinite(planes).all():
            refused.append(f"{name}: contains NaN or infinite values")
            continue
        sources.append(Source(name, planes, Scaling.fit(planes, "percentile")))
        budget -= planes.nbytes
    if refused:
        raise FileError(
            f"{len(refused)} of the images in {place} cannot be trained on. Remove or "
            "replace them: " + "; ".join(refused[:10]) + ("; …" * (len(refused) > 10))
        )
    if leftovers:
        warnings.warn(
            f"{place}: noise maps and uncertainties of earlier runs are no images to "
            f"train on; {', '.join(leftovers[:5])}{', …' * (len(leftovers) > 5)} left "
            "out.",
            stacklevel=3,
        )
    if not sources:
        raise FileError(f"{place} holds no image to train on.")
    return sources


def _in_memory(image: ImageData) -> ImageData:
    """Read a lazy image; of one that is too large, planes spread evenly over it."""
    data = image.data
    if isinstance(data, np.ndarray) and data.nbytes <= _MAX_FOLDER_BYTES:
        return image
    n_last = 3 if image.rgb else 2
    leading, plane_shape = data.shape[:-n_last], data.shape[-n_last:]
    n_planes = math.prod(leading)
    plane_bytes = math.prod(plane_shape) * np.dtype(data.dtype).itemsize
    n_kept = min(n_planes, max(1, _MAX_FOLDER_BYTES // plane_bytes))
    chosen = evenly(n_planes - 1, n_kept)
    planes = np.stack(
        [np.asarray(data[np.unravel_index(index, leading)]) for index in chosen]
    )
    axes = "Q" + image.axes[-n_last:]
    return ImageData(
        planes, axes, (1.0,) * planes.ndim, ("pixel",) * planes.ndim, image.name
    )


def _as_planes(data: NDArray[Any], rgb: bool, channels: int) -> NDArray[Any]:
    """Return planes (N, C, H, W); RGB becomes gray where the network is gray."""
    if np.iscomplexobj(data) or data.dtype == bool:
        raise FileError(f"pixels are {data.dtype}, expected intensities")
    if not rgb:
        return data.reshape(-1, 1, *data.shape[-2:])
    color = np.moveaxis(data[..., :3].reshape(-1, *data.shape[-3:-1], 3), -1, 1)
    if channels == 1:
        gray: NDArray[Any] = color.mean(axis=1, keepdims=True, dtype=np.float32)
        return gray
    return np.ascontiguousarray(color)


def with_channels(crop: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Repeat a gray crop (1, H, W) for a network of several channels."""
    return crop if len(crop) == channels else np.repeat(crop[:1], channels, axis=0)
