import numpy as np
import pytest

from napari_mpi.pipeline.neighbourhood import Neighbourhood, closest_axis


def test_planes_beside_each_other_follow_each_other():
    order = Neighbourhood(0, 1).in_order(np.ndindex(2, 3))
    assert order == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert Neighbourhood(1, 1).in_order(np.ndindex(2, 3)) == list(np.ndindex(2, 3))


def test_planes_on_either_side_are_named():
    beside = Neighbourhood(1, 2).beside((4, 5))
    assert beside == [(4, 3), (4, 4), (4, 6), (4, 7)]


@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_is_the_one_along_which_less_changes(rng, axis):
    steps = np.moveaxis(rng.normal(size=(4, 1, 40, 50)).repeat(3, axis=1), axis, 1)
    noisy = steps + 0.1 * rng.normal(size=steps.shape)
    noisy += rng.normal(size=(*noisy.shape[:2], 1, 1))  # lamps flicker

    def read(index):
        return noisy[index][None]

    assert closest_axis(noisy.shape[:2], read) == axis


def test_a_single_axis_needs_no_look():
    assert closest_axis((1, 7), lambda _: pytest.fail("read")) == 1
    assert closest_axis((1, 1), lambda _: pytest.fail("read")) is None
    assert closest_axis((), lambda _: pytest.fail("read")) is None
