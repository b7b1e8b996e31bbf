"""Words about an image, which are not to be read as if they were of another."""

from __future__ import annotations

import weakref

from napari.layers import Image

from napari_mpi._napari.roles import is_result

__all__ = ["Remark"]


class Remark:
    """What a panel said of an image: outcome, error, forecast or refusal.

    Parameters
    ----------
    image : napari.layers.Image or None
        What it was said of; None if there was no image.
    words : str
        What was said.
    """

    def __init__(self, image: Image | None, words: str) -> None:
        self.words = words
        # The image may be removed, and is then let go.
        self._image = None if image is None else weakref.ref(image)

    def is_about(self, image: Image | None) -> bool:
        """Whether it may stand while this image is chosen, which may be a result."""
        if image is None or self._image is None:
            return image is None and self._image is None
        return image is self._image() or is_result(image)
