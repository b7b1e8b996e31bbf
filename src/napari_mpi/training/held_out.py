"""Images that are never trained on, and what they say about a training."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mpi.arrays.intensity import Scaling
from napari_mpi.engine.masking import mask_pairs, one_mask_for_twins, random_mask
from napari_mpi.engine.network import Hourglass
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.corpus import Source, with_channels
from napari_mpi.training.simulated_noise import add_random_noise
from napari_mpi.training.synthetic import fluorescence_image

__all__ = ["Comparison", "HeldOut", "Preview", "hold_out"]

# From so many images on, whole ones are held out: the last tenth of them, as images
# that follow each other often show the same place.
_MIN_IMAGES, _SHARE, _MAX_IMAGES = 5, 0.1, 16
# Otherwise a strip of each image is, at least so many pixels wide.
_STRIP_SHARE, _MIN_STRIP = 0.2, 32
_N_CROPS = 32
# An error below this, 50 dB, is of no consequence and counts as this.
_MIN_ERROR = 1e-5
_PREVIEW_SIZE, _PREVIEW_CANDIDATES = 128, 16
# Photons at the brightest place of the preview, as in a dim fluorescence image.
_PREVIEW_PHOTONS = 20.0

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """How trained weights do on held-out images, beside those they started from.

    Attributes
    ----------
    start : str
        The weights that were compared with: those the training started from, or the
        bundled ones if it started from nothing.
    held_out : str
        What was held out.
    n_crops : int
        Crops that both were scored on, with the same noise and the same masks.
    start_psnr, end_psnr : float
        Mean PSNR in dB of hidden pixels against the clean crops.
    standard_error : float
        Of the mean difference over the crops, in dB.
    """

    start: str
    held_out: str
    n_crops: int
    start_psnr: float
    end_psnr: float
    standard_error: float

    @property
    def gain(self) -> float:
        """How much better the trained weights are, in dB; negative if worse."""
        return self.end_psnr - self.start_psnr

    @property
    def better(self) -> bool:
        """Whether they are better by more than chance, two standard errors."""
        return self.gain > 2 * self.standard_error

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        figures = (
            f"{self.gain:+.2f} dB, give or take {2 * self.standard_error:.2f} dB, on "
            f"{self.n_crops} crops of {self.held_out}"
        )
        if self.better:
            return f"Better than {self.start} on held-out images: {figures}."
        return f"Not better than {self.start}: keep those. Held-out images: {figures}."

    def for_card(self) -> dict[str, Any]:
        """Return what a model card says of it."""
        return {
            "images": self.held_out,
            "crops": self.n_crops,
            "compared_with": self.start,
            "start_psnr": round(self.start_psnr, 3),
            "end_psnr": round(self.end_psnr, 3),
            "gain_db": round(self.gain, 3),
            "standard_error_db": round(self.standard_error, 3),
            "better": self.better,
        }


@dataclass(frozen=True)
class Preview:
    """A held-out patch, and what weights make of it; each (C, H, W), 0 to 1."""

    clean: Image
    noisy: Image
    before: Image
    now: Image

    def psnr(self, image: Image) -> float:
        """Return how close an image comes to the clean patch, in dB."""
        return float(_psnr(((image - self.clean) ** 2).mean()))


def hold_out(
    corpus: list[list[Source]], config: PretrainConfig
) -> tuple[list[list[Source]], list[Source], str]:
    """Set a part of the images aside, which no training crop is drawn from.

    Parameters
    ----------
    corpus : list of list of Source
        The images of each folder.
    config : PretrainConfig
        The size of the crops, and the seed of procedural images.

    Returns
    -------
    training : list of list of Source
        What is left to train on.
    held_out : list of Source
        Empty if the images are too small and too few to spare any.
    description : str
        What was held out, in words.
    """
    training, whole, strips = [], [], []
    for folder in corpus:
        if len(folder) >= _MIN_IMAGES:
            n_held = min(max(1, round(_SHARE * len(folder))), _MAX_IMAGES)
            training.append(folder[:-n_held])
            whole += folder[-n_held:]
            continue
        pairs = [_without_strip(source, config.crop_size) for source in folder]
        training.append([kept for kept, _ in pairs])
        strips += [strip for _, strip in pairs if strip is not None]
    if not whole and not strips:
        largest = max(training, key=len, default=[])
        if len(largest) > 1:
            whole.append(largest.pop())
    parts = []
    if whole:
        parts.append(f"{len(whole)} whole {'image' if len(whole) == 1 else 'images'}")
    if strips:
        parts.append(
            f"a strip at the edge of {len(strips)} "
            f"{'image' if len(strips) == 1 else 'images'} (too few to spare a whole)"
        )
    held = whole + strips
    if not corpus:
        held = [_procedural(config, index) for index in range(8)]
        parts.append(f"{len(held)} procedural images")
    return training, held, " and ".join(parts)


class HeldOut:
    """Crops of held-out images, with noise and masks that are always the same.

    Parameters
    ----------
    sources : list of Source
        The images, at least one.
    description : str
        What they are, in words.
    config : PretrainConfig
        Size of the crops, mask ratios, seed.
    network : Hourglass
        A network of the kind that is to be scored.
    """

    def __init__(
        self,
        sources: list[Source],
        description: str,
        config: PretrainConfig,
        network: Hourglass,
    ) -> None:
        self.description = description
        self._channels, self._mask_channels = (
            network.image_channels,
            network.mask_channels,
        )
        self._crops = []
        generator = torch.Generator().manual_seed(config.seed)
        for index in range(_N_CROPS):
            rng = np.random.default_rng([config.seed, 2, index])
            source = sources[index % len(sources)]
            clean = self._cut(rng, source, config.crop_size)
            noisy = clean
            if config.noise_share > 0:
                noisy, clean = add_random_noise(clean, rng)
            target = torch.from_numpy(clean)[None]  # (1, C, H, W)
            ratio = float(rng.uniform(*config.mask_ratio))
            mask = random_mask(
                (1, self._mask_channels, *target.shape[-2:]), ratio, generator
            )
            mask = one_mask_for_twins(mask, target)
            self._crops.append((torch.from_numpy(noisy)[None], target, mask))
        self._preview = self._choose_preview(sources, config)

    def score(self, network: Hourglass) -> NDArray[np.float64]:
        """Return the PSNR in dB of hidden pixels for each crop."""
        network, device = _apart(network)
        scores = []
        for noisy, target, mask in self._crops:
            predicted = _predict(network, noisy.to(device), mask.to(device)).cpu()
            hidden = (1 - mask).expand_as(target)
            error = (hidden * (predicted - target) ** 2).sum() / hidden.sum()
            scores.append(_psnr(float(error)))
        return np.asarray(scores)

    def compare(
        self, start: str, before: NDArray[np.float64], network: Hourglass
    ) -> Comparison:
        """Compare a network with the scores of weights named `start`."""
        after = self.score(network)
        return Comparison(
            start=start,
            held_out=self.description,
            n_crops=len(after),
            start_psnr=float(before.mean()),
            end_psnr=float(after.mean()),
            standard_error=float((after - before).std(ddof=1) / math.sqrt(len(after))),
        )

    def preview(self, before: Hourglass, now: Hourglass) -> Preview:
        """Show what two networks make of one patch without any adaptation."""
        noisy, clean = self._preview
        return Preview(clean, noisy, self._fill(before, noisy), self._fill(now, noisy))

    def _fill(self, network: Hourglass, noisy: Image) -> Image:
        network, device = _apart(network)
        image = torch.from_numpy(noisy)[None].to(device)
        masks = mask_pairs(
            (1, 1, *image.shape[-2:]), 0.5, torch.Generator(device).manual_seed(0)
        )
        filled = torch.zeros_like(image)
        n_pairs = 3
        # A pair of masks hides each pixel just once.
        for _ in range(2 * n_pairs):
            mask = next(masks).expand(-1, self._mask_channels, -1, -1)
            filled += (1 - mask[:, :1]) * _predict(network, image, mask) / n_pairs
        result: Image = filled[0].cpu().numpy()
        return result

    def _choose_preview(
        self, sources: list[Source], config: PretrainConfig
    ) -> tuple[Image, Image]:
        """Return the patch with the most to see, noisy and clean."""
        rng = np.random.default_rng([config.seed, 4])
        # A square is easier to look at than the whole width of a strip.
        sides = [side for source in sources for side in source.planes.shape[-2:]]
        size = min(_PREVIEW_SIZE, *sides)
        patches = [
            self._cut(rng, sources[index % len(sources)], size)
            for index in range(_PREVIEW_CANDIDATES)
        ]
        clean = max(patches, key=lambda patch: float(patch.std()))
        noisy = rng.poisson(clean * _PREVIEW_PHOTONS) / _PREVIEW_PHOTONS
        return np.minimum(noisy, 1).astype(np.float32), clean

    def _cut(self, rng: np.random.Generator, source: Source, size: int) -> Image:
        plane = source.planes[rng.integers(len(source.planes))]
        height, width = (min(size, length) for length in plane.shape[1:])
        top = rng.integers(plane.shape[1] - height + 1)
        left = rng.integers(plane.shape[2] - width + 1)
        crop = source.scaling.apply(
            plane[:, top : top + height, left : left + width]
        ).clip(0, 1)
        return np.ascontiguousarray(with_channels(crop, self._channels))


def _without_strip(source: Source, crop_size: int) -> tuple[Source, Source | None]:
    """Part a strip from an image, if what is left still holds a training crop."""
    height, width = source.planes.shape[-2:]
    length, axis = max((height, -2), (width, -1))
    strip = min(max(_MIN_STRIP, round(_STRIP_SHARE * length)), length - crop_size)
    if strip < _MIN_STRIP:
        return source, None
    kept, cut = np.split(source.planes, [length - strip], axis=axis)
    return replace(source, planes=kept), replace(source, planes=cut)


def _procedural(config: PretrainConfig, index: int) -> Source:
    # The stream 1 of the seed draws the images that are trained on.
    rng = np.random.default_rng([config.seed, 3, index])
    side = max(192, config.crop_size)
    image = fluorescence_image((side, side), rng)[None, None]
    return Source(f"procedural {index}", image, Scaling(0.0, 1.0))


def _apart(network: Hourglass) -> tuple[Hourglass, torch.device]:
    """Copy a network, as batch norm counts what it sees."""
    return copy.deepcopy(network).train(), next(network.parameters()).device


@torch.no_grad()
def _predict(network: Hourglass, noisy: Tensor, mask: Tensor) -> Tensor:
    predicted: Tensor = network(noisy * mask, mask)
    return predicted


def _psnr(error: float) -> float:
    return -10 * math.log10(max(error, _MIN_ERROR))
