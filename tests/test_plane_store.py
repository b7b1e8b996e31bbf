import numpy as np
import pytest

from napari_mpi.arrays import storage
from napari_mpi.arrays.planes import PlaneGrid
from napari_mpi.pipeline.plane_store import (
    PlaneStore,
    allocate_results,
    planes_to_look_at,
)


def a_store(source, rgb=False):
    grid = PlaneGrid.of(source, rgb)
    return PlaneStore(source, grid, allocate_results(source, grid.shape))


class Counting:
    """A lazy array that counts how often each plane is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return self.array[index]


def test_every_plane_of_a_lazy_array_is_read_once(rng):
    source = Counting(rng.normal(size=(5, 16, 16)))
    store = a_store(source)
    assert source.read == [(0,), (1,), (2,), (3,), (4,)]
    assert isinstance(store.image, np.memmap)
    assert np.array_equal(store.image, source.array)
    assert not store.noise_map.any()


def test_planes_that_are_stored_together_are_read_together_and_let_go(rng):
    source = Counting(rng.normal(size=(5, 16, 16)))
    source.chunks = (3, 16, 16)
    store = a_store(source)
    assert source.read == [(slice(0, 3),), (slice(3, 5),)]
    for _ in range(2):
        assert np.array_equal(store.original((4,)), source.array[4])
        store.original((3,))
        store.let_go()
    assert source.read[2:] == [(slice(3, 5),)] * 2


def test_empty_frames_are_known(rng):
    source = rng.integers(0, 9, (4, 16, 16))
    source[1] = 3
    store = a_store(source)
    assert store.varying == [(0,), (2,), (3,)]
    assert not store.constant
    assert a_store(np.ones((3, 16, 16))).constant
    assert a_store(np.stack([np.zeros((16, 16)), np.ones((16, 16))])).constant


def test_empty_frames_have_no_say_in_the_scaling(rng):
    frames = rng.integers(10, 50, (2, 64, 64), np.uint16)
    blank = np.full((1, 64, 64), 65535, np.uint16)
    with_blank = a_store(np.concatenate([frames, blank])).sample
    assert (with_blank.min(), with_blank.max()) == (10, 49)
    assert a_store(blank).sample.max() == 65535


def test_transparency_and_a_colour_make_no_frame_a_filled_one(rng):
    frames = rng.integers(0, 9, (3, 16, 16, 4))
    frames[0] = (0, 0, 0, 255)
    frames[1] = (255, 0, 0, 255)
    assert a_store(frames, rgb=True).varying == [(2,)]


def test_a_result_is_rounded_and_the_noise_map_is_what_is_missing(rng):
    source = rng.integers(0, 200, (2, 16, 16)).astype(np.uint8)
    store = a_store(source)
    noisy = store.plane((1,))
    store.put((1,), noisy, np.full((1, 16, 16), 99.6))
    assert (store.image[1] == 100).all()
    assert np.array_equal(store.noise_map[1], source[1] - 100.0)
    assert np.array_equal(store.image[0], source[0])
    assert np.array_equal(store.noisy([(1,)])[0], source[1])
    assert (store.done([(1,)]) == 100).all()


@pytest.mark.parametrize("value", [1e15, -1e30])
def test_a_value_that_stands_for_nothing_is_told(value, rng):
    source = rng.normal(10, 1, (40, 40)).astype(np.float32)
    source[10:13, 10:13] = value
    with pytest.raises(ValueError, match=r"most lie within 8.* and 1.*missing"):
        a_store(source)
    source[10:13, 10:13] = 1e6 * np.sign(value)
    a_store(source)


def test_colours_count_as_planes(rng):
    source = rng.integers(0, 200, (2, 16, 20, 4)).astype(np.uint8)
    assert a_store(source, rgb=True).noisy([(0,), (1,)]).shape == (6, 16, 20)


def test_large_results_go_to_a_file(rng, monkeypatch):
    monkeypatch.setattr(storage, "_MAX_IN_MEMORY", 1000)
    assert isinstance(a_store(rng.normal(size=(16, 16))).image, np.memmap)


def test_the_larger_planes_are_the_fewer_are_looked_at():
    few = [
        [
            index[0]
            for index in planes_to_look_at(
                [(n,) for n in range(9)], PlaneGrid((9, side, side), rgb=False)
            )
        ]
        for side in (512, 2048, 4096)
    ]
    assert few == [[0, 2, 4, 6, 8], [0, 3, 5, 8], [4]]


def test_a_place_for_the_uncertainty_is_made_when_asked_for(rng):
    source = Counting(rng.normal(size=(2, 16, 16)))
    grid = PlaneGrid.of(source, False)
    assert allocate_results(source, grid.shape).uncertainty is None
    store = PlaneStore(
        source, grid, allocate_results(source, grid.shape, uncertainty=True)
    )
    assert isinstance(store.uncertainty, np.memmap)  # like the rest of a lazy array
    store.put_uncertainty((1,), np.full((1, 16, 16), 3.0))
    assert not store.uncertainty[0].any()
    assert (store.uncertainty[1] == 3).all()
