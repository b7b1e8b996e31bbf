import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mpi import denoise, iter_denoise
from napari_mpi.pipeline.findings import in_words
from napari_mpi.training.synthetic import fluorescence_image

DTYPES = ["u1", "u2", "u4", "i1", "i2", "i4", "i8", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_shape_dtype_and_range_come_back(noisy, dtype):
    image = (noisy // 2).clip(0, 110).astype(dtype)
    result = denoise(image, n_iter=2, n_passes=2)
    assert result.image.dtype == image.dtype
    assert result.image.shape == image.shape
    assert result.noise_map.dtype == np.float32
    assert not np.array_equal(result.image, image)
    assert abs(result.image.astype(float).mean() - image.mean()) < 10


@pytest.mark.parametrize("shape", [(16, 16), (2, 17, 31), (2, 1, 2, 16, 19)])
def test_every_leading_axis_is_looped(rng, shape):
    image = rng.normal(5, 1, shape)
    result = denoise(image, n_iter=1, n_passes=2)
    assert result.image.shape == shape
    assert result.report["n_planes"] == int(np.prod(shape[:-2]))
    assert result.report["planes_done"] == result.report["n_planes"]


@pytest.mark.parametrize("samples", [3, 4])
def test_colour_is_denoised_and_transparency_kept(rng, samples):
    image = rng.integers(0, 255, (20, 24, samples), dtype=np.uint8)
    result = denoise(image, rgb=True, n_iter=1, n_passes=2, noise="independent")
    assert result.image.shape == image.shape
    if samples == 4:
        assert np.array_equal(result.image[..., 3], image[..., 3])
        assert not result.noise_map[..., 3].any()


def test_the_noise_map_is_input_minus_denoised_and_signed(noisy):
    result = denoise(noisy, n_iter=3, n_passes=2)
    assert np.array_equal(result.image + result.noise_map, noisy.astype(np.float32))
    assert result.noise_map.min() < 0 < result.noise_map.max()


def test_the_input_is_not_modified(noisy):
    before = noisy.copy()
    denoise(noisy, n_iter=1, n_passes=2)
    assert np.array_equal(noisy, before)
    noisy.flags.writeable = False
    denoise(noisy, n_iter=1, n_passes=2)


def test_results_stay_within_an_integer_type(rng):
    image = rng.choice(np.array([0, 255], np.uint8), (32, 32))
    assert denoise(image, n_iter=2, n_passes=2).image.dtype == np.uint8
    signed = rng.choice(np.array([-32768, 32767], np.int16), (32, 32))
    result = denoise(signed, n_iter=2, n_passes=2)
    assert result.noise_map.max() <= 65535


def test_a_stack_is_scaled_once_so_that_dim_planes_stay_dim(rng):
    dim, bright = rng.poisson(20, (32, 32)), rng.poisson(2000, (32, 32))
    result = denoise(np.stack([dim, bright]).astype(np.uint16), n_iter=2, n_passes=2)
    scaling = result.report["scaling"]
    assert scaling["gain"] > 1000
    assert result.image[0].mean() < 300


def test_a_plane_does_not_depend_on_its_neighbours_order_or_number(rng):
    stack = rng.integers(0, 255, (3, 20, 20), dtype=np.uint8)
    alone = denoise(stack[:1], preset="paper-fast", n_iter=2, n_passes=2).image
    together = denoise(stack, preset="paper-fast", n_iter=2, n_passes=2).image
    assert np.array_equal(alone[0], together[0])


def test_the_same_seed_gives_the_same_image(noisy):
    first = denoise(noisy, n_iter=3, n_passes=2, seed=4).image
    assert np.array_equal(first, denoise(noisy, n_iter=3, n_passes=2, seed=4).image)
    assert not np.array_equal(first, denoise(noisy, n_iter=3, n_passes=2, seed=5).image)


def test_big_endian_strided_and_memory_mapped_arrays_give_the_same(noisy, tmp_path):
    expected = denoise(noisy, n_iter=2, n_passes=2).image
    file = np.memmap(tmp_path / "image.raw", noisy.dtype, "w+", shape=noisy.shape)
    file[:] = noisy
    for image in (
        noisy.astype(">u2"),
        np.asfortranarray(noisy),
        np.repeat(noisy, 2, axis=1)[:, ::2],
        file,
    ):
        assert np.array_equal(denoise(image, n_iter=2, n_passes=2).image, expected)


def test_dask_arrays_are_read_plane_by_plane(noisy):
    dask_array = pytest.importorskip("dask.array")
    stack = np.stack([noisy, noisy[::-1]])
    lazy = dask_array.from_array(stack, chunks=(1, -1, -1))
    assert np.array_equal(
        denoise(lazy, n_iter=1, n_passes=2).image,
        denoise(stack, n_iter=1, n_passes=2).image,
    )


def test_progress_counts_iterations_of_adapting_and_passes_of_each_plane(rng):
    run = iter_denoise(rng.normal(size=(2, 16, 16)), n_iter=3, n_passes=2)
    seen = list(run)
    passes = [(p.plane, p.step, p.n_steps) for p in seen if p.phase == "filling"]
    total = passes[-1][2]
    adapting = [(p.step, p.n_steps) for p in seen if p.phase == "adapting"]
    assert adapting == [(1, 3), (2, 3), (3, 3)]
    assert passes == [(n, s + 1, total) for n in range(2) for s in range(total)]
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert fractions[0] > 0


def test_progress_of_the_papers_loop_counts_planes_and_iterations(rng):
    image = rng.normal(size=(2, 16, 16))
    run = iter_denoise(image, preset="paper-fast", n_iter=3)
    assert [(p.plane, p.step, round(p.fraction, 3)) for p in run] == [
        (0, 1, 0.167),
        (0, 2, 0.333),
        (0, 3, 0.5),
        (1, 1, 0.667),
        (1, 2, 0.833),
        (1, 3, 1.0),
    ]


def test_a_run_that_is_closed_keeps_what_it_reached(rng):
    stack = rng.normal(size=(3, 16, 16))
    settings = {"n_iter": 4, "n_passes": 4, "neighbours": 0}
    run = iter_denoise(stack, **settings)
    for progress in run:
        if progress.plane == 1 and progress.step == 2:
            break
    run.close()
    result = run.result()
    whole = denoise(stack, **settings)
    assert np.array_equal(result.image[0], whole.image[0])
    assert not np.array_equal(result.image[1], stack[1])
    assert np.array_equal(result.image[2], stack[2])
    assert result.report["complete"] is False
    assert result.report["planes_done"] == 1
    assert result.report["iterations"] == 4
    assert list(run) == []


def test_planes_share_one_adaptation_or_have_one_each(rng):
    stack = rng.normal(size=(3, 16, 16))
    shared = denoise(stack, n_iter=2, n_passes=2).report
    assert shared["iterations"] == 2
    assert len(shared["adaptations"]) == 1
    apart = denoise(stack, n_iter=2, n_passes=2, adapt_to="plane").report
    assert apart["iterations"] == 6
    firsts = [adaptation["first_plane"] for adaptation in apart["adaptations"]]
    assert firsts == [0, 1, 2]
    assert [len(a["losses"]) for a in apart["adaptations"]] == [2, 2, 2]


def test_results_of_lazy_arrays_do_not_stay_in_memory(noisy, tmp_path):
    path = tmp_path / "stack.npy"
    np.save(path, np.stack([noisy] * 3))
    lazy = np.load(path, mmap_mode="r")
    result = denoise(lazy, n_iter=1, n_passes=2)
    assert isinstance(result.image, np.memmap)
    assert isinstance(result.noise_map, np.memmap)
    in_memory = denoise(np.asarray(lazy).copy(), n_iter=1, n_passes=2)
    assert not isinstance(in_memory.image, np.memmap)
    assert np.array_equal(result.image, in_memory.image)
    assert np.array_equal(result.noise_map, in_memory.noise_map)


def test_the_report_can_be_written_down_and_names_everything(noisy):
    report = json.loads(json.dumps(denoise(noisy, n_iter=1, n_passes=2, seed=3).report))
    assert report["seed"] == 3
    assert report["config"]["n_iter"] == 1
    assert report["weights"] == "universal"
    assert len(report["weights_sha256"]) == 64
    assert report["complete"] is True
    assert {"napari_mpi", "torch", "device", "scaling"} <= report.keys()


def test_a_constant_image_is_returned_as_it_is_with_a_warning():
    image = np.full((2, 20, 20), 7, np.uint8)
    with pytest.warns(UserWarning, match="constant"):
        result = denoise(image)
    assert np.array_equal(result.image, image)
    assert not result.noise_map.any()


def test_an_empty_frame_within_a_stack_stays_as_it_is(noisy):
    stack = np.stack([noisy, np.zeros_like(noisy)])
    result = denoise(stack, n_iter=1, n_passes=2)
    assert not result.image[1].any()
    assert result.report["complete"] is True


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((0, 20), np.uint8), ValueError, r"empty.*\(0, 20\)"),
        (np.arange(50.0), ValueError, r"at least 2 dimensions.*\(50,\)"),
        (np.float32(3), ValueError, "at least 2 dimensions"),
        (np.ones((20, 20), bool), TypeError, "got bool"),
        (np.ones((20, 20), complex), TypeError, "got complex128"),
        (np.full((20, 20), "a"), TypeError, "got <U1"),
        ("a.tif", TypeError, "got the path 'a.tif'.*denoise_files"),
        (None, TypeError, "got NoneType. Give the pixels"),
        (np.zeros((15, 40)), ValueError, "have 15x40 pixels, and at least 16x16"),
        (np.full((20, 20), np.nan), ValueError, "Every pixel is NaN"),
    ],
)
def test_what_is_no_image_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        denoise(image, n_iter=1, n_passes=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_pixels_are_counted_and_named_with_what_to_do(rng, value):
    image = rng.normal(size=(2, 20, 20))
    image[1, 3, 4:6] = value
    with pytest.raises(ValueError, match=r"2 of 800 pixels are NaN or inf.*nan_to_num"):
        denoise(image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "best"}, r"Unknown preset 'best'.*paper, paper-fast"),
        ({"noise": "loud"}, "Unknown noise kind 'loud'"),
        ({"device": "tpu"}, "device 'tpu' is not available"),
        ({"n_iter": -1}, "n_iter is -1"),
        ({"preset": "paper", "n_iter": 0}, "n_iter is 0"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_first_step(noisy, settings, message):
    with pytest.raises(ValueError, match=message):
        iter_denoise(noisy, **settings)


def test_real_noise_is_reduced(shared_data):
    import imageio.v3 as iio

    folder = shared_data / "data" / "fmd"
    raw = iio.imread(folder / "raw" / "Confocal_FISH_1.png")[64:128, 128:192]
    truth = iio.imread(folder / "gt" / "Confocal_FISH.png")[64:128, 128:192]
    truth = truth.astype(float)
    result = denoise(raw, n_iter=60)
    before = np.mean((raw - truth) ** 2)
    after = np.mean((result.image - truth) ** 2)
    assert after < before / 2  # more than 3 dB, in little time on a small crop


def test_a_forecast_grows_with_the_work(rng):
    stack = rng.normal(100, 9, (4, 64, 64))
    one = iter_denoise(stack[:1], n_iter=0, n_passes=8, noise="independent").forecast()
    four = iter_denoise(stack, n_iter=0, n_passes=80, noise="independent").forecast()
    assert 0 < 4 * one.seconds < four.seconds
    loop = iter_denoise(stack, preset="paper").forecast()
    assert loop.seconds > four.seconds
    assert 64 * 64 * 1000 < one.memory < four.memory < 1.1 * one.memory


def test_a_forecast_changes_nothing(noisy):
    run = iter_denoise(noisy, n_iter=1, n_passes=2)
    run.forecast()
    assert len(list(run)) > 1
    expected = denoise(noisy, n_iter=1, n_passes=2).image
    assert np.array_equal(run.result().image, expected)


def test_there_is_nothing_to_forecast_for_a_constant_image():
    with pytest.warns(UserWarning, match="constant"):
        run = iter_denoise(np.ones((20, 20)))
    assert run.forecast().seconds == 0


@pytest.mark.parametrize("phase", ["adapting", "filling"])
def test_a_look_at_a_part_does_not_change_the_run(rng, phase):
    stack = rng.poisson(30, (2, 40, 48)).astype(np.uint16)
    settings = {"n_iter": 6, "early_stopping": False, "n_passes": 4, "seed": 3}
    run = iter_denoise(stack, **settings)
    while next(run).phase != phase:
        pass
    look = run.look((1,), (slice(4, 36), slice(8, 48)))
    assert look.shape == (32, 40)
    assert look.dtype == stack.dtype
    assert look.std() < stack.std()
    for _ in run:
        pass
    expected = denoise(stack, **settings)
    assert np.array_equal(run.result().image, expected.image)
    # It is one at the noisy plane, whatever became of that.
    again = run.look((1,), (slice(4, 36), slice(8, 48)))
    assert np.array_equal(again, look)


def test_there_is_no_look_at_what_is_left_unchanged(rng):
    stack = rng.poisson(30, (2, 40, 48)).astype(np.uint16)
    stack[1] = 7
    whole = (slice(None), slice(None))
    assert iter_denoise(stack).look((1,), whole) is None
    colours = rng.poisson(30, (40, 48, 3)).astype(np.uint8)
    assert iter_denoise(colours, rgb=True).look((), whole) is None


def test_flat_planes_of_different_values_come_back_as_they_are():
    stack = np.stack([np.zeros((32, 32)), np.ones((32, 32))])
    with pytest.warns(UserWarning, match="Each plane is constant"):
        result = denoise(stack)
    assert np.array_equal(result.image, stack)


def test_a_plane_is_shown_as_soon_as_each_pixel_has_a_prediction(rng):
    stack = rng.poisson(30, (2, 40, 48)).astype(np.uint16)
    run = iter_denoise(stack, n_iter=0, n_passes=4)
    seen = []
    for _ in run:
        seen.append(run.refresh())
        if len(seen) == 1:
            assert np.array_equal(run.image, stack)
        elif len(seen) == 2:
            assert (run.image[0] != stack[0]).any()
    assert seen == [False] + [True] * 7


@pytest.fixture
def damaged(rng):
    """A clean 8-bit image, and the same with salt and pepper in a twentieth."""
    clean = (40 + 160 * fluorescence_image((96, 96), rng)).clip(0, 250).astype(np.uint8)
    drawn = rng.random(clean.shape)
    salted = np.where(drawn < 0.025, 0, np.where(drawn > 0.975, 255, clean))
    return clean, salted.astype(np.uint8)


def test_salt_and_pepper_is_filled_and_the_rest_of_a_clean_image_left(damaged):
    clean, salted = damaged
    result = denoise(salted)
    hit = salted != clean
    np.testing.assert_array_equal(result.image[~hit], clean[~hit])
    assert np.abs(result.noise_map[hit]).min() > 0
    assert np.square(result.image - clean.astype(float)).mean() < 4
    np.testing.assert_array_equal(result.noise_map, salted - result.image.astype(float))
    assert result.report["stuck"] == pytest.approx(hit.mean(), rel=0.05)
    assert result.report["complete"]
    assert any("stuck" in sentence for sentence in in_words(result.report))


def test_salt_and_pepper_does_no_harm_to_a_noisy_image(damaged, rng):
    clean, salted = damaged
    noise = rng.normal(0, 12, clean.shape)
    noisy = np.clip(clean + noise, 1, 254)
    options = {"n_iter": 4, "n_passes": 4}
    both = np.where(salted != clean, salted, noisy)
    errors = [
        np.square(denoise(image, **options).image - clean.astype(float)).mean()
        for image in (noisy, both)
    ]
    assert errors[1] < 1.5 * errors[0]


def test_the_papers_presets_take_salt_and_pepper_as_it_is(damaged):
    _, salted = damaged
    report = denoise(salted, preset="paper-fast", n_iter=1).report
    assert report["stuck"] == 0


def test_only_planes_with_stuck_pixels_are_changed(damaged):
    clean, salted = damaged
    result = denoise(np.stack([clean, salted]))
    np.testing.assert_array_equal(result.image[0], clean)
    assert result.report["planes_done"] == 2
    assert np.any(result.image[1] != salted)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seed": -1}, "seed is -1: expected a whole number"),
        ({"seed": 1.5}, "seed is 1.5: expected a whole number"),
        ({"pixel_shuffle": 30}, "at most half of 40 pixels"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(noisy, settings, expected):
    with pytest.raises(ValueError, match=expected):
        iter_denoise(noisy, **settings)


def test_numbers_of_numpy_are_numbers(noisy):
    settings = {"n_iter": np.int64(1), "mask_ratio": np.float32(0.5), "n_passes": 2}
    report = denoise(noisy, seed=np.uint8(3), **settings).report
    written = json.loads(json.dumps(report))
    assert written["seed"] == 3
    assert (written["config"]["n_iter"], written["config"]["mask_ratio"]) == (1, 0.5)


def test_a_tensor_is_an_image_too(noisy):
    image = noisy.astype(np.float32)
    settings = {"n_iter": 1, "n_passes": 2}
    result = denoise(torch.from_numpy(image), **settings)
    assert np.array_equal(result.image, denoise(image, **settings).image)


def test_masked_pixels_are_refused(noisy):
    masked = np.ma.masked_greater(noisy, np.percentile(noisy, 99))
    with pytest.raises(ValueError, match="without a mask"):
        denoise(masked)


@pytest.mark.parametrize("noise", [None, "correlated"])
@pytest.mark.parametrize("photons", [0.1, 0.2])
def test_a_flat_image_of_few_photons_keeps_its_light(rng, photons, noise):
    counts = rng.poisson(photons, (96, 96)).astype(np.uint16)
    result = denoise(counts, preset="fast", noise=noise, n_iter=2)
    assert result.image.mean() == pytest.approx(counts.mean(), rel=0.02)
    assert result.report["verdict"]["warnings"] == ()


def test_spots_of_few_photons_keep_their_light(rng):
    spots = np.zeros((128, 128))
    spots[tuple(rng.integers(0, 128, (2, 60)))] = 1
    spots = ndimage.gaussian_filter(spots, 2)
    counts = rng.poisson(0.03 * spots / spots.mean()).astype(np.uint16)
    image = denoise(counts, preset="fast", n_iter=2).image
    assert image.mean() == pytest.approx(counts.mean(), rel=0.03)
