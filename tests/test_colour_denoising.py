import numpy as np
import pytest

from napari_mpi import denoise, iter_denoise
from napari_mpi.training.synthetic import fluorescence_image


@pytest.fixture
def colour_image(rng):
    """A noisy RGB image of two coloured discs."""
    rows, columns = np.mgrid[:64, :64]
    image = np.full((64, 64, 3), 40.0)
    image[np.hypot(rows - 20, columns - 20) < 12] = (180, 100, 100)
    image[np.hypot(rows - 44, columns - 40) < 14] = (100, 130, 200)
    return image + rng.normal(0, 20, image.shape)


def test_three_stains_are_filled_each_as_if_it_were_alone(rng):
    stains = [200 * fluorescence_image((64, 64), rng) for _ in range(3)]
    composite = np.stack(stains, axis=-1) + rng.normal(0, 15, (64, 64, 3))
    options = {"n_iter": 2, "n_passes": 2}
    result = denoise(composite, rgb=True, uncertainty=True, **options)
    for number, name in enumerate(("Red", "Green", "Blue")):
        alone = denoise(composite[..., number], uncertainty=True, **options)
        np.testing.assert_allclose(result.image[..., number], alone.image)
        np.testing.assert_allclose(result.uncertainty[..., number], alone.uncertainty)
        assert f"{name}: {alone.report['choice']}" in result.report["choice"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_colours_that_were_not_filled_yet_are_those_of_the_input(colour_image, dtype):
    noisy = np.clip(colour_image, 0, 255).astype(dtype)
    noisy[::9, ::7] = 255  # stuck
    run = iter_denoise(noisy, rgb=True)
    next(run)
    run.close()
    result = run.result()
    assert result.report["complete"] is False
    assert np.array_equal(result.image, noisy)
    assert not result.noise_map.any()


def test_the_noise_of_colour_differences_follows_the_brightness(rng):
    bright = 200 * fluorescence_image((96, 96), np.random.default_rng(4)) + 2
    clean = bright[..., np.newaxis] * [1.0, 0.8, 0.9]
    result = denoise(rng.poisson(clean), rgb=True, n_iter=4, n_passes=4)
    # Red less blue has little structure, and most of its noise where it is bright.
    noise = result.report["noise_estimate"]
    assert noise["gain"] == pytest.approx(1 / np.sqrt(3), rel=0.3)
    error = np.square((result.image - clean) @ [1, 0, -1])
    before = clean @ [1, 0, 1]
    assert error[bright > 50].mean() < 0.15 * before[bright > 50].mean()


def test_auto_fills_brightness_and_colour_differences(colour_image):
    run = iter_denoise(colour_image, rgb=True, n_iter=2, n_passes=2)
    planes = [(progress.plane, progress.n_planes) for progress in run]
    assert set(planes) == {(0, 3), (1, 3), (2, 3)}
    assert planes == sorted(planes)
    result = run.result()
    assert result.report["iterations"] == 6
    assert result.report["complete"]
    np.testing.assert_allclose(
        result.image + result.noise_map, colour_image, rtol=0, atol=1e-3
    )


def test_a_colour_run_that_is_stopped_keeps_the_brightness(colour_image):
    run = iter_denoise(colour_image, rgb=True, n_iter=3, n_passes=2)
    for progress in run:
        if progress.plane == 1 and progress.phase == "filling":
            break
    run.close()
    result = run.result()
    assert result.report["planes_done"] == 0
    assert not result.report["complete"]
    change = result.noise_map
    assert change.std() > 1
    # The third component, green against magenta, was not begun.
    green_magenta = change @ np.array([1, -2, 1])
    assert np.abs(green_magenta).max() < 1e-3


class PlaneByPlane:
    """A stack that can only be read one plane at a time, as from a slow disk."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, index):
        plane = self._array[index]
        assert plane.ndim == 3, "more than a plane was read"
        return plane


def test_a_lazy_colour_stack_is_read_plane_by_plane(colour_image):
    stack = np.stack([colour_image, colour_image[::-1]]).astype(np.float32)
    options = {"rgb": True, "n_iter": 1, "n_passes": 2}
    expected = denoise(stack, **options)
    result = denoise(PlaneByPlane(stack), **options)
    assert isinstance(result.image, np.memmap)
    assert np.array_equal(result.image, expected.image)
    assert np.array_equal(result.noise_map, expected.noise_map)


def test_a_gray_image_in_colour_stays_gray(noisy):
    gray = np.stack([noisy] * 3, axis=-1)
    image = denoise(gray, rgb=True, n_iter=2, n_passes=2).image
    assert not np.array_equal(image, gray)
    assert np.ptp(image.astype(int), axis=-1).max() <= 1


def test_noise_in_the_colours_alone_is_told_of(rng):
    # What red has more, blue has less: the brightness is as it was.
    noise = rng.normal(0, 5, (96, 96))
    image = np.full((96, 96, 3), 120.0)
    image += 40 * np.sin(np.arange(96) / 9)[:, None, None]
    image[..., 0] += noise
    image[..., 2] -= noise
    result = denoise(image.round().astype(np.uint8), rgb=True, preset="fast", n_iter=0)
    assert result.noise_map.std() > 3
    assert result.report["choice"].startswith("Brightness is left as it is. ")
    assert result.report["verdict"] is not None


def test_empty_planes_do_not_tell_of_the_others(colour_image):
    stack = np.zeros((11, *colour_image.shape), colour_image.dtype)
    stack[1] = colour_image  # none of those that are spread evenly over the stack
    report = denoise(stack, rgb=True, preset="fast", n_iter=1, n_passes=2).report
    alone = denoise(colour_image, rgb=True, preset="fast", n_iter=1, n_passes=2).report
    assert report["choice"] == alone["choice"]


def test_a_constant_colour_image_is_returned_as_it_is():
    image = np.full((20, 20, 3), (1, 2, 3), np.uint8)
    with pytest.warns(UserWarning, match="constant") as caught:
        result = denoise(image, rgb=True)
    assert len(caught) == 1
    assert np.array_equal(result.image, image)


def test_the_forecast_of_a_colour_image_is_that_of_its_components(colour_image):
    forecast = iter_denoise(colour_image, rgb=True, n_iter=1, n_passes=2).forecast()
    assert forecast.seconds > 0
    assert forecast.memory > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_a_colour_that_is_no_number_is_refused_in_words(colour_image, value):
    colour_image[3, 4, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite|expected no more than"):
        denoise(colour_image, rgb=True)


def test_salt_and_pepper_in_single_colours_is_filled(rng):
    gray = 40 + 160 * fluorescence_image((96, 96), np.random.default_rng(4))
    clean = (gray[..., np.newaxis] * [1.0, 0.8, 0.9]).clip(1, 254).astype(np.uint8)
    drawn = rng.random(clean.shape)
    salted = np.where(drawn < 0.02, 0, np.where(drawn > 0.98, 255, clean))
    result = denoise(salted.astype(np.uint8), rgb=True, uncertainty=True)
    hit = salted != clean
    np.testing.assert_array_equal(result.image[~hit], clean[~hit])
    assert np.square(result.image - clean.astype(float)).mean() < 10
    np.testing.assert_array_equal(result.image + result.noise_map, salted)
    assert result.report["stuck"] == pytest.approx(hit.mean(), rel=0.1)
    assert result.uncertainty.shape == clean.shape
    assert result.uncertainty[result.image != salted].mean() > 1
    assert not result.uncertainty[result.image == salted].any()


def test_pixels_of_an_extreme_colour_are_not_stuck(rng):
    image = rng.integers(90, 110, (96, 96, 3), np.uint8)
    image[::16, ::16] = (240, 40, 40)  # all three are there in other pixels, too
    image[0, :3] = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    image[1, :3] = image[0, :3]
    report = denoise(image, rgb=True, preset="fast").report
    assert report["stuck"] == 0


def test_a_source_that_takes_long_to_read_is_read_once_and_for_transparency(
    colour_image,
):
    class Source:
        shape, dtype = colour_image.shape, colour_image.dtype
        n_reads = 0

        def __getitem__(self, index):
            self.n_reads += 1
            return colour_image[index]

    source = Source()
    result = denoise(source, rgb=True, n_iter=1, n_passes=2)
    assert source.n_reads <= 2
    expected = denoise(colour_image, rgb=True, n_iter=1, n_passes=2)
    assert np.array_equal(result.image, expected.image)
