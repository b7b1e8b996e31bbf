"""Between napari's image layers and the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.roles import RECORD, ROLE
from napari_mpi.arrays.spread import sampled
from napari_mpi.arrays.storage import allocate, let_go
from napari_mpi.pipeline.api import Denoised, denoise

__all__ = [
    "CHANNEL_LABELS",
    "Picture",
    "channel_axis",
    "denoise_layer",
    "denoised_layer",
    "geometry_of",
    "hide_if_mixed",
    "layer_array",
    "look_of",
    "picture_layer",
    "pictures",
]

CHANNEL_LABELS = ("c", "ch", "channel", "channels")
"""Labels that name an axis of channels, in small letters."""

# Robust bounds of the colours; single hot pixels must not set them.
_PERCENTILE = 99.5
_MAX_SAMPLE = 4_000_000  # values

_MIXED = ("additive", "minimum", "multiplicative")


def denoise_layer(layer: Image, **options: Any) -> tuple[Image, ...]:
    """Denoise an image layer and add the results to its viewer, if it has one.

    The preferred weights folder is used; other preferences are those of the panels.

    Parameters
    ----------
    layer : napari.layers.Image
        A 2-D image or stack, gray or RGB; of a multiscale layer the full resolution
        is taken. It is not changed. An axis labelled "c" or "channel" is taken channel
        by channel.
    **options
        Those of `napari_mpi.denoise`: `preset`, `noise`, `weights`, `device`, `seed`,
        `uncertainty` and single settings. Colour and channels are taken from the layer.

    Returns
    -------
    denoised, noise_map : napari.layers.Image
        In place and axes like the input; ``metadata["napari_mpi"]`` is the report.
        For an RGB layer the noise map is averaged over the colours. With
        ``uncertainty=True`` a third layer holds the standard error of each pixel.

    Raises
    ------
    TypeError
        If `layer` is no image layer, or its pixels are boolean or complex.
    ValueError
        If pixels are NaN or infinite, or a setting is wrong.

    Examples
    --------
    In napari's console::

        from napari_mpi import denoise_layer
        denoised, noise_map = denoise_layer(viewer.layers.selection.active)
    """
    if not isinstance(layer, Image):
        raise TypeError(
            f"Expected an image layer, got {type(layer).__name__}. Convert the layer "
            "to an image first."
        )
    Preferences.apply()
    result = denoise(
        layer_array(layer),
        **{"rgb": layer.rgb, "channel_axis": channel_axis(layer), **options},
    )
    layers = (
        denoised_layer(layer, result.image, result.report),
        *(picture_layer(layer, picture) for picture in pictures(result, layer.rgb)),
    )
    viewer = _viewer_of(layer)
    if viewer is not None:
        for new in layers:
            viewer.add_layer(new)
    return layers


def _viewer_of(layer: Image) -> napari.Viewer | None:
    """Return the open viewer that holds a layer, the current one first."""
    viewers = [napari.current_viewer(), *napari.Viewer._instances]
    return next((one for one in viewers if one and layer in one.layers), None)


def layer_array(layer: Image) -> Any:
    """Return a layer's pixels at full resolution, without loading a lazy array."""
    return layer.data[0] if layer.multiscale else layer.data


def channel_axis(layer: Image) -> int | None:
    """Return the number of a layer's axis of channels, if its labels name one."""
    if layer.rgb:  # colours belong together
        return None
    labels = [label.lower() for label in layer.axis_labels[:-2]]
    return next((n for n, label in enumerate(labels) if label in CHANNEL_LABELS), None)


def denoised_layer(
    layer: Image,
    image: Any,
    report: dict[str, Any],
    place: Mapping[str, Any] | None = None,
) -> Image:
    """Make the layer of a denoised image, lying exactly over the input layer.

    Parameters
    ----------
    layer : napari.layers.Image
        The input.
    image : array_like
        The denoised image, or its part.
    report : dict
        Of the run.
    place : mapping, optional
        What `geometry_of` gives for a part of the layer; else the image is of all.
    """
    look = look_of(layer)
    if "contrast_limits" in look:
        look["contrast_limits"] = _within(image, layer.contrast_limits)
    new = Image(
        image,
        name=f"{layer.name} denoised",
        blending=layer.blending,
        opacity=layer.opacity,
        multiscale=False,
        metadata={RECORD: report, ROLE: "denoised"},
        **(geometry_of(layer) if place is None else place),
        **look,
    )
    if not layer.rgb:
        new.contrast_limits_range = layer.contrast_limits_range
    return new


def hide_if_mixed(layer: Image, layers: Iterable[Layer]) -> list[str]:
    """Hide an input that would be seen through its result; return words about it.

    Of colours that are added to each other, the noisy ones would stay in sight. An
    input that hides others of the viewer's layers with it, as it is linked to them,
    stays visible.
    """
    if layer.blending not in _MIXED or not layer.visible:
        return []
    others = [one for one in layers if one.visible and one is not layer]
    layer.visible = False
    if not all(one.visible for one in others):
        layer.visible = True  # and so are they
        return [
            f"{layer.name} is still to be seen, and its colours mix with the result's: "
            "to hide it would hide the layers that are linked to it."
        ]
    return [f"{layer.name} is hidden now, as its colours would mix with the result's."]


@dataclass(frozen=True)
class Picture:
    """A noise map or an uncertainty as it is shown.

    Attributes
    ----------
    role : {"noise map", "uncertainty"}
        Which of the two.
    values : ndarray
        Averaged over colours.
    limit : float
        Where the colours end; those of a noise map on either side of 0.
    report : dict
        Of the run.
    """

    role: str
    values: NDArray[np.float32]
    limit: float
    report: dict[str, Any]


def pictures(result: Denoised, rgb: bool) -> Iterator[Picture]:
    """Compute what there is to show beside the image; of a large one it takes a while.

    The noise map comes first, then the uncertainty, if it was asked for.
    """
    found = {"noise map": result.noise_map, "uncertainty": result.uncertainty}
    for role, values in found.items():
        if values is None:
            continue
        if rgb:
            values = _gray(values)
        some = sampled(values, _MAX_SAMPLE)
        limit = float(np.percentile(np.abs(some), _PERCENTILE)) or 1.0
        yield Picture(role, values, limit, result.report)


def _gray(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of the colours, in a temporary file if these are in one."""
    shape = values.shape[:-1]
    gray = allocate(shape, np.float32, isinstance(values, np.memmap))
    for index in np.ndindex(shape[:-2]):
        gray[index] = values[index][..., :3].mean(axis=-1)
        let_go(values)
        let_go(gray)
    return gray


def picture_layer(
    layer: Image, picture: Picture, place: Mapping[str, Any] | None = None
) -> Image:
    """Make the layer of a picture; `place` is that of `denoised_layer`."""
    signed = picture.role == "noise map"
    return Image(
        picture.values,
        name=f"{layer.name} {picture.role}",
        colormap="PiYG" if signed else "inferno",
        contrast_limits=(-picture.limit if signed else 0, picture.limit),
        # Opened hidden, so that the first thing to see is the denoised image.
        visible=False,
        rgb=False,
        multiscale=False,
        metadata={RECORD: picture.report, ROLE: picture.role},
        **(geometry_of(layer) if place is None else place),
    )


def look_of(layer: Image) -> dict[str, Any]:
    """Return how a layer shows its values, as arguments for another one."""
    look: dict[str, Any] = {
        "rgb": layer.rgb,
        "interpolation2d": layer.interpolation2d,
        "interpolation3d": layer.interpolation3d,
        "rendering": layer.rendering,
        "attenuation": layer.attenuation,
        "projection_mode": layer.projection_mode,
    }
    if layer.interpolation2d == "custom":
        look["custom_interpolation_kernel_2d"] = layer.custom_interpolation_kernel_2d
    if not layer.rgb:
        look |= {
            "colormap": layer.colormap,
            "contrast_limits": layer.contrast_limits,
            "gamma": layer.gamma,
            "iso_threshold": layer.iso_threshold,
        }
    return look


def geometry_of(layer: Image, offset: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return how a part of a layer lies in the world, as arguments for another one.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    offset : tuple of int
        Where the part begins in the layer, in pixels.
    """
    translate = layer.translate
    if any(offset):
        to_physical = Affine(
            scale=layer.scale,
            translate=layer.translate,
            rotate=layer.rotate,
            shear=layer.shear,
        )
        translate = to_physical(np.array(offset, float))
    return {
        "scale": layer.scale,
        "translate": translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _within(image: Any, limits: list[float]) -> tuple[float, float]:
    """Keep the input's contrast, unless it would show nothing of the result."""
    low, high = float(limits[0]), float(limits[1])
    return (low, high) if high > low else (float(image.min()), float(image.max()) + 1)
