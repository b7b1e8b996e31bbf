"""Between napari's image layers and the pipeline."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from napari.layers import Image

from napari_mpi.pipeline.api import Denoised, denoise

__all__ = [
    "ROLE",
    "denoise_layer",
    "denoised_layer",
    "layer_array",
    "noise_map_layer",
    "uncertainty_layer",
]

ROLE = "napari_mpi_role"
"""Key in a layer's metadata: which of a run's results it is."""

# Robust bounds of the noise map's colours; single hot pixels must not set them.
_NOISE_PERCENTILE = 99.5
_MAX_SAMPLE = 4_000_000  # values


def denoise_layer(layer: Image, **options: Any) -> tuple[Image, ...]:
    """Denoise an image layer and add the results to its viewer, if it has one.

    Parameters
    ----------
    layer : napari.layers.Image
        A 2-D image or stack, gray or RGB; of a multiscale layer the full resolution
        is taken. It is not changed.
    **options
        Those of `napari_mpi.denoise`: `preset`, `noise`, `weights`, `device`, `seed`,
        `uncertainty` and single settings. Colour is taken from the layer.

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
    result = denoise(layer_array(layer), rgb=layer.rgb, **options)
    layers = tuple(
        new
        for new in (
            denoised_layer(layer, result.image, result.report),
            noise_map_layer(layer, result),
            uncertainty_layer(layer, result),
        )
        if new is not None
    )
    viewer = napari.current_viewer()
    if viewer is not None and layer in viewer.layers:
        for new in layers:
            viewer.add_layer(new)
    return layers


def layer_array(layer: Image) -> Any:
    """Return a layer's pixels at full resolution, without loading a lazy array."""
    return layer.data[0] if layer.multiscale else layer.data


def denoised_layer(layer: Image, image: Any, report: dict[str, Any]) -> Image:
    """Make the layer of a denoised image, lying exactly over the input layer."""
    look: dict[str, Any] = {"rgb": layer.rgb}
    if not layer.rgb:
        look |= {
            "colormap": layer.colormap,
            "contrast_limits": _within(image, layer.contrast_limits),
            "gamma": layer.gamma,
        }
    return Image(
        image,
        name=f"{layer.name} denoised",
        blending=layer.blending,
        metadata={"napari_mpi": report, ROLE: "denoised"},
        **_geometry(layer),
        **look,
    )


def noise_map_layer(layer: Image, result: Denoised) -> Image:
    """Make the layer of what was removed, lying exactly over the input layer."""
    noise_map = result.noise_map
    if layer.rgb:
        noise_map = noise_map[..., :3].mean(axis=-1)
    some = noise_map.reshape(-1)[:: noise_map.size // _MAX_SAMPLE | 1]
    limit = float(np.percentile(np.abs(some), _NOISE_PERCENTILE)) or 1.0
    return Image(
        noise_map,
        name=f"{layer.name} noise map",
        colormap="PiYG",
        contrast_limits=(-limit, limit),
        # Opened hidden, so that the first thing to see is the denoised image.
        visible=False,
        metadata={"napari_mpi": result.report, ROLE: "noise map"},
        **_geometry(layer),
    )


def uncertainty_layer(layer: Image, result: Denoised) -> Image | None:
    """Make the layer of the standard errors, if there are any, over the input layer."""
    errors = result.uncertainty
    if errors is None:
        return None
    if layer.rgb:
        errors = errors[..., :3].mean(axis=-1)
    some = errors.reshape(-1)[:: errors.size // _MAX_SAMPLE | 1]
    return Image(
        errors,
        name=f"{layer.name} uncertainty",
        colormap="inferno",
        contrast_limits=(0, float(np.percentile(some, _NOISE_PERCENTILE)) or 1.0),
        visible=False,
        metadata={"napari_mpi": result.report, ROLE: "uncertainty"},
        **_geometry(layer),
    )


def _geometry(layer: Image) -> dict[str, Any]:
    return {
        "scale": layer.scale,
        "translate": layer.translate,
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
