"""Zero-shot denoising of microscopy images by masked pre-training and filling.

Everything below loads on first use, so that ``import napari_mpi`` stays light:
neither torch nor Qt is imported until something is computed.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mpi._napari.layers import denoise_layer
    from napari_mpi.batch.api import denoise_files
    from napari_mpi.batch.records import Record
    from napari_mpi.config import PRESETS, FillConfig
    from napari_mpi.io.image_data import FileError
    from napari_mpi.pipeline.api import denoise, iter_denoise
    from napari_mpi.pipeline.denoising import Denoised, Denoising, Progress
    from napari_mpi.training.config import PretrainConfig
    from napari_mpi.training.pretrain import pretrain
    from napari_mpi.weights.loading import Weights, load_weights
    from napari_mpi.weights.tensors import WeightsError

try:
    __version__ = version("napari-mpi")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+unknown"

__all__ = [
    "PRESETS",
    "Denoised",
    "Denoising",
    "FileError",
    "FillConfig",
    "PretrainConfig",
    "Progress",
    "Record",
    "Weights",
    "WeightsError",
    "denoise",
    "denoise_files",
    "denoise_layer",
    "iter_denoise",
    "load_weights",
    "pretrain",
]

_HOME = {
    "PRESETS": "config",
    "Denoised": "pipeline.denoising",
    "Denoising": "pipeline.denoising",
    "FileError": "io.image_data",
    "FillConfig": "config",
    "PretrainConfig": "training.config",
    "Progress": "pipeline.denoising",
    "Record": "batch.records",
    "Weights": "weights.loading",
    "WeightsError": "weights.tensors",
    "denoise": "pipeline.api",
    "denoise_files": "batch.api",
    "denoise_layer": "_napari.layers",
    "iter_denoise": "pipeline.api",
    "load_weights": "weights.loading",
    "pretrain": "training.pretrain",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
