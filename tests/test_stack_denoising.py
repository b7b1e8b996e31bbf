import numpy as np
import pytest
from scipy import ndimage

from napari_mpi import denoise, iter_denoise
from napari_mpi.batch.checkpoints import FileCheckpoints
from napari_mpi.pipeline import plane_filling
from napari_mpi.pipeline.findings import in_words
from napari_mpi.training.synthetic import fluorescence_image

SETTINGS = {"n_iter": 0, "n_passes": 4, "noise": "independent"}
SIGMA = 30.0


@pytest.fixture
def still() -> np.ndarray:
    """Six frames of something that does not move."""
    image = fluorescence_image((64, 72), np.random.default_rng(4))
    return np.broadcast_to(200 + 600 * image, (6, 64, 72)).copy()


def with_noise(clean, rng):
    return clean + rng.normal(0, SIGMA, clean.shape)


def error(image, clean) -> float:
    return float(np.sqrt(np.mean((image - clean) ** 2)))


def test_frames_that_show_the_same_tell_of_each_other(still, rng):
    noisy = with_noise(still, rng)
    alone = denoise(noisy, **SETTINGS, neighbours=0)
    joined = denoise(noisy, **SETTINGS)
    assert error(joined.image, still) < 0.8 * error(alone.image, still)
    assert alone.report["joined"] is None
    assert 2 < joined.report["joined"] <= 5
    said = " ".join(in_words(joined.report))
    assert f"{joined.report['joined']:.1f} planes" in said


def test_frames_that_show_something_else_are_left_to_themselves(rng):
    images = [fluorescence_image((64, 72), np.random.default_rng(n)) for n in range(4)]
    clean = 200 + 600 * np.stack(images)
    noisy = with_noise(clean, rng)
    alone = denoise(noisy, **SETTINGS, neighbours=0)
    joined = denoise(noisy, **SETTINGS)
    assert error(joined.image, clean) < 1.05 * error(alone.image, clean)


def test_what_lights_up_in_one_frame_stays_in_it(still, rng):
    rows, columns = np.mgrid[:64, :72]
    flash = 5 * SIGMA * np.exp(-((rows - 30) ** 2 + (columns - 40) ** 2) / 8)
    noise = rng.normal(0, SIGMA, still.shape)
    near = np.s_[24:37, 34:47]
    before = denoise(still + noise, **SETTINGS).image
    still[3] += flash
    after = denoise(still + noise, **SETTINGS).image
    light = (after - before)[:, *near].sum(axis=(1, 2)) / flash[near].sum()
    assert light[3] == pytest.approx(1, abs=0.2)
    assert np.abs(np.delete(light, 3)).max() < 0.1


def test_each_frame_keeps_its_own_light(still, rng):
    still *= np.array([1, 0.9, 1.1, 0.95, 1, 0.9])[:, None, None]
    noisy = with_noise(still, rng)
    joined = denoise(noisy, **SETTINGS)
    assert joined.report["joined"] > 1.5
    means = joined.image.mean(axis=(1, 2)) - noisy.mean(axis=(1, 2))
    assert np.abs(means).max() < 0.1 * SIGMA


def test_neighbours_are_looked_for_along_the_axis_that_changes_less(still, rng):
    others = 200 + 600 * fluorescence_image((64, 72), np.random.default_rng(9))
    clean = np.stack([still[:4], np.broadcast_to(others, (4, 64, 72))], axis=1)
    noisy = with_noise(clean, rng)
    joined = denoise(noisy, **SETTINGS)
    assert joined.report["joined"] > 2
    swapped = denoise(noisy.swapaxes(0, 1).copy(), **SETTINGS)
    assert swapped.report["joined"] > 2
    assert error(swapped.image, joined.image.swapaxes(0, 1)) < 0.2 * SIGMA


def test_an_empty_frame_tells_nothing(still, rng):
    noisy = with_noise(still, rng)
    noisy[2] = 100
    joined = denoise(noisy, **SETTINGS)
    assert np.array_equal(joined.image[2], noisy[2])
    rest = [0, 1, 3, 4, 5]
    assert error(joined.image[rest], still[rest]) < 0.4 * SIGMA


@pytest.mark.parametrize(
    "settings",
    [
        {"adapt_to": "plane"},
        {"wiener": False},
        {"mask_shape": "rows"},
        {"preset": "paper-fast", "n_iter": 1},
    ],
    ids=str,
)
def test_planes_are_left_to_themselves_where_they_are_to_be(still, rng, settings):
    report = denoise(with_noise(still[:3], rng), **SETTINGS | settings).report
    assert report["joined"] is None


def test_frames_tell_of_each_other_where_pixels_share_their_noise(still, rng):
    noise = ndimage.gaussian_filter(rng.standard_normal(still.shape), (0, 0.7, 0.7))
    noisy = still + SIGMA * noise / noise.std()
    settings = SETTINGS | {"noise": "correlated"}
    alone = denoise(noisy, **settings, neighbours=0)
    joined = denoise(noisy, **settings)
    assert joined.report["joined"] > 1.5
    assert error(joined.image, still) < 0.85 * error(alone.image, still)


def test_of_large_planes_the_next_ones_are_kept_only(still, rng, monkeypatch):
    noisy = with_noise(still, rng)
    monkeypatch.setattr(plane_filling, "_LARGE", 64 * 64)
    assert 1 < denoise(noisy, **SETTINGS).report["joined"] <= 3


def test_the_uncertainty_knows_of_the_neighbours(still, rng):
    noisy = with_noise(still, rng)
    alone, joined = (
        denoise(noisy, **SETTINGS, neighbours=number, uncertainty=True)
        for number in (0, 2)
    )
    assert joined.uncertainty.mean() < 0.8 * alone.uncertainty.mean()
    for result in (alone, joined):
        told = np.sqrt(np.mean(result.uncertainty.astype(float) ** 2))
        assert error(result.image, still) == pytest.approx(told, rel=0.6)


def test_a_run_that_is_cancelled_ends_at_once(still, rng, monkeypatch):
    run = iter_denoise(with_noise(still, rng), **SETTINGS)
    for progress in run:
        if progress.plane == 1:
            break

    def join(*planes):
        raise AssertionError("nobody asked for a result")

    monkeypatch.setattr(plane_filling.PlaneFiller, "join", join)
    run.close()
    del run


def test_a_run_that_is_closed_joins_what_it_reached(still, rng):
    noisy = with_noise(still, rng)
    run = iter_denoise(noisy, **SETTINGS)
    for progress in run:
        if progress.plane == 3:
            break
    run.close()
    result = run.result()
    whole = denoise(noisy, **SETTINGS).image
    assert result.report["planes_done"] == 3
    assert result.report["complete"] is False
    assert np.array_equal(result.image[0], whole[0])
    alone = denoise(noisy, **SETTINGS, neighbours=0).image
    for plane in (1, 2):
        assert not np.array_equal(result.image[plane], alone[plane])
    assert np.array_equal(result.image[4:], noisy[4:])


def test_every_plane_is_filled_once_and_progress_never_goes_back(still, rng):
    run = iter_denoise(with_noise(still, rng), **SETTINGS)
    seen = [progress for progress in run if progress.phase == "filling"]
    first_steps = [progress.plane for progress in seen if progress.step == 1]
    assert first_steps == list(range(6))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_a_run_that_carries_on_joins_as_one_that_was_never_interrupted(
    still, rng, tmp_path
):
    noisy = with_noise(still, rng)
    whole = denoise(noisy, **SETTINGS, uncertainty=True)

    def start():
        started = iter_denoise(noisy, **SETTINGS, uncertainty=True)
        started.restore(FileCheckpoints(tmp_path))
        return started

    def run(until):
        started, fractions = start(), []
        for progress in started:
            fractions.append(progress.fraction)
            if progress.plane == until:
                started.close()  # joins what is there, which must not stay
                return None
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1)
        return started.result()

    for until in (2, 4, 5):
        run(until)
    # Planes that are finished are filled once more for others, and not shown again.
    started = start()
    for progress in started:
        if progress.plane == 1:
            started.refresh()
            assert np.array_equal(started.image[1], whole.image[1])
        if progress.plane > 2:
            break
    resumed = run(None)
    assert np.array_equal(resumed.image, whole.image)
    assert np.array_equal(resumed.noise_map, whole.noise_map)
    assert np.array_equal(resumed.uncertainty, whole.uncertainty)
    assert resumed.report["joined"] == whole.report["joined"]


@pytest.mark.parametrize("alike", [True, False], ids=["photograph", "stains"])
def test_colours_of_frames_tell_of_each_other(still, rng, alike):
    turned = still[:, ::-1] if not alike else still
    clean = np.stack([still, turned, still[:, :, ::-1] if not alike else still], -1)
    noisy = with_noise(clean[:4], rng)
    alone, joined = (
        denoise(noisy, **SETTINGS, rgb=True, neighbours=number).image
        for number in (0, 2)
    )
    assert error(joined, clean[:4]) < 0.9 * error(alone, clean[:4])
