"""A held-out patch before and after training, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_mpi.training.held_out import Preview

__all__ = ["BeforeAndAfter"]

_SIDE = 116  # pixels; two fit a narrow dock beside its scroll bar


class BeforeAndAfter(QWidget):  # type: ignore[misc]
    """Four pictures of a patch: clean, noisy, and what two weights make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "A patch that is never trained on: as it is, with simulated noise, and "
            "what the weights make of that at the start and now, without adapting to "
            "it. More dB is closer to the clean patch."
        )
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.captions: dict[str, QLabel] = {}
        self.pictures: dict[str, QLabel] = {}
        for index, name in enumerate(("clean", "noisy", "before", "now")):
            row, column = divmod(index, 2)
            self.captions[name] = QLabel(name)
            self.pictures[name] = QLabel()
            self.pictures[name].setFixedHeight(_SIDE)
            for label in (self.captions[name], self.pictures[name]):
                label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(self.captions[name], 2 * row, column)
            layout.addWidget(self.pictures[name], 2 * row + 1, column)
        layout.setRowStretch(4, 1)

    def show_preview(self, preview: Preview) -> None:
        """Show a patch; all four pictures have the contrast of the clean one."""
        low, high = np.percentile(preview.clean, (0.5, 99.8))
        for name, picture in self.pictures.items():
            image = getattr(preview, name)
            scaled = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
            picture.setPixmap(_pixmap(scaled))
            if name != "clean":
                self.captions[name].setText(f"{name}, {preview.psnr(image):.1f} dB")


def _pixmap(image: NDArray[Any]) -> QPixmap:
    """Draw an image (C, H, W), 0 to 1; of other than three channels the first."""
    samples = np.rint(255 * image).astype(np.uint8)
    samples = np.moveaxis(samples, 0, -1) if len(samples) == 3 else samples[0]
    samples = np.ascontiguousarray(samples)
    height, width = samples.shape[:2]
    kind = (
        QImage.Format.Format_RGB888
        if samples.ndim == 3
        else QImage.Format.Format_Grayscale8
    )
    drawn = QImage(samples.tobytes(), width, height, samples.strides[0], kind)
    return QPixmap.fromImage(drawn).scaled(
        _SIDE,
        _SIDE,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.FastTransformation,
    )
