"""The run that ended last, and which images it is about."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image

__all__ = ["LastRun"]


class LastRun:
    """The run that ended last, whose words are not to be read as another image's.

    Parameters
    ----------
    layer : napari.layers.Image
        What was denoised.
    report : dict
        Its report.

    Attributes
    ----------
    outcome : str
        What was said of it.
    """

    def __init__(self, layer: Image, report: dict[str, Any]) -> None:
        self.report = report
        self.outcome = ""
        self._layer = weakref.ref(layer)  # it may be removed, and is then let go
        self._name = layer.name

    def is_about(self, image: Image | None) -> bool:
        """Whether an image was its input, or is a result that has a report itself."""
        if image is None:
            return False
        return "napari_mpi" in image.metadata or image is self._layer()

    def heading(self, image: Image | None) -> str:
        """Return what stands before its report while an image is chosen."""
        return "" if self.is_about(image) else f"Last run, of {self._name}:"
