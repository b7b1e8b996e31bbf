"""Make the screenshots of the documentation from the running plugin.

    python docs/screenshots.py

It needs a display; on a server run it within ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mpi.io.files import ImageData, write_image

IMAGES = Path(__file__).parent / "images"
_TITLE = "synthetic noisy"


def main() -> None:
    """Open the sample, use the docks, and photograph the window."""
    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1400, 960)
    viewer.open_sample("napari-mpi", "synthetic")

    def photograph(name: str) -> None:
        for _ in range(20):
            QApplication.processEvents()
            QTest.qWait(50)
        window.grab().save(str(IMAGES / f"{name}.png"))

    # What is trained and written here is nobody's. Its name is seen in the pictures.
    folder = Path(tempfile.gettempdir()) / "microscope"
    folder.mkdir()
    try:
        os.environ["NAPARI_MPI_WEIGHTS"] = str(folder / "weights")
        _denoise(viewer, photograph)
        _train(viewer, photograph)
        _batch(viewer, photograph, folder)
    finally:
        shutil.rmtree(folder)
    viewer.close()


def _denoise(viewer: napari.Viewer, photograph: Callable[[str], None]) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    viewer.layers.selection.active = viewer.layers[_TITLE]
    viewer.dims.set_current_step(0, 0)
    viewer.reset_view()
    widget.try_region()
    _wait(lambda: not widget.running)
    photograph("widget-tried")
    for name in ("fast", "auto"):
        viewer.layers.remove(f"{_TITLE} region {name}")
    widget.run()
    _wait(lambda: f"{_TITLE} first look" in viewer.layers)
    photograph("widget-learning")
    _wait(lambda: f"{_TITLE} denoised" in viewer.layers)
    viewer.dims.set_current_step(0, 0)
    photograph("widget-running")
    _wait(lambda: not widget.running)
    viewer.layers[_TITLE].visible = False
    photograph("widget-denoised")
    widget.trust.course.expand(animate=False)
    viewer.layers[f"{_TITLE} noise map"].visible = True
    viewer.layers[f"{_TITLE} denoised"].visible = False
    photograph("widget-noise-map")
    viewer.window.remove_dock_widget(dock)


def _train(viewer: napari.Viewer, photograph: Callable[[str], None]) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget(
        "napari-mpi", "MPI train weights"
    )
    widget.form.layers.value = [viewer.layers["synthetic truth"]]
    widget.form.unit.value = "steps"
    widget.form.budget.value = 8
    widget.train()
    _wait(lambda: not widget.running)
    photograph("widget-train")
    viewer.window.remove_dock_widget(dock)


def _batch(
    viewer: napari.Viewer, photograph: Callable[[str], None], folder: Path
) -> None:
    data = folder / "images"
    data.mkdir()
    stack = viewer.layers[_TITLE].data
    for number, plane in enumerate(stack):
        image = ImageData(plane, "YX", (0.1, 0.1), ("µm", "µm"), f"field {number}")
        write_image(data / f"field_{number}.ome.tif", image)
    (data / "broken.tif").write_bytes((data / "field_0.ome.tif").read_bytes()[:5000])
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI batch")
    widget.form.folder.value = data
    widget.form.output.value = folder / "results"
    widget.form.preset.value = "fast"
    widget.run()
    _wait(lambda: not widget.running)
    viewer.layers.clear()
    widget.table.selectRow(1)
    widget.open_result()
    widget.table.selectRow(0)  # why it failed is to be read
    photograph("widget-batch")


def _wait(done: Callable[[], Any]) -> None:
    while not done():
        QTest.qWait(100)


if __name__ == "__main__":
    main()
