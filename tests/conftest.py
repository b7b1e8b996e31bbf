"""Fixtures that several modules share."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def noisy(rng) -> np.ndarray:
    """A small noisy uint16 image: a bright disc, photon noise, an offset."""
    rows, columns = np.mgrid[:40, :48]
    disc = np.hypot(rows - 20, columns - 24) < 12
    return (100 + rng.poisson(10 + 90 * disc)).astype(np.uint16)


@pytest.fixture
def stack(rng) -> np.ndarray:
    """Five planes of uint16, none of them empty."""
    return rng.integers(1, 60000, (5, 40, 48), dtype=np.uint16)


@pytest.fixture
def clean_images(tmp_path, rng) -> Path:
    """A folder to train on: a 16-bit image and an 8-bit stack."""
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", rng.integers(0, 4000, (70, 80), np.uint16))
    tifffile.imwrite(folder / "b.tif", rng.integers(0, 255, (2, 64, 64), np.uint8))
    return folder


@pytest.fixture
def output(tmp_path) -> Path:
    """Where trained weights shall be written; nothing else is in the folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "lab.safetensors"


@pytest.fixture
def few_held_out_crops(monkeypatch) -> None:
    """Spare the tests the time that many crops take."""
    monkeypatch.setattr("napari_mpi.training.held_out._N_CROPS", 4)


@pytest.fixture(autouse=True)
def quiet_tifffile() -> None:
    """Tests damage files on purpose; what tifffile logs about them is no news."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@pytest.fixture
def shared_data() -> Path:
    """The folder of reference weights and images, or a skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("NAPARI_MPI_DATA", default))
    if not (folder / "weights").is_dir():
        pytest.skip(f"no reference weights and images in {folder}")
    return folder
