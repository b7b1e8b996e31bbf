import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_mpi._napari.region import Region, region_layer, visible_region


def world(layer, position):
    return np.asarray(layer.data_to_world(position))


def region_of(layer, point=()):
    viewer = ViewerModel()
    viewer.add_layer(layer)
    for axis, at in enumerate(point):
        viewer.dims.set_point(axis, at)
    return visible_region(layer, viewer)


def test_without_a_view_it_is_the_middle_of_the_current_slice():
    layer = Image(np.zeros((5, 600, 400)), scale=(2, 0.5, 0.5))
    region = region_of(layer, (6.0,))
    assert region == Region((3,), slice(172, 428), slice(72, 328))


def test_a_small_layer_is_taken_whole():
    region = region_of(Image(np.zeros((40, 60))))
    assert region == Region((), slice(0, 40), slice(0, 60))


def test_it_follows_the_view():
    layer = Image(np.zeros((500, 500)))
    layer.corner_pixels = np.array([[100, 200], [180, 499]])
    region = region_of(layer)
    assert region.rows == slice(100, 181)
    assert region.columns == slice(222, 478)


def test_a_tiny_view_is_widened_to_what_can_be_denoised():
    layer = Image(np.zeros((500, 500)))
    layer.corner_pixels = np.array([[0, 490], [3, 494]])
    region = region_of(layer)
    assert region.rows == slice(0, 16)
    assert region.columns == slice(484, 500)


def test_full_resolution_is_used_of_a_multiscale_layer(rng):
    data = rng.normal(size=(512, 512))
    layer = Image([data, data[::2, ::2]], multiscale=True)
    region = region_of(layer)
    assert region.cut(data).shape == (256, 256)


def test_only_the_slice_of_a_lazy_array_is_read(rng):
    array = rng.normal(size=(4, 50, 60))
    region = Region((2,), slice(10, 30), slice(5, 45))
    assert np.array_equal(region.cut(array), array[2, 10:30, 5:45])
    assert np.array_equal(region.plane(array), array[2])


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"scale": (3, 0.5, 0.25), "translate": (1, 20, -4)},
        {"scale": (3, 0.5, 0.25), "rotate": 30, "shear": [0.1, 0, 0.2]},
        {"affine": np.diag([2, 3, 4, 1]) + np.eye(4, k=3) * 5, "translate": (7, 8, 9)},
    ],
)
def test_the_result_lies_where_the_region_is(rng, geometry, rgb):
    shape = (4, 50, 60, 3) if rgb else (4, 50, 60)
    array = rng.integers(0, 255, shape, np.uint8)
    layer = Image(array, rgb=rgb, **geometry)
    region = Region((2,), slice(10, 30), slice(5, 45))
    shown = region_layer(layer, region, region.cut(array), "part")
    assert shown.data.shape == (1, 20, 40, 3)[: 3 + rgb]
    for position in ((0, 0, 0), (0, 19, 39), (0, 7, 3)):
        place = np.add(position, (2, 10, 5))
        np.testing.assert_allclose(world(shown, position), world(layer, place))
    assert shown.units == layer.units
