import numpy as np
import pytest
from scipy import ndimage

from napari_mpi import denoise
from napari_mpi.pipeline.findings import in_words

QUICK = {"n_iter": 0, "n_passes": 2}


@pytest.fixture
def light() -> np.ndarray:
    """Soft patches, from 0.2 to 1."""
    soft = ndimage.gaussian_filter(np.random.default_rng(3).random((64, 72)), 4)
    low, high = soft.min(), soft.max()
    return 0.2 + 0.8 * (soft - low) / (high - low)


def told_in_float(report) -> bool:
    return any("in float32" in sentence for sentence in in_words(report))


@pytest.mark.parametrize("dtype", [np.uint8, ">u2", np.int64])
def test_counts_of_few_photons_are_not_rounded(light, rng, dtype):
    counts = rng.poisson(4 * light).astype(dtype)
    result = denoise(counts, uncertainty=True, **QUICK)
    assert result.image.dtype == np.float32
    exact = denoise(counts.astype(np.float32), **QUICK)
    np.testing.assert_array_equal(result.image, exact.image)
    np.testing.assert_allclose(result.noise_map, counts - result.image, atol=1e-6)
    assert result.uncertainty.any()
    assert told_in_float(result.report)
    assert result.report["pixel_type"] == "float32"
    assert not told_in_float(exact.report)


@pytest.mark.parametrize("preset", ["auto", "paper-fast"])
def test_stronger_noise_leaves_the_type_as_it_is(light, rng, preset):
    counts = rng.poisson(400 * light).astype(np.uint16)
    result = denoise(counts, preset=preset, n_iter=1)
    assert result.image.dtype == np.uint16
    assert result.report["pixel_type"] == "uint16"
    assert not told_in_float(result.report)


def test_the_type_can_be_asked_for(light, rng):
    few, many = (rng.poisson(n * light).astype(np.uint16) for n in (4, 400))
    kept = denoise(few, pixel_type="input", **QUICK)
    assert kept.image.dtype == np.uint16
    assert any("pixel type float32" in said for said in in_words(kept.report))
    assert denoise(many, pixel_type="float32", **QUICK).image.dtype == np.float32
    fine = many.astype(np.float64)
    assert denoise(fine, pixel_type="float32", **QUICK).image.dtype == np.float32


def test_what_is_returned_as_it_is_keeps_its_type(light):
    with pytest.warns(UserWarning, match="nothing to remove"):
        result = denoise(np.round(4 * light).astype(np.uint8))
    assert result.image.dtype == np.uint8


def test_values_that_float32_cannot_tell_apart_keep_their_type(light, rng):
    far = 2**28 + rng.poisson(4 * light)
    assert denoise(far, **QUICK).image.dtype == np.int64


def test_a_channel_of_few_photons_takes_the_others_along(light, rng):
    channels = np.stack([rng.poisson(n * light) for n in (400, 4)]).astype(np.uint16)
    result = denoise(channels, channel_axis=0, **QUICK)
    assert result.image.dtype == np.float32
    few = denoise(channels[1], **QUICK)
    np.testing.assert_array_equal(result.image[1], few.image)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("photons", "expected"), [(6, np.float32), (90, np.uint8)])
def test_colours_of_few_photons_are_not_rounded(
    light, rng, together, photons, expected
):
    other = light if together else light[::-1, ::-1]
    clean = photons * np.stack([light, other, light + 0.5], -1)
    colours = rng.poisson(clean).astype(np.uint8)
    result = denoise(colours, rgb=True, **QUICK)
    assert result.image.dtype == expected
    assert result.report["widened"] is (expected == np.float32)
