"""The noise estimate, on images whose noise is known."""

from dataclasses import asdict

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi.analysis import noise
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.analysis.shared_noise import NeighbourCorrelation
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture
def clean():
    """Return a fluorescence image with a dark background, in camera counts."""
    image = fluorescence_image((384, 384), np.random.default_rng(24))
    return 100 + 1000 * image.astype(float)


def white(rng, image):
    return rng.standard_normal(image.shape)


def test_independent_noise_is_measured(clean, rng):
    estimate = estimate_noise(clean + 30 * white(rng, clean))
    assert estimate.rms == pytest.approx(30, rel=0.12)
    assert estimate.read_noise == pytest.approx(30, rel=0.12)
    assert estimate.offset == pytest.approx(clean.min(), abs=15)
    assert np.abs(estimate.correlation).max() < 0.15
    assert max(estimate.stripes) < 0.03


@pytest.mark.parametrize("psf_sigma", [0.5, 0.8, 1.1])
def test_correlation_follows_the_width_of_the_blur(psf_sigma, clean, rng):
    noise = ndimage.gaussian_filter(white(rng, clean), psf_sigma, mode="wrap")
    noise *= 60 / noise.std()
    estimate = estimate_noise(clean + noise)
    true = [(noise * np.roll(noise, 1, axis)).mean() / 3600 for axis in (0, 1)]
    assert estimate.correlation == pytest.approx(true, abs=0.1)
    # A wide blur looks like structure in part.
    assert 0.65 * 60 < estimate.rms < 1.15 * 60


def test_the_two_axes_are_told_apart(clean, rng):
    noise = ndimage.gaussian_filter1d(white(rng, clean), 0.9, axis=1, mode="wrap")
    along_y, along_x = estimate_noise(clean + 60 * noise / noise.std()).correlation
    assert abs(along_y) < 0.08
    assert along_x > 0.6


@pytest.mark.parametrize("gain", [10.0, 40.0])
def test_photon_noise_gives_its_gain(gain, clean, rng):
    photons = rng.poisson((clean - 100) / gain)
    estimate = estimate_noise(100 + gain * photons + 5 * white(rng, clean))
    assert estimate.gain == pytest.approx(gain, rel=0.15)
    true = np.sqrt(gain * (clean - 100).mean() + 25)
    assert estimate.rms == pytest.approx(true, rel=0.12)
    np.testing.assert_allclose(
        estimate.variance(np.array([600.0])), gain * 500 + 25, rtol=0.25
    )


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_speckle_grows_in_proportion(share, clean, rng):
    noisy = clean * (1 + share * white(rng, clean))
    estimate = estimate_noise(noisy)
    assert estimate.speckle > 0
    bright = np.array([300.0, 800.0])
    np.testing.assert_allclose(
        np.sqrt(estimate.variance(bright)), share * bright, rtol=0.15
    )
    assert estimate_noise(clean + 30 * white(rng, clean)).speckle == 0


def test_of_a_large_plane_strips_are_looked_at(rng, monkeypatch):
    monkeypatch.setattr(noise, "_MAX_PIXELS", 4 * 64 * 400)
    plane = 100 + 5 * rng.standard_normal((1000, 400))
    plane[70:300] = 1e6 * rng.standard_normal((230, 400))  # between two of them
    assert estimate_noise(plane).rms == pytest.approx(5, rel=0.1)
    light = np.repeat(np.linspace(0, 100, 1000)[:, None], 400, axis=1)
    noisy = 100 + np.sqrt(1 + light) * rng.standard_normal((1000, 400))
    estimate = estimate_noise(noisy, intensity=light)
    assert estimate.variance(np.array([80.0])) == pytest.approx(81, rel=0.15)


def test_noise_may_fall_with_the_intensity(rng):
    clean = skimage.data.camera() / 255
    noisy = np.sqrt(np.clip(clean + 0.08 * white(rng, clean), 0, None))
    estimate = estimate_noise(100 + 200 * noisy)
    assert estimate.compression > 0
    assert estimate.gain == estimate.speckle == 0
    root = np.array([0.5, 0.9])
    np.testing.assert_allclose(
        np.sqrt(estimate.variance(100 + 200 * root)), 200 * 0.08 / 2 / root, rtol=0.15
    )
    assert estimate_noise(clean + 0.08 * white(rng, clean)).compression == 0


def test_the_noise_of_a_scaled_image_is_as_if_it_was_measured_there(clean, rng):
    photons = 100 + 10 * rng.poisson((clean - 100) / 10) + 5 * white(rng, clean)
    speckled = clean * (1 + 0.2 * white(rng, clean))
    falling = 400 * np.sqrt(skimage.data.camera() / 255 + 0.05)
    falling = falling + 40 * 400 / falling * white(rng, falling) / 5
    for noisy in (photons, speckled, falling):
        estimate = estimate_noise(noisy)
        measured = estimate_noise((noisy - 70) / 300)
        scaled = estimate.scaled(70, 300)
        for field, value in asdict(scaled).items():
            assert value == pytest.approx(getattr(measured, field), rel=1e-3), field
    assert estimate.compression > 0


def test_stripes_are_told_from_independent_noise(clean, rng):
    rows = 30 * rng.standard_normal((len(clean), 1))
    striped = estimate_noise(clean + rows + 30 * white(rng, clean))
    assert striped.stripes[0] == pytest.approx(0.5, abs=0.2)
    assert striped.stripes[1] < 0.03
    turned = estimate_noise((clean + rows + 30 * white(rng, clean)).T)
    assert turned.stripes[1] == pytest.approx(0.5, abs=0.2)


def test_a_clean_image_has_little_noise(clean):
    assert estimate_noise(clean).relative < 0.02


def test_quantisation_and_saturation_are_seen(clean, rng):
    camera = np.rint((clean + 30 * white(rng, clean)) / 16) * 16
    highest = 16 * np.rint(np.quantile(camera, 0.85) / 16)
    estimate = estimate_noise(np.minimum(camera, highest))
    assert estimate.step == 16
    assert estimate.saturated == pytest.approx((camera >= highest).mean(), abs=0.005)
    assert estimate_noise(clean + white(rng, clean)).saturated == 0


def test_the_units_do_not_matter(clean, rng):
    noisy = clean + 30 * white(rng, clean)
    one, other = estimate_noise(noisy), estimate_noise(1e-6 * noisy - 3)
    assert other.rms == pytest.approx(1e-6 * one.rms, rel=1e-3)
    assert other.relative == pytest.approx(one.relative, rel=1e-3)
    assert other.correlation == pytest.approx(one.correlation, abs=1e-3)


def test_a_stack_is_one_image(clean, rng):
    stack = clean + 30 * rng.standard_normal((20, *clean.shape))
    assert estimate_noise(stack).rms == pytest.approx(30, rel=0.12)


@pytest.mark.parametrize("shape", [(16, 16), (16, 400), (3, 17, 19)])
def test_small_images_have_an_estimate(shape, rng):
    images = (100 + 5 * rng.standard_normal(shape) for _ in range(20))
    found = [estimate_noise(image).rms for image in images]
    assert np.mean(found) == pytest.approx(5, rel=0.1)
    assert min(found) > 3
    assert max(found) < 7


@pytest.mark.parametrize("gain", [1, 8])
@pytest.mark.parametrize("background", [0.2, 1.0])
def test_of_few_photons_the_empty_pixels_count(gain, background, rng):
    y, x = np.mgrid[:128, :128]
    photons = background + 15 * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 200)
    estimate = estimate_noise(gain * rng.poisson(photons))
    assert estimate.gain == pytest.approx(gain, rel=0.35)
    assert estimate.rms == pytest.approx(gain * np.sqrt(photons.mean()), rel=0.15)


def test_where_the_camera_cuts_off_the_dark_noise_is_that_of_the_rest(rng):
    y, x = np.mgrid[:128, :128]
    light = 300 * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 2000)
    noisy = np.maximum(light + 8 * rng.standard_normal(light.shape), 0)
    # In the dark half of the noise is gone, which is not to make it look weak.
    assert estimate_noise(noisy).rms == pytest.approx(8, rel=0.12)


def test_noise_may_depend_on_another_image(rng):
    brightness = np.full((128, 128), 20.0)
    brightness[:, 64:] = 400
    # Of the difference of two colours, the values tell nothing of the noise.
    difference = rng.poisson(brightness) - rng.poisson(brightness)
    estimate = estimate_noise(difference, intensity=2 * brightness)
    dark, bright = estimate.variance(np.array([40.0, 800.0]))
    assert dark == pytest.approx(40, rel=0.25)
    assert bright == pytest.approx(800, rel=0.25)


def test_planes_that_are_empty_but_for_a_spot_do_not_count_in_the_range(rng):
    stack = rng.poisson(20, (5, 64, 64))
    stack[:3] = 0
    stack[:3, 30, 30] = 1
    assert estimate_noise(stack).relative > 0.05


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.eye(64, dtype=np.uint8)])
def test_images_without_noise_do_no_harm(image):
    estimate = estimate_noise(image)
    assert np.isfinite([estimate.rms, estimate.gain, *estimate.correlation]).all()
    assert estimate.relative < 0.3


@pytest.mark.parametrize("side", [48, 64])
def test_a_small_image_tells_photon_noise_too(side, rng):
    light = ndimage.gaussian_filter(rng.standard_normal((20, side, side)), (0, 5, 5))
    clean = 20 + 2000 * light.clip(0)
    found = [estimate_noise(rng.poisson(one)) for one in clean]
    assert np.median([one.gain for one in found]) == pytest.approx(1, rel=0.25)
    strength = [
        one.variance(image).mean() / image.mean()
        for one, image in zip(found, clean, strict=True)
    ]
    assert np.median(strength) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("side", [64, 128])
def test_noise_on_a_flat_image_does_not_grow_with_it(side, rng):
    noisy = 100 + 5 * rng.standard_normal((10, side, side))
    assert [estimate_noise(one).gain for one in noisy] == [0] * 10


def test_of_a_huge_image_a_part_is_enough(rng):
    # More than 2 million values: they are thinned out, the blocks too.
    noisy = 100 + 5 * rng.standard_normal((1, 1600, 1601))
    estimate = estimate_noise(noisy)
    assert estimate.rms == pytest.approx(5, rel=0.12)
    assert estimate.signal_range == pytest.approx(2 * 3.09 * 5, rel=0.05)


def test_stripes_and_texture_stay_when_noise_is_found_to_be_weaker(clean, rng):
    rows = 20 * rng.standard_normal((len(clean), 1))
    found = estimate_noise(clean + rows + 30 * white(rng, clean))
    weaker = found.times(0.8)
    assert weaker.rms == 0.8 * found.rms
    assert weaker.stripes[0] * weaker.rms**2 == pytest.approx(
        found.stripes[0] * found.rms**2
    )
    assert weaker.rms**2 + weaker.texture**2 == pytest.approx(found.rms**2)


def test_the_image_is_not_changed(clean):
    before = clean.copy()
    estimate_noise(clean)
    np.testing.assert_array_equal(clean, before)


def test_hot_pixels_do_not_widen_the_signal_range(rng):
    image = rng.normal(100, 5, (128, 128))
    expected = estimate_noise(image).signal_range
    image[rng.random(image.shape) < 0.01] = 60000
    assert expected <= estimate_noise(image).signal_range < 1.7 * expected


@pytest.mark.parametrize("share", [0.002, 0.01])
def test_hot_pixels_do_not_count_as_noise(share, clean, rng):
    noisy = clean + 30 * white(rng, clean)
    noisy[rng.random(noisy.shape) < share] += 5000
    estimate = estimate_noise(noisy)
    assert estimate.rms == pytest.approx(30, rel=0.15)
    assert estimate.speckle == 0


def test_one_bright_slice_does_not_make_the_noise_of_the_others_negligible(rng):
    y, x = np.mgrid[-64:64, -64:64]
    spot = np.exp(-(y**2 + x**2) / 800)
    photons = [brightness * spot + 10 for brightness in (20, 50, 20_000, 50, 20)]
    assert estimate_noise(rng.poisson(photons)).relative > 0.1


@pytest.fixture(params=["brick", "grass", "gravel"])
def texture(request):
    """Return a photograph without a flat place, in camera counts."""
    image = getattr(skimage.data, request.param)()[100:356, 20:276].astype(float)
    return 1000 * (image - image.min()) / np.ptp(image)


@pytest.mark.parametrize("strength", [50, 100])
def test_texture_is_no_noise_that_neighbours_or_lines_share(texture, strength, rng):
    estimate = estimate_noise(texture + strength * white(rng, texture))
    assert not estimate.shared
    assert max(estimate.stripes) < 0.02
    assert 0.95 * strength < estimate.rms < 1.45 * strength


def test_stripes_below_texture_are_found(texture, rng):
    rows = 60 * rng.standard_normal((len(texture), 1))
    striped = estimate_noise(texture + rows + 60 * white(rng, texture))
    assert striped.stripes[0] > 0.2
    assert striped.stripes[1] < 0.02


def test_straight_edges_across_the_image_are_no_stripes(rng):
    image = 100 + 500 * (np.arange(256)[:, None] // 32 % 2) * np.ones(256)
    assert max(estimate_noise(image + 20 * white(rng, image)).stripes) < 0.02


def test_what_is_known_of_the_noise_decides_how_it_is_measured(clean, rng):
    noise = ndimage.gaussian_filter(white(rng, clean), 0.8, mode="wrap")
    noisy = clean + 60 * noise / noise.std()
    told = estimate_noise(
        noisy, neighbours=NeighbourCorrelation((0.1, 0.2), by_noise=False)
    )
    assert not told.shared
    assert told.correlation == (0.1, 0.2)
    # Noise that is blurred has hardly any quick waves.
    assert told.rms < 0.6 * estimate_noise(noisy).rms


@pytest.mark.parametrize("width", [4, 16, 32])
def test_a_frame_far_below_the_camera_offset_changes_nothing(width, rng):
    photons = 30 * (fluorescence_image((192, 192), rng) + 0.05)
    noisy = np.round(2.0 * rng.poisson(photons) + 100 + rng.normal(0, 2, photons.shape))
    whole = estimate_noise(noisy)
    noisy[:width] = noisy[-width:] = noisy[:, :width] = noisy[:, -width:] = 0
    framed = estimate_noise(noisy)
    assert framed.signal_range == pytest.approx(whole.signal_range, rel=0.1)
    assert framed.rms == pytest.approx(whole.rms, rel=0.15)


@pytest.mark.parametrize("value", [0, 100, 200])
def test_a_frame_that_was_put_around_does_not_hide_the_noise(value, rng):
    # As registration, rotation and stitching leave it; its value may lie anywhere.
    clean = 100 + 300 * fluorescence_image((192, 192), rng)
    noisy = clean + rng.normal(0, 20, clean.shape)
    noisy[:35], noisy[:, :43] = value, value
    found = estimate_noise(noisy.astype(np.float32))
    assert found.read_noise == pytest.approx(20, rel=0.15)
    assert max(found.correlation) < 0.15
