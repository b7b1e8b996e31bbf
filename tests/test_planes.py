import numpy as np
import pytest

from napari_mpi.arrays.planes import PlaneGrid


def reassembled(array, rgb):
    grid = PlaneGrid.of(array, rgb)
    result = np.zeros_like(array)
    for index in grid.indices():
        channels = grid.to_channels(array[index])
        result[index] = grid.from_channels(channels, array[index])
    return result


@pytest.mark.parametrize(
    ("shape", "rgb", "n_planes", "channels"),
    [
        ((20, 30), False, 1, 1),
        ((5, 20, 30), False, 5, 1),
        ((2, 3, 4, 20, 30), False, 24, 1),
        ((20, 30, 3), True, 1, 3),
        ((20, 30, 4), True, 1, 3),
        ((2, 5, 20, 30, 4), True, 10, 3),
    ],
)
def test_an_array_comes_apart_into_planes_and_together_again(
    rng, shape, rgb, n_planes, channels
):
    array = rng.integers(0, 255, shape, np.uint8)
    grid = PlaneGrid.of(array, rgb)
    indices = list(grid.indices())
    assert grid.n_planes == len(indices) == len(set(indices)) == n_planes
    assert all(array[index].shape == grid.plane_shape for index in indices)
    assert grid.to_channels(array[indices[0]]).shape == (channels, 20, 30)
    assert np.array_equal(reassembled(array, rgb), array)


def test_transparency_is_kept_while_colours_change(rng):
    plane = rng.integers(0, 100, (16, 16, 4), np.uint8)
    grid = PlaneGrid.of(plane, rgb=True)
    changed = grid.from_channels(grid.to_channels(plane) + np.uint8(50), plane)
    assert np.array_equal(changed[..., :3], plane[..., :3] + 50)
    assert np.array_equal(changed[..., 3], plane[..., 3])


def test_the_array_is_not_read():
    class Lazy:
        shape, dtype = (10**6, 2048, 2048), "uint16"

    assert PlaneGrid.of(Lazy(), rgb=False).n_planes == 10**6


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "i8", "f2", "f4", "f8"])
def test_integers_and_floats_are_images(dtype):
    assert PlaneGrid.of(np.zeros((16, 16), dtype), rgb=False).n_planes == 1


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (bool, "got bool. A mask has no noise"),
        (complex, "got complex128. Denoise the real and the imaginary part"),
        ("U3", "Convert it to float32"),
        ("datetime64[s]", "Convert it to float32"),
        ([("red", "u1"), ("green", "u1")], "Convert it to float32"),
    ],
)
def test_other_pixels_are_refused_with_advice(dtype, message):
    with pytest.raises(TypeError, match=message):
        PlaneGrid.of(np.zeros((16, 16), dtype), rgb=False)


@pytest.mark.parametrize(
    ("shape", "rgb", "message"),
    [
        ((), False, r"at least 2 dimensions \(Y and X\), got shape \(\)"),
        ((5,), False, r"at least 2 dimensions \(Y and X\), got shape \(5,\)"),
        ((16, 16), True, r"at least 3 dimensions \(Y, X and colour\)"),
        ((0, 16, 16), False, r"empty: its shape is \(0, 16, 16\)"),
        ((16, 16, 2), True, r"3 or 4 colour samples .* got shape \(16, 16, 2\)"),
        ((15, 16), False, "have 15x16 pixels, and at least 16x16 are needed"),
        ((512, 512, 3), False, r"move these to the end first, .*numpy\.moveaxis"),
        ((16, 15, 3), True, "have 16x15 pixels"),
    ],
)
def test_other_shapes_are_refused_with_the_reason(shape, rgb, message):
    with pytest.raises(ValueError, match=message):
        PlaneGrid.of(np.zeros(shape, np.uint8), rgb)
