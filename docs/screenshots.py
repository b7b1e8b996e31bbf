"""Make the screenshots of the documentation from the running plugin.

    python docs/screenshots.py

It needs a display; on a server run it within ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

from pathlib import Path

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Open the sample, run the widget, and photograph the window."""
    IMAGES.mkdir(exist_ok=True)

    viewer = napari.Viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1400, 860)
    viewer.open_sample("napari-mpi", "synthetic")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    widget.form.image.value = viewer.layers["synthetic noisy"]
    viewer.dims.set_current_step(0, 0)
    viewer.reset_view()

    def photograph(name: str) -> None:
        for _ in range(20):
            QApplication.processEvents()
            QTest.qWait(50)
        window.grab().save(str(IMAGES / f"{name}.png"))

    widget.try_region()
    while widget.running:
        QTest.qWait(100)
    photograph("widget-tried")
    for name in ("fast", "auto"):
        viewer.layers.remove(f"synthetic noisy region {name}")

    widget.run()
    while widget.running and widget.progress.value < 700:
        QTest.qWait(100)
    photograph("widget-running")
    while widget.running:
        QTest.qWait(100)
    viewer.layers["synthetic noisy"].visible = False
    photograph("widget-denoised")
    widget.form.advanced_fold.expand(animate=False)
    viewer.layers["synthetic noisy noise map"].visible = True
    viewer.layers["synthetic noisy denoised"].visible = False
    photograph("widget-noise-map")
    viewer.close()


if __name__ == "__main__":
    main()
