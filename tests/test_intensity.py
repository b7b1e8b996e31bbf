import numpy as np
import pytest

from napari_mpi.arrays.intensity import (
    Scaling,
    beyond_range,
    in_floats,
    to_dtype,
    without_hot_pixels,
)

INTEGERS = (np.uint8, np.uint16, np.int16)
FLOATS = (np.float32, np.float64)


def there_and_back(array, mode):
    scaling = Scaling.fit(array, mode)
    return to_dtype(scaling.invert(scaling.apply(array)), array.dtype)


@pytest.mark.parametrize("mode", ["range", "percentile", "none"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_comes_back_exactly(dtype, mode):
    info = np.iinfo(dtype)
    array = np.arange(info.min, info.max + 1, dtype=dtype)
    back = there_and_back(array, mode)
    assert back.dtype == dtype
    assert np.array_equal(back, array)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", ["range", "percentile", "none"])
def test_floats_come_back_within_single_precision(rng, dtype, mode):
    array = rng.normal(-3, 7, (40, 50)).astype(dtype)
    back = there_and_back(array, mode)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, array, rtol=0, atol=4e-6)


def test_an_outlier_of_a_dim_image_comes_back_exactly():
    array = np.full((50, 50), 100, np.uint16)
    array[::2] = 103
    array[0, 0] = 65535
    assert np.array_equal(there_and_back(array, "percentile"), array)


def test_8_bit_images_are_divided_by_255():
    assert Scaling.fit(np.array([[3, 9]], np.uint8)) == Scaling(0.0, 255.0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32])
def test_range_falls_back_to_percentiles_for_other_types(rng, dtype):
    array = rng.integers(0, 100, (30, 30)).astype(dtype)
    assert Scaling.fit(array, "range") == Scaling.fit(array, "percentile")


def test_percentiles_are_put_to_5_and_95_percent(rng):
    array = rng.gamma(2, 300, (200, 200))
    scaled = Scaling.fit(array, "percentile").apply(array)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(
        np.percentile(scaled, [0.1, 99.9]), [0.05, 0.95], atol=1e-5
    )


def test_none_takes_values_as_they_are(rng):
    array = rng.random((10, 10), np.float32)
    assert np.array_equal(Scaling.fit(array, "none").apply(array), array)


@pytest.mark.parametrize("mode", ["range", "percentile", "none"])
@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_image_comes_back_exactly(mode, value):
    array = np.full((20, 20), value, np.uint16)
    assert np.array_equal(there_and_back(array, mode), array)


def test_a_few_bright_pixels_on_a_constant_image_set_the_scale():
    array = np.zeros((100, 100), np.uint16)
    array[50, 50] = 1000
    scaled = Scaling.fit(array, "percentile").apply(array)
    assert scaled.max() == pytest.approx(0.95)
    assert scaled.min() == pytest.approx(0.05)


def test_a_large_stack_is_scaled_by_a_sample_of_its_values(rng):
    array = rng.integers(0, 1000, (10, 1000, 1000), np.uint16)
    scaling = Scaling.fit(array, "percentile")
    low, high = scaling.apply(np.percentile(array, [0.1, 99.9]))
    assert (low, high) == pytest.approx((0.05, 0.95), abs=0.005)


def test_the_input_is_not_modified(noisy):
    before = noisy.copy()
    scaling = Scaling.fit(noisy, "percentile")
    scaled = scaling.apply(noisy)
    kept = scaled.copy()
    values = scaling.invert(scaled)
    values_before = values.copy()
    to_dtype(values, noisy.dtype)
    assert np.array_equal(noisy, before)
    assert np.array_equal(scaled, kept)
    assert np.array_equal(values, values_before)


def test_integers_are_rounded_and_clipped():
    values = np.array([-3.0, -0.4, 0.6, 254.4, 254.6, 1e9])
    assert to_dtype(values, np.dtype(np.uint8)).tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.parametrize("source", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_values_beyond_an_integer_type_end_at_its_ends(source, dtype):
    info = np.iinfo(dtype)
    low, high = to_dtype(np.array([-1e30, 1e30], source), np.dtype(dtype))
    assert low == info.min
    # The last integers of 64 bits have no neighbour in double precision.
    assert int(info.max) - int(high) < (2048 if info.bits == 64 else 1)


def test_values_beyond_a_floating_type_end_at_its_ends():
    low, high = to_dtype(np.array([-1e300, 1e300]), np.dtype(np.float16))
    assert (low, high) == (-65504, 65504)
    assert np.isfinite(to_dtype(np.array([np.inf]), np.dtype(np.float32)))


def test_byte_order_is_kept():
    assert to_dtype(np.array([258.0]), np.dtype(">u2")).tobytes() == b"\x01\x02"


def test_a_hot_pixel_is_brought_down_to_its_surroundings(rng):
    plane = rng.normal(100, 5, (3, 40, 40))
    hot = plane.copy()
    hot[1, 20, 20] = 60000
    hot[2, 0, 39] = -60000
    limited = without_hot_pixels(hot)
    assert limited.min() > 50
    assert limited.max() < 150
    untouched = limited == hot
    assert untouched.mean() > 0.98


def test_hot_pixels_side_by_side_are_brought_down(rng):
    plane = rng.normal(100, 5, (40, 40))
    plane[20, 20:22] = 60000
    assert without_hot_pixels(plane).max() < 160


def test_values_take_no_more_memory_than_they_need():
    for given, held in [("u1", "f4"), ("u2", "f4"), ("f2", "f4"), ("f4", "f4")]:
        assert in_floats(np.ones((4, 4), given)).dtype == held
    for given in ("i4", "u4", "i8", "f8"):
        assert in_floats(np.ones((4, 4), given)).dtype == np.float64
    plane = np.arange(16, dtype=np.uint16).reshape(4, 4)
    assert without_hot_pixels(plane).dtype == np.float32


def test_hot_pixels_may_be_as_hot_as_numbers_go():
    plane = np.float32([[0, 3e38, 0], [-3e38, 0, 3e38], [0, -3e38, 0]])
    np.testing.assert_array_equal(without_hot_pixels(plane), plane)


def test_a_point_in_focus_is_no_hot_pixel():
    y, x = np.mgrid[-6:7, -6:7]
    point = 1000 * np.exp(-(y**2 + x**2) / (2 * 1.0**2))
    np.testing.assert_allclose(without_hot_pixels(point), point, rtol=0.16)


def test_what_structure_has_beyond_the_range_is_told_apart_from_hot_pixels():
    plane = np.zeros((1, 30, 30))
    plane[0, :, 15:] = 100
    scaling = Scaling.fit(plane, "percentile")
    plane[0, 5:8, 5:8] = 500
    plane[0, 20:23, 20:23] = -300
    plane[0, 15, 5] = 5000  # alone
    plane[0, 25, 5:7] = 5000  # a pair
    plane[0, 0, 0] = plane[0, 12:14, 0] = 5000  # in the corner, and at the edge
    scaled = scaling.apply(plane)
    beyond = beyond_range(scaled)
    assert beyond[0, 6, 6] == pytest.approx(scaled[0, 6, 6] - 1)
    assert beyond[0, 21, 21] == pytest.approx(scaled[0, 21, 21])
    assert np.count_nonzero(beyond) == 18
