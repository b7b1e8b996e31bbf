"""Short trainings for the tests."""

import tifffile
import torch

from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.pretrain import iter_pretrain


def settings(**changes) -> PretrainConfig:
    return PretrainConfig(**{"steps": 3, "batch_size": 2, "crop_size": 64, **changes})


def write(folder, name, array):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, array)
    return folder


def run(*args, **kwargs):
    return list(iter_pretrain(*args, device="cpu", overwrite=True, **kwargs))


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )
