import pytest

from napari_mpi.arrays.spread import evenly, spread_evenly


def test_places_are_spread_from_the_first_to_the_last():
    assert evenly(9, 4) == [0, 3, 6, 9]
    assert evenly(9, 2) == [0, 9]


def test_a_single_place_is_in_the_middle():
    assert evenly(9, 1) == [4]
    assert evenly(0, 1) == [0]


@pytest.mark.parametrize(
    ("number", "expected"), [(1, "c"), (2, "ae"), (3, "ace"), (9, "abcde")]
)
def test_items_are_spread_from_the_first_to_the_last(number, expected):
    assert spread_evenly(list("abcde"), number) == list(expected)
