"""What a run is about: which layers, and which of their planes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, SpinBox
from napari.components import ViewerModel
from napari.layers import Image

from napari_mpi._napari.controls import row
from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.roles import is_result
from napari_mpi._napari.shown_plane import (
    no_plane_of,
    show_plane,
    shown_index,
    slider_index,
)
from napari_mpi.arrays.parts import part_of

__all__ = ["LayerPart", "PlaneChoice", "chosen_layers", "selected_input"]

_ALL, _CURRENT, _RANGE = "all", "current", "range"


@dataclass(frozen=True)
class LayerPart:
    """The planes of a layer that a run is about.

    Attributes
    ----------
    layer : napari.layers.Image
        The layer; it is not changed.
    index : tuple of slice
        Of its leading axes; empty for all planes.
    """

    layer: Image
    index: tuple[slice, ...] = ()
    _whole: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_whole", layer_array(self.layer))

    @property
    def replaced(self) -> bool:
        """Whether the layer holds another image by now."""
        return layer_array(self.layer) is not self._whole

    def array(self) -> Any:
        """Return the pixels at full resolution, without loading a lazy array."""
        return part_of(self._whole, self.index) if self.index else self._whole

    @property
    def offset(self) -> tuple[int, ...]:
        """Where the first chosen pixel lies in the layer."""
        starts = self._starts
        return (*starts, *[0] * (self.layer.ndim - len(starts)))

    @property
    def _starts(self) -> tuple[int, ...]:
        return tuple(one.start for one in self.index)

    def place_of(self, index: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return where a plane of the layer lies in `array`, if it does."""
        chosen = zip(index, self.index, strict=False)
        if any(at not in range(one.start, one.stop) for at, one in chosen):
            return None
        # A thread asks, which must not ask the layer.
        starts = (*self._starts, *[0] * (len(index) - len(self.index)))
        return tuple(at - start for at, start in zip(index, starts, strict=False))

    @property
    def planes(self) -> str:
        """The chosen planes as an index in Python's words; empty for all."""
        return ", ".join(f"{one.start}:{one.stop}" for one in self.index)


def chosen_layers(viewer: ViewerModel, chosen: Image | None) -> list[Image]:
    """Return the selected image layers if the chosen one is among them, else that one.

    Results that are selected together with other images are not meant.
    """
    if chosen is None:
        return []
    selected = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and layer in viewer.layers.selection
    ]
    inputs = [layer for layer in selected if not is_result(layer)] or selected
    return inputs if chosen in inputs else [chosen]


def selected_input(viewer: ViewerModel) -> Image | None:
    """Return the image layer that is selected, unless it is a result."""
    active = viewer.layers.selection.active
    if not isinstance(active, Image):
        return None
    return None if is_result(active) else active


class PlaneChoice(Container):  # type: ignore[misc]
    """Choose all planes of a layer, the one that is shown, or a range of them."""

    def __init__(self) -> None:
        super().__init__(layout="vertical", labels=False, name="planes")
        self.margins = (0, 0, 0, 0)
        self._offered = False
        # What was asked for, which a shorter stack cannot show; None is the last plane.
        self._asked: tuple[int, int | None] = (0, None)
        self.which = ComboBox(
            choices=[
                ("all planes", _ALL),
                ("the plane you see", _CURRENT),
                ("from … to …", _RANGE),
            ]
        )
        self.first = SpinBox(
            label="first plane",
            min=0,
            tooltip="The first plane, counted within the layer, from 0.",
        )
        self.last = SpinBox(
            label="last plane",
            min=0,
            tooltip="The last plane, counted within the layer, from 0.",
        )
        self.range = row(self.first, self.last, visible=False)
        self.extend([self.which, self.range])
        self.which.changed.connect(self._show_range)
        self.first.changed.connect(self._remember)
        self.last.changed.connect(self._remember)

    def _remember(self) -> None:
        self._asked = (self.first.value, self.last.value)

    def _show_range(self) -> None:
        self.range.visible = self.which.value == _RANGE

    def follow(self, layer: Image | None) -> None:
        """Offer the planes of this layer; of a single plane there is no choice."""
        shape = () if layer is None else _leading_shape(layer)
        self._offered = max(shape, default=1) > 1
        self.visible = self._offered
        if not self._offered:
            return
        assert layer is not None
        axis = _slider_axis(shape)
        end = shape[axis] - 1
        for box, asked in zip((self.first, self.last), self._asked, strict=True):
            with box.changed.blocked():
                box.max = end
                box.value = end if asked is None else min(asked, end)
        label = layer.axis_labels[axis]
        # napari calls an axis without a name "-3" or "axis -3".
        name = "" if label.removeprefix("axis ").lstrip("-").isdigit() else f"{label} "
        chosen = self.which.value
        self.which.choices = [
            ("all planes", _ALL),
            ("the plane you see", _CURRENT),
            (f"{name}from … to …", _RANGE),
        ]
        self.which.value = chosen  # other words for it would lose it
        # The widgets in a container that was hidden come back all at once.
        self._show_range()

    def part(self, layer: Image, viewer: ViewerModel) -> LayerPart:
        """Return what was chosen of a layer.

        Parameters
        ----------
        layer : napari.layers.Image
            The layer.
        viewer : napari.components.ViewerModel
            Where it is shown.

        Raises
        ------
        ValueError
            If the layer has none of the chosen planes, or no plane is to be seen.
        """
        shape = _leading_shape(layer)
        nothing_to_choose = not self._offered or max(shape, default=1) == 1
        if nothing_to_choose or self.which.value == _ALL:
            return LayerPart(layer)
        if self.which.value == _CURRENT:
            here = shown_index(layer, viewer)
            if here is None:
                raise ValueError(no_plane_of(layer))
            return LayerPart(layer, tuple(slice(n, n + 1) for n in here))
        axis = _slider_axis(shape)
        index = [slice(0, length) for length in shape[: axis + 1]]
        low, high = sorted((self.first.value, self.last.value))
        chosen = range(shape[axis])[low : high + 1]
        if not chosen:
            raise ValueError(
                f"{layer.name} has the planes 0 to {shape[axis] - 1} only: choose some "
                "of these, or select it alone."
            )
        index[axis] = slice(chosen.start, chosen.stop)
        return LayerPart(layer, tuple(index))

    def use(self, planes: str, layer: Image, viewer: ViewerModel) -> bool:
        """Choose the planes of an earlier run.

        Parameters
        ----------
        planes : str
            `LayerPart.planes` of that run.
        layer : napari.layers.Image
            Where they are chosen; `follow` knows it.
        viewer : napari.components.ViewerModel
            Its sliders are moved to a plane that was denoised alone.

        Returns
        -------
        bool
            False if the layer does not have these planes; then all are chosen.
        """
        self.which.value = _ALL
        if not planes or not self._offered:
            return not planes
        shape = _leading_shape(layer)
        index = [slice(*map(int, one.split(":"))) for one in planes.split(",")]
        chosen = index[min(_slider_axis(shape), len(index) - 1)]
        with suppress(ValueError):  # the boxes know how many planes there are
            self.first.value, self.last.value = chosen.start, chosen.stop - 1
            self.which.value = _RANGE
            if self.part(layer, viewer).planes == planes:
                return True
        if len(index) == len(shape) and all(n.stop == n.start + 1 for n in index):
            plane = tuple(one.start for one in index)
            show_plane(layer, plane, viewer)
            if slider_index(layer, viewer) == plane:
                self.which.value = _CURRENT
                return True
        self.which.value = _ALL
        return False


def _leading_shape(layer: Image) -> tuple[int, ...]:
    shape: tuple[int, ...] = layer_array(layer).shape
    return shape[: len(shape) - 2 - layer.rgb]


def _slider_axis(shape: tuple[int, ...]) -> int:
    """Return the first axis that has more than one plane."""
    return int(np.argmax(np.array(shape) > 1))
