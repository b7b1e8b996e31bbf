"""The run that gave a result last, and which images its report is of."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image

from napari_mpi._napari.roles import record_of

__all__ = ["LastRun"]


class LastRun:
    """The run that gave a result last, whose report is not to be read as another's.

    Parameters
    ----------
    layer : napari.layers.Image
        What was denoised.
    report : dict
        Its report.

    Attributes
    ----------
    overtaken : bool
        Whether another run has begun since, which has given no result yet.
    """

    def __init__(self, layer: Image, report: dict[str, Any]) -> None:
        self.report = report
        self.overtaken = False
        self._layer = weakref.ref(layer)  # it may be removed, and is then let go
        self._name = layer.name

    def heading(self, image: Image | None) -> str:
        """Return what stands before its report while an image is chosen.

        None does before what was just found in that image. A result has a report
        itself.
        """
        is_input = image is not None and image is self._layer()
        if record_of(image) or (is_input and not self.overtaken):
            return ""
        return f"Last result, of {self._name}:"
