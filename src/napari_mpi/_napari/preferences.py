"""What the user prefers, from napari's preferences.

The manifest declares the preferences; napari shows and keeps them from version 0.9 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from magicgui.widgets import ComboBox

from napari_mpi._napari.library_events import library_events
from napari_mpi.weights.folder import prefer_weights_folder, weights_folder

__all__ = ["Preferences"]

_PLUGIN = "napari-mpi"


@dataclass(frozen=True)
class Preferences:
    """What the user prefers.

    Attributes
    ----------
    preset, device : str
        What a new dock has chosen.
    live_preview : bool
        Whether the denoised layer shows a run that is under way.
    weights_folder : str
        Where downloaded and imported weights are; empty for the usual folder.
    """

    preset: str = "auto"
    device: str = "auto"
    live_preview: bool = True
    weights_folder: str = ""

    @classmethod
    def load(cls) -> Preferences:
        """Read them from napari; before version 0.9 there are only the defaults."""
        kept = _kept_by_napari()
        if kept is None:
            return cls()
        return cls(
            preset=kept.preset,
            device=kept.device,
            live_preview=kept.live_preview,
            weights_folder=kept.weights_folder.strip(),
        )

    @classmethod
    def apply(cls, weights: ComboBox | None = None) -> Preferences:
        """Read them, and keep weights in their folder from now on.

        Parameters
        ----------
        weights : ComboBox, optional
            Where weights are chosen.

        Raises
        ------
        ValueError
            If another folder lacks the chosen weights; the box has others now.
        """
        preferences = cls.load()
        folder, chosen = weights_folder(), weights and weights.value
        prefer_weights_folder(preferences.weights_folder)
        if weights_folder() != folder:
            library_events.changed.emit()
        if weights is not None and weights.value != chosen:
            raise ValueError(
                f"The weights {chosen} are not in the folder {weights_folder()}, which "
                "is preferred now: choose others."
            )
        return preferences


def _kept_by_napari() -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(_PLUGIN).denoising
    except KeyError:  # a plugin that is disabled has none
        return None
