"""Which planes are filled, joined and put back, and when; the pixels do not matter."""

import pytest

from napari_mpi.pipeline.joined_filling import JoinedFilling
from napari_mpi.pipeline.neighbourhood import Neighbourhood
from napari_mpi.pipeline.plane_filling import Filled, Plane

PLANES = [Plane(number, (number,)) for number in range(5)]


class Filler:
    """Writes down what it is asked for instead of doing it."""

    def __init__(self):
        self.filled, self.put_back = [], []

    def fill(self, plane, states, *, shown):
        self.filled.append((plane.number, shown))
        yield from ("first pass", "second pass")

    def take(self):
        return Filled(PLANES[self.filled[-1][0]], None, "alone")

    def join(self, own, others):
        numbers = [other.plane.number for other in others]
        return Filled(own.plane, None, f"with {numbers}"), 1.0 + len(others)

    def put(self, filled):
        self.put_back.append((filled.plane.number, filled.estimate))


@pytest.fixture
def filler():
    return Filler()


@pytest.fixture
def joined(filler):
    return JoinedFilling(PLANES, Neighbourhood(0, 1), filler)


def test_each_plane_is_filled_once_and_joined_when_those_beside_it_are(joined, filler):
    counts = []
    for plane in joined.order:
        for _ in joined.fill(plane, []):
            pass
        counts.append(joined.finish(plane))
    assert filler.filled == [(number, True) for number in range(5)]
    final = [put for put in filler.put_back if put[1] != "alone"]
    assert final == [
        (0, "with [1]"),
        (1, "with [0, 2]"),
        (2, "with [1, 3]"),
        (3, "with [2, 4]"),
        (4, "with [3]"),
    ]
    assert counts == [2, 3, 3, 3, 2]


def test_steps_tell_which_plane_is_at_work(joined):
    steps = list(joined.fill(PLANES[0], []))
    assert [(place, plane.number) for place, plane, _ in steps] == [
        (0, 0), (0, 0), (1, 1), (1, 1),
    ]  # fmt: skip


def test_what_an_earlier_run_finished_is_filled_for_others_and_not_shown(
    joined, filler
):
    joined.leave(PLANES[0])
    for _ in joined.fill(PLANES[1], []):
        pass
    joined.finish(PLANES[1])
    assert filler.filled == [(0, False), (1, True), (2, True)]
    assert [number for number, _ in filler.put_back] == [1, 2, 1]
    assert filler.put_back[-1] == (1, "with [0, 2]")


def test_what_waits_is_joined_with_what_there_is(joined, filler):
    for _ in joined.fill(PLANES[0], []):
        pass
    joined.finish(PLANES[0])
    for _ in joined.fill(PLANES[1], []):
        pass
    assert joined.finish_rest() == [3, 2]
    assert filler.put_back[-2:] == [(1, "with [0, 2]"), (2, "with [1]")]
    assert joined.finish_rest() == []
