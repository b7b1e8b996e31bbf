"""Add layers without taking away what the user is at work on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from napari.components import ViewerModel

__all__ = ["selection_kept"]


@contextmanager
def selection_kept(viewer: ViewerModel, own: Collection[Any]) -> Iterator[None]:
    """Select the layers again that were selected before, as napari selects new ones.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where layers are added meanwhile.
    own : collection of napari.layers.Layer
        If none but these are selected, the user looks on only, and a new one may take
        their place.
    """
    selected = set(viewer.layers.selection)
    yield
    selected &= set(viewer.layers)
    if not selected <= set(own):
        viewer.layers.selection = selected
