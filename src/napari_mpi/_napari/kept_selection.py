"""Add layers without taking away what the user is at work on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from napari.components import ViewerModel

__all__ = ["selection_kept"]


@contextmanager
def selection_kept(viewer: ViewerModel, own: Collection[Any]) -> Iterator[None]:
    """Select the layer again that was selected before, as napari selects new ones.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where layers are added meanwhile.
    own : collection of napari.layers.Layer
        Layers in whose place a new one may be selected, as the user looks on only.
    """
    active = viewer.layers.selection.active
    yield
    if active is not None and active not in own and active in viewer.layers:
        viewer.layers.selection.active = active
