"""The plane that is taken for the shown one is the one that napari shows."""

import numpy as np
import pytest

from napari_mpi._napari.shown_plane import show_plane, shown_index, slider_index

SHEARED = np.eye(4)
SHEARED[0, 1] = 0.5  # each row lies deeper than the one before
TILTED = {"scale": (2, 0.5, 0.5), "rotate": (0, 25, 0), "translate": (3, -4, 5)}

# napari tells that it leaves out what shifts a plane within itself.
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def numbered(*leading):
    """Planes that hold their own number, counted from 1."""
    numbers = np.arange(1.0, 1 + np.prod(leading)).reshape(*leading, 1, 1)
    return np.broadcast_to(numbers, (*leading, 20, 24)).copy()


def number_shown(layer):
    """The number of the plane that napari shows; 0 for none."""
    return layer._slice.image.raw.flat[0]


def number_of(layer, index):
    return 0 if index is None else layer.data[index].flat[0]


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"scale": (3, 0.5, 0.5), "translate": (7, 1, 2)},
        {"affine": SHEARED},
        {"affine": SHEARED.T},
        TILTED,
        {"scale": (-1, 1, 1)},
    ],
    ids=["plain", "scaled", "sheared", "sheared within", "tilted", "mirrored"],
)
def test_it_is_the_plane_that_napari_shows_wherever_the_slider_stands(viewer, geometry):
    layer = viewer.add_image(numbered(10), **geometry)
    viewer.add_image(np.zeros((40, 20, 24)), translate=(-12, 0, 0))
    seen = set()
    for at in np.arange(-11, 27, 0.75):
        viewer.dims.set_point(0, at)
        number = number_shown(layer)
        assert number_of(layer, shown_index(layer, viewer)) == number, at
        seen.add(number)
    assert {0, 4, 5, 6} <= seen


def test_layers_of_other_units_share_the_sliders(viewer):
    micro = viewer.add_image(numbered(10), scale=(1, 0.1, 0.1), units=("um",) * 3)
    nano = viewer.add_image(numbered(10), scale=(1000, 100, 100), units=("nm",) * 3)
    for step in range(viewer.dims.nsteps[0]):
        viewer.dims.set_current_step(0, step)
        for layer in (micro, nano):
            assert number_of(layer, shown_index(layer, viewer)) == number_shown(layer)


def test_layers_of_fewer_axes_are_shown_by_the_last_sliders(viewer):
    viewer.add_image(np.zeros((3, 4, 20, 24)))
    short = viewer.add_image(numbered(4))
    flat = viewer.add_image(np.zeros((20, 24)))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 3)
    assert number_of(short, shown_index(short, viewer)) == number_shown(short) == 4
    assert shown_index(flat, viewer) == ()


@pytest.mark.parametrize("view", [{"ndisplay": 3}, {"order": (2, 0, 1)}])
def test_a_view_of_other_axes_shows_no_single_plane(viewer, view):
    layer = viewer.add_image(numbered(5))
    viewer.dims.set_point(0, 3)
    for name, value in view.items():
        setattr(viewer.dims, name, value)
    assert shown_index(layer, viewer) is None
    if "ndisplay" in view:
        assert slider_index(layer, viewer) == (3,)


@pytest.mark.parametrize(
    "geometry",
    [{"scale": (3, 0.5, 0.5), "translate": (7, 1, 2)}, {"affine": SHEARED}, TILTED],
    ids=["scaled", "sheared", "tilted"],
)
def test_a_plane_can_be_brought_into_view(viewer, geometry):
    layer = viewer.add_image(numbered(4, 5), **geometry)
    show_plane(layer, (2, 3), viewer)
    assert number_shown(layer) == layer.data[2, 3, 0, 0]
    assert shown_index(layer, viewer) == (2, 3)


def test_a_plane_is_brought_into_view_beside_layers_of_other_units(viewer):
    micro = viewer.add_image(numbered(10), scale=(1, 0.1, 0.1), units=("um",) * 3)
    nano = viewer.add_image(numbered(10), scale=(1000, 100, 100), units=("nm",) * 3)
    for layer in (micro, nano):
        show_plane(layer, (6,), viewer)
        assert number_shown(layer) == 7
