"""Procedural fluorescence images with known truth.

Each image is a random mixture of the structures that fluorescence microscopes see
(filaments, puncta, nuclei with texture, membranes, out-of-focus haze), blurred as by
a point spread function. They serve masked pre-training, the demo and the tests.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["fluorescence_image", "fluorescence_stack"]

Image = NDArray[np.float32]


def fluorescence_image(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw one clean image.

    Parameters
    ----------
    shape : tuple of int
        Height and width in pixels.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    ndarray
        float32, values 0 to 1, the brightest structure at 1.
    """
    structures = (_filaments, _fibres, _puncta, _worms, _nuclei, _cells, _membranes)
    n_kinds = rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])
    image = np.zeros(shape, np.float32)
    for index in rng.choice(len(structures), n_kinds, replace=False):
        layer = structures[index](shape, rng)
        # No two places of a specimen take up the same amount of dye.
        uneven = np.exp(rng.uniform(0, 1.2) * _fractal_field(shape, rng))
        layer = layer * uneven.astype(np.float32)
        if rng.random() < 0.4:  # some of it lies out of focus
            behind = np.roll(layer, rng.integers(0, min(shape), 2), axis=(0, 1))
            layer = layer + np.float32(rng.uniform(0.3, 1.5)) * (
                ndimage.gaussian_filter(behind, float(rng.uniform(1.5, 5)))
            )
        image += layer * np.float32(rng.uniform(0.3, 1.0))
    psf_sigma = float(math.exp(rng.uniform(math.log(0.35), math.log(2.2))))
    image = ndimage.gaussian_filter(image, psf_sigma, mode="reflect")
    if rng.random() < 0.6:
        haze = ndimage.gaussian_filter(image, float(rng.uniform(6, 25)))
        image = image + haze * np.float32(rng.uniform(0.2, 1.2))
    background = rng.uniform(0, 0.15) * (0.5 + 0.5 * _smooth_field(shape, rng, 60))
    image = image / max(float(image.max()), 1e-6) + background
    # A few bright specks must not leave all the rest in the dark.
    brightest = max(float(np.percentile(image, 99.95)), 1e-6)
    result: Image = np.minimum(image / brightest, 1).astype(np.float32)
    return result


def fluorescence_stack(
    n_planes: int, shape: tuple[int, int], rng: np.random.Generator
) -> Image:
    """Draw a clean stack whose planes change smoothly, as a short time series does.

    Parameters
    ----------
    n_planes : int
        Number of planes.
    shape : tuple of int
        Height and width in pixels.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    ndarray
        float32, shape (n_planes, height, width), values 0 to 1.
    """
    still = fluorescence_image(shape, rng)
    moving = fluorescence_image(shape, rng)
    velocity = rng.uniform(-1.5, 1.5, 2)  # pixels a plane
    planes = [
        0.6 * still + 0.4 * ndimage.shift(moving, velocity * i, order=1, mode="reflect")
        for i in range(n_planes)
    ]
    stack = np.stack(planes)
    result: Image = (stack / stack.max()).astype(np.float32)
    return result


def _smooth_field(
    shape: tuple[int, int], rng: np.random.Generator, scale: float
) -> Image:
    """Draw Gaussian random texture with features of `scale` pixels, within 0 to 1."""
    coarse = tuple(max(4, int(np.ceil(length / scale)) + 3) for length in shape)
    field = rng.standard_normal(coarse)
    zoom = [
        (length + 1) / (size - 2) for length, size in zip(shape, coarse, strict=True)
    ]
    fine = ndimage.zoom(field, np.maximum(zoom, 1.0), order=3)
    fine = fine[: shape[0], : shape[1]]
    low, high = fine.min(), fine.max()
    result: Image = ((fine - low) / max(high - low, 1e-9)).astype(np.float32)
    return result


def _fractal_field(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw texture with features of all sizes, of mean 0 and standard deviation 1."""
    frequency = np.hypot(
        np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    )
    slope = rng.uniform(0.8, 1.8)
    amplitude = 1 / np.maximum(frequency, 1 / max(shape)) ** slope
    white = np.fft.rfft2(rng.standard_normal(shape, np.float32))
    field = np.fft.irfft2(white * amplitude, shape)
    result: Image = ((field - field.mean()) / field.std()).astype(np.float32)
    return result


def _filaments(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw persistent random walks, as of actin or microtubules."""
    image = np.zeros(shape, np.float32)
    density = rng.uniform(0.5, 4.0)
    n_filaments = max(3, int(density * np.prod(shape) / 2500))
    length = int(rng.uniform(0.4, 1.5) * max(shape))
    stiffness = rng.uniform(0.01, 0.12)  # radians of turn per half pixel
    common = rng.uniform(0, 2 * np.pi)
    aligned = rng.random() < 0.4
    start = rng.uniform(0, 1, (n_filaments, 2)) * np.asarray(shape)
    spread = 0.35 if aligned else np.pi
    angle = common + rng.uniform(-spread, spread, n_filaments)
    turns = rng.normal(0, stiffness, (2 * length, n_filaments))
    angles = angle + np.cumsum(turns, axis=0)
    path_y = start[:, 0] + 0.5 * np.cumsum(np.sin(angles), axis=0)
    path_x = start[:, 1] + 0.5 * np.cumsum(np.cos(angles), axis=0)
    brightness = np.broadcast_to(rng.gamma(3, 1 / 3, n_filaments), path_y.shape)
    _splat(image, path_y.ravel(), path_x.ravel(), brightness.ravel())
    if rng.random() < 0.5:  # bundles are thicker than single filaments
        image = ndimage.gaussian_filter(image, float(rng.uniform(0.5, 1.5)))
    return _normalised(image)


def _fibres(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Dense fibres that follow a slowly turning direction, as stress fibres do."""
    direction = rng.uniform(0, np.pi) + rng.uniform(0.2, 1.5) * _smooth_field(
        shape, rng, rng.uniform(40, 120)
    )
    image = rng.gamma(0.3, 1.0, shape).astype(np.float32)
    rows, columns = np.indices(shape, np.float32)
    # Smearing the points along the direction, each time twice as far, draws lines.
    for reach in 0.7 * 2.0 ** np.arange(rng.integers(3, 7)):
        dy, dx = reach * np.sin(direction), reach * np.cos(direction)
        forth, back = (
            ndimage.map_coordinates(
                image, [rows + sign * dy, columns + sign * dx], order=1, mode="reflect"
            )
            for sign in (1, -1)
        )
        image = (image + forth + back) / 3
    image = np.maximum(image - np.float32(np.quantile(image, rng.uniform(0, 0.7))), 0)
    return _normalised(image)


def _worms(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Short bent tubes, hollow at times, as mitochondria are."""
    n_worms = max(3, int(rng.uniform(1, 8) * np.prod(shape) / 2500))
    length = int(rng.uniform(8, 40))  # half pixels
    centre = rng.uniform(0, 1, 2) * np.asarray(shape)
    spread = rng.uniform(0.2, 1.0) * max(shape)
    start = centre + rng.normal(0, spread, (n_worms, 2))
    turns = rng.normal(0, rng.uniform(0.05, 0.3), (length, n_worms))
    angles = rng.uniform(0, 2 * np.pi, n_worms) + np.cumsum(turns, axis=0)
    path_y = start[:, 0] + 0.5 * np.cumsum(np.sin(angles), axis=0)
    path_x = start[:, 1] + 0.5 * np.cumsum(np.cos(angles), axis=0)
    weight = np.broadcast_to(rng.gamma(4, 1 / 4, n_worms), path_y.shape)
    thin = np.zeros(shape, np.float32)
    _splat(thin, path_y.ravel(), path_x.ravel(), weight.ravel())
    radius = float(rng.uniform(0.7, 3))
    image = ndimage.gaussian_filter(thin, radius)
    if rng.random() < 0.3:
        image = np.maximum(image - 0.35 * ndimage.gaussian_filter(thin, radius / 2), 0)
    return _normalised(image)


def _cells(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Cell bodies with a border, grainy cytoplasm, dark holes and a nucleus."""
    size = rng.uniform(30, 120)
    field = _smooth_field(shape, rng, size) + 0.08 * _smooth_field(shape, rng, size / 4)
    level = float(np.quantile(field, rng.uniform(0.1, 0.7)))
    steepness = rng.uniform(20, 200)
    inside = 1 / (1 + np.exp(np.clip(-(field - level) * steepness, -50, 50)))
    grain = np.exp(rng.uniform(0.1, 0.7) * _fractal_field(shape, rng))
    image = inside * grain
    if rng.random() < 0.5:
        image = image * (1 - rng.uniform(0.3, 1) * np.minimum(_puncta(shape, rng), 1))
    image += rng.uniform(0, 1) * inside * _nuclei(shape, rng)
    return _normalised(image)


def _puncta(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Vesicles and spots of two sizes, scattered or clustered."""
    image = np.zeros(shape, np.float32)
    n_spots = int(rng.uniform(0.001, 0.02) * np.prod(shape)) + 3
    if rng.random() < 0.5:
        n_clusters = max(1, n_spots // 20)
        centres = rng.uniform(0, 1, (n_clusters, 2)) * np.asarray(shape)
        chosen = centres[rng.integers(0, n_clusters, n_spots)]
        position = chosen + rng.normal(0, rng.uniform(4, 20), (n_spots, 2))
    else:
        position = rng.uniform(0, 1, (n_spots, 2)) * np.asarray(shape)
    brightness = rng.gamma(rng.uniform(1, 4), 1.0, n_spots)
    large = rng.random(n_spots) < rng.uniform(0, 0.5)
    for chosen, sigma in ((~large, 0.0), (large, float(rng.uniform(1, 3.5)))):
        layer = np.zeros(shape, np.float32)
        _splat(layer, position[chosen, 0], position[chosen, 1], brightness[chosen])
        if sigma:
            layer = ndimage.gaussian_filter(layer, sigma) * np.float32(8 * sigma**2)
        image += layer
    return _normalised(image)


def _nuclei(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Bent ellipses with a sharp rim and chromatin-like texture inside."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    image = np.zeros(shape, np.float32)
    radius = rng.uniform(8, 40)
    n_nuclei = max(1, int(rng.uniform(0.1, 0.6) * np.prod(shape) / (np.pi * radius**2)))
    texture = _smooth_field(shape, rng, rng.uniform(2, 5))
    texture = texture * _smooth_field(shape, rng, rng.uniform(6, 15))
    contrast = rng.uniform(0.2, 1.0)
    for _ in range(min(n_nuclei, 60)):
        y, x = rng.uniform(0, 1, 2) * np.asarray(shape)
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.55, 1.0)
        size = radius * rng.uniform(0.8, 1.25)
        reach = int(2 * size) + 2
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        window = np.s_[top : int(y) + reach, left : int(x) + reach]
        dy, dx = rows[window] - y, columns[window] - x
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / ratio
        bend = 1 + 0.12 * np.sin(3 * np.arctan2(across, along) + angle)
        inside = 1 / (1 + np.exp((np.hypot(along, across) - size * bend) * 1.5))
        body = inside * (1 - contrast + contrast * 2 * texture[window])
        image[window] = np.maximum(image[window], body * rng.uniform(0.4, 1.0))
    return _normalised(image)


def _membranes(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Cell borders: the ridges between cells, or level sets of a smooth field."""
    if rng.random() < 0.5:
        cell = rng.uniform(12, 45)  # pixels across
        n_cells = max(4, int(np.prod(shape) / cell**2))
        seeds = rng.uniform(-0.1, 1.1, (n_cells, 2)) * np.asarray(shape)
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        warp = cell * 0.35
        y = rows + warp * (_smooth_field(shape, rng, cell) - 0.5)
        x = columns + warp * (_smooth_field(shape, rng, cell) - 0.5)
        points = np.stack([y.ravel(), x.ravel()], axis=1)
        nearest, _ = cKDTree(seeds).query(points, k=2)
        ridge = (nearest[:, 1] - nearest[:, 0]).reshape(shape)
        image = np.exp(-((ridge / rng.uniform(1.0, 3.0)) ** 2)).astype(np.float32)
    else:
        field = _smooth_field(shape, rng, rng.uniform(8, 30))
        slope = np.hypot(*np.gradient(field)) + 1e-3
        image = np.zeros(shape, np.float32)
        for level in rng.uniform(0.2, 0.8, rng.integers(1, 4)):
            distance = (field - level) / slope  # pixels from the level set
            image += np.exp(-((distance / rng.uniform(0.8, 2.0)) ** 2))
    return _normalised(image * (0.4 + 0.6 * _smooth_field(shape, rng, 40)))


def _splat(
    image: Image,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    value: NDArray[np.float64],
) -> None:
    """Add points at sub-pixel positions with bilinear weights, in place."""
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            rows, columns = top + dy, left + dx
            weight = (1 - np.abs(y - rows)) * (1 - np.abs(x - columns))
            inside = (
                (rows >= 0)
                & (rows < image.shape[0])
                & (columns >= 0)
                & (columns < image.shape[1])
            )
            flat = rows[inside] * image.shape[1] + columns[inside]
            image += np.bincount(
                flat, (value * weight)[inside], minlength=image.size
            ).reshape(image.shape)


def _normalised(image: NDArray[Any]) -> Image:
    result: Image = (image / max(float(np.percentile(image, 99.9)), 1e-6)).astype(
        np.float32
    )
    return np.minimum(result, np.float32(2.0))
