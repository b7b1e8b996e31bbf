import numpy as np
import pytest

from napari_mpi.arrays import slabs
from napari_mpi.arrays.slabs import SlabReader


class Stored:
    """An array in pieces, which counts how often each plane is read."""

    def __init__(self, values, chunks):
        self._values, self.chunks = values, chunks
        self.shape, self.dtype = values.shape, values.dtype
        self.n_read = np.zeros(values.shape[:-2], int)

    def __getitem__(self, index):
        self.n_read[index] += 1
        return self._values[index]


@pytest.fixture
def values():
    return np.arange(2 * 7 * 4 * 5).reshape(2, 7, 4, 5)


def read_all(stored):
    reader = SlabReader(stored)
    return np.stack([reader.read(index) for index in np.ndindex(stored.shape[:-2])])


@pytest.mark.parametrize(
    "chunks",
    [
        (1, 3, 4, 5),  # as of Zarr
        (2, 7, 2, 2),
        ((1, 1), (3, 4), (4,), (5,)),  # as of dask
        ((2,), (2, 2, 3), (1, 3), (5,)),
    ],
)
def test_all_planes_are_read(values, chunks):
    found = read_all(Stored(values, chunks))
    assert np.array_equal(found, values.reshape(-1, 4, 5))


@pytest.mark.parametrize("chunks", [(1, 3, 4, 5), ((1, 1), (3, 4), (4,), (5,))])
def test_planes_that_are_stored_together_are_read_once(values, chunks):
    stored = Stored(values, chunks)
    read_all(stored)
    assert (stored.n_read == 1).all()


def test_a_piece_that_is_too_large_is_not_kept(values, monkeypatch):
    monkeypatch.setattr(slabs, "_MAX_BYTES", 2 * values[0, 0].nbytes)
    stored = Stored(values, (1, 3, 4, 5))
    reader = SlabReader(stored)
    reader.read((0, 1))
    assert stored.n_read[0].tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_arrays_without_pieces_are_read_plane_by_plane(values):
    reader = SlabReader(values)
    assert np.array_equal(reader.read((1, 3)), values[1, 3])
    assert np.array_equal(SlabReader(values[0, 0]).read(()), values[0, 0])


def test_planes_of_dask_and_of_colour_are_read(values):
    da = pytest.importorskip("dask.array")
    lazy = da.from_array(values, chunks=(2, 3, 2, 5))
    assert np.array_equal(SlabReader(lazy).read((1, 4)), values[1, 4])
    assert np.array_equal(SlabReader(lazy).read((1,)), values[1])  # rows of colours
