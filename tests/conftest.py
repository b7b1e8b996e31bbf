"""Fixtures that several modules share."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest


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
