"""What of an earlier run depends on the image that is chosen: planes and channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.layers import Image

from napari_mpi._napari.form import DenoiseForm
from napari_mpi._napari.layers import channel_axis
from napari_mpi._napari.roles import record_of

__all__ = ["EarlierRun"]


class EarlierRun:
    """Chooses the planes of an earlier run in each image that has them.

    It does so until the user chooses planes by hand.

    Parameters
    ----------
    form : DenoiseForm
        Where image and planes are chosen.
    viewer : napari.components.ViewerModel
        Its sliders are moved to a plane that was denoised alone.
    """

    def __init__(self, form: DenoiseForm, viewer: ViewerModel) -> None:
        self._form, self._viewer = form, viewer
        self._report: Mapping[str, Any] | None = None
        self._image: Any = None  # a weak reference to the one that was seen to
        form.planes.which.changed.connect(self._forget)

    def _forget(self) -> None:
        self._report = None

    def use(self, report: Mapping[str, Any]) -> list[str]:
        """Begin with this run, and return what `follow` does."""
        self._report, self._image = report, None
        return self.follow()

    def follow(self) -> list[str]:
        """Choose the planes in an image that was chosen; return sentences about it."""
        image, report = self._form.image.value, self._report
        if report is None or image is None:
            return []
        if self._image is not None and self._image() is image:
            return []
        planes = report.get("planes", "")
        is_result = record_of(image) == report
        fits = self._form.planes.use("" if is_result else planes, image, self._viewer)
        self._report, self._image = report, ref(image)
        return [
            *_about_planes(planes, image, fits, is_result),
            *_about_channels(report.get("channel_axis"), image),
        ]


def _about_planes(planes: str, image: Image, fits: bool, is_result: bool) -> list[str]:
    if not planes:
        return []
    first, _, end = planes.partition(":")
    if planes == f"{first}:{int(first) + 1}":
        words = f"plane {first} only"
    elif "," in planes:
        words = f"the planes [{planes}] only"
    else:
        words = f"planes {first} to {int(end) - 1} only"
    if is_result:
        return [
            f"That run took {words} of the image that this was made from: choose that "
            "image, and they are chosen, too."
        ]
    if fits:
        return [f"As in that run, {words} will be denoised."]
    return [
        f"That run took {words}, which {image.name} does not have: all of its planes "
        "are chosen instead."
    ]


def _about_channels(axis: int | None, image: Image) -> list[str]:
    if axis == channel_axis(image):
        return []
    if axis is None:
        return [
            f"That run took all planes together, but {image.name} has channels, which "
            "are denoised each on its own."
        ]
    return [
        f"That run took each channel on its own, but axis {axis} of {image.name} is "
        'not labelled "channel": its planes are taken together.'
    ]
