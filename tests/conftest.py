"""Fixtures that several modules share."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@pytest.fixture
def own_weights(tmp_path, monkeypatch) -> Path:
    """Keep imported weights in a folder of the test's own, which is not there yet."""
    path = tmp_path / "weights"
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(path))
    return path


@pytest.fixture
def image_folder(rng, tmp_path) -> Path:
    """A folder with two small images of two planes, one of them in a folder inside."""
    folder = tmp_path / "data"
    (folder / "day1").mkdir(parents=True)
    for name in ("a", "day1/b"):
        image = rng.poisson(30, (2, 20, 22)).astype(np.uint16)
        tifffile.imwrite(folder / f"{name}.tif", image)
    return folder


@pytest.fixture
def server(monkeypatch):
    """Serve weights under the name "lab" and no other, with faults on demand.

    `fault` is None, "missing", "broken" in the middle, or "slow": then the second half
    waits for `go_on`. `requests` counts.
    """
    from napari_mpi.weights.download import ONLINE
    from napari_mpi.weights.folder import BUNDLED

    content = BUNDLED["universal"].read_bytes()
    half = len(content) // 2

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests += 1
            if server.fault == "missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:half])
            if server.fault == "slow":
                server.go_on.wait(60)
            if server.fault != "broken":
                with suppress(OSError):  # the other side may have gone, as it should
                    self.wfile.write(content[half:])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.fault, server.go_on = 0, None, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    lab = replace(
        next(iter(ONLINE.values())),
        url=f"http://127.0.0.1:{server.server_port}/lab.safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    for name in list(ONLINE):
        monkeypatch.delitem(ONLINE, name)
    monkeypatch.setitem(ONLINE, "lab", lab)
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def widget(viewer):
    """The dock "MPI denoise" in the viewer's window."""
    from napari_mpi._napari.denoise_dock import DenoiseWidget

    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MPI denoise")
    return widget
