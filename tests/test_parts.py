import dask.array
import numpy as np
import pytest

from napari_mpi.arrays.parts import part_of


class OnDisk:
    """What zarr and HDF5 offer: a shape, a type, and slices that are read at once."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self.n_read = 0

    def __getitem__(self, index):
        taken = self._array[index]
        self.n_read += taken.size
        return taken


@pytest.fixture
def array(rng):
    return rng.normal(size=(4, 3, 20, 18))


@pytest.mark.parametrize("kind", [np.asarray, dask.array.from_array, OnDisk])
@pytest.mark.parametrize(
    "index",
    [
        (slice(1, 3),),
        (2,),
        (slice(None), 1),
        (slice(1, 4), slice(2, 3)),
        (slice(3, 9),),
        (),
    ],
)
def test_a_part_is_what_slicing_gives(array, kind, index):
    part = part_of(kind(array), index)
    expected = array[index]
    assert part.shape == expected.shape
    assert part.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(part), expected)
    np.testing.assert_array_equal(np.asarray(part[0]), expected[0])
    corner = (0, slice(2, 5))
    np.testing.assert_array_equal(np.asarray(part[corner]), expected[corner])


def test_nothing_is_read_before_a_plane_is_asked_for(array):
    source = OnDisk(array)
    part = part_of(source, (slice(1, 4), 2))
    assert source.n_read == 0
    part[0]
    assert source.n_read == 20 * 18
