"""The form of the dock: which layer to denoise, and how."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox
from napari.layers import Image
from napari.viewer import Viewer

from napari_mpi._napari.fill_form import FillForm
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.selection import PlaneChoice

__all__ = ["DenoiseForm"]

_TOOLTIPS = {
    "image": "The layer to denoise. It is not changed.",
    "planes": "Which planes of a stack to denoise. The result covers these planes only "
    "and lies in their place.",
}


class DenoiseForm(FillForm):
    """Which layer to denoise, and how.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    preferences : Preferences
        What is chosen at first.
    """

    def __init__(self, viewer: Viewer, preferences: Preferences) -> None:
        def images(_: Any) -> list[Image]:
            return [layer for layer in viewer.layers if isinstance(layer, Image)]

        super().__init__(
            preferences,
            above=[ComboBox(name="image", choices=images), PlaneChoice()],
            tooltips=_TOOLTIPS,
            uncertainty="also add uncertainty",
        )
        self.planes.visible = False
        self.image.changed.connect(self.planes.follow)

    def reset_choices(self, *args: Any) -> None:
        """Follow the viewer's layers; a choice that is gone changes without a signal.

        magicgui tells layers apart by their names, and so would lose one that is
        renamed.
        """
        chosen = self.image.value
        with self.image.changed.blocked():
            super().reset_choices(*args)
            if chosen in self.image.choices:
                self.image.value = chosen
        self.planes.follow(self.image.value)
