"""From a noisy array to a denoised one."""

from __future__ import annotations

import os
import warnings
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.config import MEASURING, FillConfig, checked_seed, given_settings
from napari_mpi.engine.devices import resolve_device
from napari_mpi.pipeline.channel_denoising import ChannelDenoising
from napari_mpi.pipeline.colour_denoising import ColourDenoising
from napari_mpi.pipeline.denoising import Denoised, Denoising, Progress
from napari_mpi.pipeline.forecast import Forecast
from napari_mpi.pipeline.plan import Request
from napari_mpi.pipeline.stack_denoising import StackDenoising
from napari_mpi.weights.loading import Weights, load_weights

__all__ = [
    "Denoised",
    "Denoising",
    "Forecast",
    "Progress",
    "denoise",
    "iter_denoise",
]


def denoise(
    image: ArrayLike,
    *,
    preset: str | FillConfig = "auto",
    noise: str | None = None,
    weights: str | os.PathLike[str] | Weights = "universal",
    device: str = "auto",
    rgb: bool = False,
    channel_axis: int | None = None,
    seed: int = 0,
    uncertainty: bool = False,
    **settings: Any,
) -> Denoised:
    """Remove the noise from an image or stack.

    Parameters
    ----------
    image : array_like
        Ending in YX, or in YX and colour if `rgb`; at least 16x16 pixels, integers or
        floating-point numbers, finite. Every other axis is taken plane by plane. It is
        not modified.
    preset : str or FillConfig
        A name in `napari_mpi.PRESETS`, or your own settings. "auto" measures the noise
        and chooses for itself; "fast" does so with less effort.
    noise : str, optional
        "independent", "correlated" or "strongly-correlated", if it is not to be
        measured; "paper" and "paper-fast" take "independent".
    weights : str or path or Weights
        Bundled or imported name, or a file. With gray weights, "auto" and "fast"
        fill the brightness of an RGB image and then two colour differences, or the
        three colours one by one where they show different structure, as stains do.
    device : str
        "auto", "cpu", "cuda" or "mps".
    rgb : bool
        Whether the last axis holds RGB or RGBA samples. Transparency is kept.
    channel_axis : int, optional
        An axis before YX whose channels are denoised each as if it were alone, with
        noise, scaling and learning of its own.
    seed : int
        Seed of the masks.
    uncertainty : bool
        Whether to estimate the standard error of each pixel, too.
    **settings
        Single fields of `napari_mpi.FillConfig`, for instance ``n_iter=50``.

    Returns
    -------
    Denoised
        The denoised image, the noise map, the report, and the uncertainty if asked
        for.

    Raises
    ------
    TypeError
        If the pixels are boolean, complex or no numbers, or a setting is unknown.
    ValueError
        If the shape is no image, pixels are NaN, infinite or beyond 1e38, or a
        setting is wrong. Weights that cannot be used are a `WeightsError`, which is
        one.
    FileNotFoundError
        If there are no such weights.
    OSError
        If a result has to go to a temporary file and there is no space for it.
    MemoryError
        If planes are too large for the free memory, whatever is tried.

    Warns
    -----
    UserWarning
        If the image is constant, or if "auto" finds nothing to remove; it is returned
        as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi import denoise
    >>> noisy = np.random.default_rng(0).poisson(20, (32, 32)).astype(np.uint16)
    >>> result = denoise(noisy, n_iter=2)
    >>> result.image.dtype
    dtype('uint16')
    """
    run = iter_denoise(
        image,
        preset=preset,
        noise=noise,
        weights=weights,
        device=device,
        rgb=rgb,
        channel_axis=channel_axis,
        seed=seed,
        uncertainty=uncertainty,
        **settings,
    )
    for _ in run:
        pass
    return run.result()


def iter_denoise(
    image: ArrayLike,
    *,
    preset: str | FillConfig = "auto",
    noise: str | None = None,
    weights: str | os.PathLike[str] | Weights = "universal",
    device: str = "auto",
    rgb: bool = False,
    channel_axis: int | None = None,
    seed: int = 0,
    uncertainty: bool = False,
    **settings: Any,
) -> Denoising:
    """Start the same run as `denoise` and hand it over, to be advanced step by step.

    Parameters and errors are those of `denoise`. Wrong parameters raise here, before
    the first step, and so does a lack of space; a lack of memory while it runs.

    Returns
    -------
    Denoising
        An iterator of `Progress`; its `result` is valid at every step.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_mpi import iter_denoise
    >>> noisy = np.random.default_rng(0).normal(100, 9, (32, 32))
    >>> run = iter_denoise(noisy, n_iter=50)
    >>> for progress in run:
    ...     if progress.step == 3:
    ...         break
    >>> run.result().report["complete"]
    False
    """
    given = given_settings(preset, noise, **settings)
    seed = checked_seed(seed)
    # PyTorch's tensors have types of their own.
    if not hasattr(image, "shape") or not isinstance(
        getattr(image, "dtype", None), np.dtype
    ):
        image = _as_array(image)
    if np.ma.is_masked(image):
        raise ValueError(
            "Expected an image without a mask. Replace what is masked by what is "
            "around, or crop it away."
        )
    grid = PlaneGrid.of(image, rgb)
    loaded = load_weights(weights)
    request = Request(preset, noise, given)
    begin = partial(
        StackDenoising,
        request=request,
        weights=loaded,
        device=resolve_device(device),
        seed=seed,
        uncertainty=uncertainty,
    )
    if channel_axis is not None:
        axis = _leading_axis(channel_axis, grid)
        run: Denoising = ChannelDenoising(image, axis, begin, uncertainty=uncertainty)
    elif rgb and preset in MEASURING and loaded.image_channels == 1:
        run = ColourDenoising(image, grid, begin, fill_stuck=request.fills_stuck)
    else:
        run = begin(image, grid)
    if run.unchanged is not None:
        warnings.warn(f"{run.unchanged}; it is returned as it is.", stacklevel=2)
    return run


def _as_array(image: ArrayLike) -> NDArray[Any]:
    """Return what is no array as one."""
    if isinstance(image, str | os.PathLike):
        raise TypeError(
            f"Expected an array, got the path {os.fspath(image)!r}. Read the file "
            "first, for instance with tifffile.imread, or use denoise_files."
        )
    array = np.asarray(image)
    if array.dtype == object and array.ndim == 0:
        raise TypeError(
            f"Expected an array, got {type(image).__name__}. Give the pixels, for "
            "instance the data of a layer."
        )
    return array


def _leading_axis(axis: int, grid: PlaneGrid) -> int:
    """Return the number of a channel axis, counted from the first."""
    n_dims = len(grid.shape)
    positive = axis + n_dims if axis < 0 else axis
    if grid.rgb:
        raise ValueError(
            "Expected RGB or a channel axis, got both. Give channel_axis=None: the "
            "colours of RGB are denoised together."
        )
    if not 0 <= positive < n_dims - 2:
        raise ValueError(
            f"Expected a channel axis before the last two, Y and X, of shape "
            f"{grid.shape}, got {axis}. Move the axis first, for instance with "
            "numpy.moveaxis."
        )
    return positive
