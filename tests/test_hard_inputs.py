"""Arrays of every shape, type, layout and content end in a result or in our error."""

import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_mpi import denoise
from napari_mpi.weights.loading import load_weights

NUMBERS = ["u1", "i1", "<u2", ">u2", "i2", "u4", ">i4", "i8", "u8"]
NUMBERS += ["<f2", ">f2", "<f4", ">f4", "f8"]
SIDES = st.sampled_from([16, 17, 23])
WEIGHTS = load_weights()


def examples(number):
    """Take so many, the same ones every time, for each is a run of the network."""
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def denoised(image, **options):
    """Denoise as quickly as can be and check what holds for every image."""
    before = image.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*it is returned as it is")
        result = denoise(image, weights=WEIGHTS, n_iter=1, n_passes=2, **options)
    assert np.array_equal(image, before)
    assert result.image.shape == result.noise_map.shape == image.shape
    assert result.image.dtype in (image.dtype.newbyteorder("="), np.float32)
    kept = image.dtype.kind == "f" or not result.report["widened"]
    assert (result.image.dtype == image.dtype.newbyteorder("=")) is kept
    assert result.image.dtype.isnative
    assert np.isfinite(result.image).all()
    assert np.isfinite(result.noise_map).all()
    return result


def adds_up(image, result):
    """Image and noise map make the input, to the precision of the noise map."""
    total = result.image.astype(np.float64) + result.noise_map
    largest = np.abs(image.astype(np.float64)).max()
    return np.abs(total - image).max() <= 1e-6 * largest


@st.composite
def layouts(draw):
    """A stack in memory that is neither contiguous nor in order nor writeable."""
    leading = draw(st.sampled_from([(), (1,), (2,), (2, 1)]))
    shape = (*leading, draw(SIDES), draw(SIDES))
    image = np.random.default_rng(draw(st.integers(0, 99))).normal(100, 9, shape)
    image = image.astype(draw(st.sampled_from(NUMBERS)))
    order = draw(st.permutations(range(image.ndim)))
    image = np.ascontiguousarray(image.transpose(order)).transpose(np.argsort(order))
    if draw(st.booleans()):
        image = np.repeat(image, 2, axis=-1)[..., ::2]
    image = image[
        tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)
    ]
    if draw(st.booleans()):
        image = np.broadcast_to(image, (2, *image.shape))
    image.flags.writeable = draw(st.booleans()) and image.flags.writeable
    return image


@examples(6)
@given(layouts())
def test_layout_and_pixel_type_do_not_change_the_result(image):
    result = denoised(image)
    assert adds_up(image, result)
    plain = np.array(image, order="C").astype(image.dtype.newbyteorder("="))
    assert np.array_equal(denoised(plain).image, result.image)


@st.composite
def contents(draw):
    """A small image of one type whose values are as odd as the type allows."""
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    if dtype.kind == "f":
        limit = min(float(np.finfo(dtype).max), 1e38)
        small = max(float(np.finfo(dtype).tiny), 1e-29)
        ranges = [(-limit, limit), (limit / 2, limit), (0, small), (1e4, 1.001e4)]
    else:
        info = np.iinfo(dtype)
        middle = info.max // 2
        ranges = [(info.min, info.max), (info.max - 1, info.max), (middle, middle + 1)]
    low, high = draw(st.sampled_from(ranges))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    share = rng.random((16, 17))
    match draw(st.sampled_from(["even", "two", "one bright", "half saturated"])):
        case "two":
            share = (share < 0.5).astype(float)
        case "one bright":
            share = (share == share.max()).astype(float)
        case "half saturated":
            share = np.minimum(2 * share, 1)
    # Apart, because the range itself may be larger than the largest number.
    values = share * float(high) + (1 - share) * float(low)
    if dtype.kind in "ui":
        values = np.clip(values, info.min, np.nextafter(float(info.max), 0))
    return values.astype(dtype)


@examples(20)
@given(contents(), st.sampled_from(["auto", "paper-fast"]))
def test_values_up_to_the_limits_of_their_type_stay_in_range(image, preset):
    result = denoised(image, preset=preset)
    assert adds_up(image, result)


@examples(10)
@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(["zero", "one", "least", "most"]),
    st.sampled_from(["auto", "paper-fast"]),
)
def test_a_constant_image_comes_back(dtype, which, preset):
    dtype = np.dtype(dtype)
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    value = {"zero": 0, "one": 1, "least": info.min, "most": info.max}[which]
    if dtype.kind == "f":
        value = min(max(float(value), -1e38), 1e38)
    image = np.full((2, 16, 20), value, dtype)
    result = denoised(image, preset=preset)
    assert np.array_equal(result.image, image)
    assert not result.noise_map.any()


@examples(10)
@given(
    st.sampled_from(["f2", "<f4", ">f4", "f8"]),
    st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=5),
    st.booleans(),
)
def test_pixels_that_are_no_numbers_are_refused_with_their_number(dtype, bad, every):
    image = np.ones((2, 16, 20), dtype)
    image[0, 0, : len(bad)] = bad
    if every:
        image[:] = bad[0]
    expected = "Every pixel" if every else rf"{len(bad)} of 640 pixels are NaN or inf"
    with pytest.raises(ValueError, match=expected):
        denoise(image, weights=WEIGHTS, n_iter=1, n_passes=2)


@pytest.mark.parametrize("preset", ["auto", "paper-fast"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1e39), (-1e300, 0), (-1.7e308, 1.7e308), (0, 1e-31), (0, 5e-324)],
)
def test_values_that_no_noise_map_can_hold_are_refused(rng, low, high, preset):
    image = np.where(rng.random((16, 20)) < 0.5, low, high)
    with pytest.raises(ValueError, match=r"Pixels reach from .* Multiply the image"):
        denoise(image, preset=preset, weights=WEIGHTS, n_iter=1, n_passes=2)


@examples(25)
@given(
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=18),
    st.sampled_from(["u2", "f4"]),
    st.booleans(),
)
def test_a_shape_is_an_image_or_is_refused_with_what_was_expected(shape, dtype, rgb):
    image = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    n_dims = 3 if rgb else 2
    sides = shape[-3:-1] if rgb else shape[-2:]
    is_image = (
        len(shape) >= n_dims
        and image.size > 0
        and min(sides) >= 16
        and (not rgb or shape[-1] in (3, 4))
    )
    if is_image:
        denoised(image, rgb=rgb)
        return
    with pytest.raises(ValueError, match="(Expected|empty|planes of this image).*"):
        denoise(image, rgb=rgb, weights=WEIGHTS, n_iter=1, n_passes=2)


@examples(20)
@given(
    hnp.scalar_dtypes() | hnp.array_dtypes() | st.just(np.dtype(object)),
    st.booleans(),
)
def test_pixels_of_any_other_type_are_refused_before_anything_is_read(dtype, swapped):
    dtype = dtype.newbyteorder() if swapped else dtype
    image = np.zeros((16, 16), dtype)
    if dtype.kind in "uif" and dtype.itemsize <= 8:
        denoised(image)
        return
    with pytest.raises(TypeError, match="Expected integer or floating-point pixels"):
        denoise(image, weights=WEIGHTS, n_iter=1, n_passes=2)


@examples(6)
@given(
    st.sampled_from(["u1", "<u2", ">u2", "f2", "f4", "f8"]),
    st.sampled_from([3, 4]),
    st.sampled_from(["auto", "paper-fast"]),
    st.sampled_from(["even", "one colour", "gray"]),
)
def test_colour_of_any_type_keeps_its_transparency(dtype, samples, preset, content):
    image = np.random.default_rng(0).integers(0, 255, (20, 24, samples))
    if content == "one colour":
        image[..., 1:3] = 0
    elif content == "gray":
        image[..., 1:3] = image[..., :1]
    image = image.astype(dtype)
    result = denoised(image, rgb=True, preset=preset)
    assert adds_up(image, result)
    assert np.array_equal(result.image[..., 3:], image[..., 3:])


def test_values_that_need_scaling_are_refused_where_none_is_wanted(noisy):
    with pytest.raises(ValueError, match="expected about 0 to 1.*'percentile'"):
        denoise(noisy, scaling="none", n_iter=0, n_passes=2)
    denoise(noisy / 255, scaling="none", n_iter=0, n_passes=2)
