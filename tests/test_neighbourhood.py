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

    assert closest_axis(list(np.ndindex(noisy.shape[:2])), read) == axis


@pytest.mark.parametrize("axis", [0, 1])
def test_empty_planes_do_not_decide(rng, axis):
    steps = np.moveaxis(rng.normal(size=(5, 1, 40, 50)).repeat(3, axis=1), axis, 1)
    empty = [
        index for index in np.ndindex(steps.shape[:2]) if 1 <= index[axis ^ 1] <= 3
    ]
    filled = [index for index in np.ndindex(steps.shape[:2]) if index not in empty]

    def read(index):
        assert index in filled
        return steps[index][None]

    assert closest_axis(filled, read) == axis


def test_a_single_axis_needs_no_look():
    for shape, axis in (((1, 7), 1), ((1, 1), None), ((), None)):
        indices = list(np.ndindex(shape))
        assert closest_axis(indices, lambda _: pytest.fail("read")) == axis
    assert closest_axis([(0,), (2,)], lambda _: pytest.fail("read")) is None
