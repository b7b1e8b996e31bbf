"""The run that gave a result last, and which images its report is of."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image

from napari_mpi._napari.roles import record_of

__all__ = ["LastRun", "run_to_tell_of"]


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

    def is_of(self, image: Image | None) -> bool:
        """Whether it tells what was found last in an image."""
        is_input = image is not None and image is self._layer()
        return is_input and not self.overtaken

    @property
    def heading(self) -> str:
        """What stands before its report while another image is chosen."""
        return f"Last result, of {self._name}:"


def run_to_tell_of(
    image: Image | None, last: LastRun | None
) -> tuple[dict[str, Any] | None, str]:
    """Return the report to show while an image is chosen, and what stands before it.

    What was just found in the image comes first, then the run that made it, then the
    last run, whatever it was about.
    """
    if last is not None and last.is_of(image):
        return last.report, ""
    own = record_of(image)
    if own is not None:
        return own, "The run that made this image:"
    return (None, "") if last is None else (last.report, last.heading)
