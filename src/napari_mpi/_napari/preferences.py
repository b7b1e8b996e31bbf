"""What the user prefers, from napari's preferences.

The manifest declares the preferences; napari shows and keeps them from version 0.9 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


def _kept_by_napari() -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(_PLUGIN).denoising
    except KeyError:  # a plugin that is disabled has none
        return None
