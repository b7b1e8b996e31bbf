import dask.array
import numpy as np
import pytest

from napari_mpi import denoise, iter_denoise
from napari_mpi.training.synthetic import fluorescence_image

QUICK = {"n_iter": 1, "n_passes": 2}


@pytest.fixture
def channels(rng) -> np.ndarray:
    """A bright channel of photons beside a dim one of soft grain, (2, 40, 48)."""
    bright = rng.poisson(2000, (40, 48))
    dim = 200 + 20 * np.cumsum(rng.integers(0, 2, (40, 48)), axis=1) % 140
    return np.stack([bright, dim]).astype(np.uint16)


def test_each_channel_is_denoised_as_if_it_were_alone(channels):
    together = denoise(channels, channel_axis=0, **QUICK)
    for number, channel in enumerate(channels):
        alone = denoise(channel, **QUICK)
        np.testing.assert_array_equal(together.image[number], alone.image)
        np.testing.assert_array_equal(together.noise_map[number], alone.noise_map)
        report = together.report["channels"][number]
        assert report["noise_estimate"] == alone.report["noise_estimate"]
        assert report["scaling"] == alone.report["scaling"]
    scalings = [one["scaling"] for one in together.report["channels"]]
    assert scalings[0] != scalings[1]


@pytest.mark.parametrize("wrap", [np.asarray, dask.array.from_array])
def test_the_channel_axis_may_stand_between_others(channels, wrap):
    stack = np.stack([channels, channels[:, ::-1]])  # (T, C, Y, X)
    result = denoise(wrap(stack), channel_axis=-3, **QUICK)
    assert result.image.shape == stack.shape
    alone = denoise(stack[:, 1], **QUICK)
    np.testing.assert_array_equal(result.image[:, 1], alone.image)
    assert result.report["channel_axis"] == 1
    assert result.report["n_planes"] == result.report["planes_done"] == 4
    assert result.report["complete"]


def test_the_image_grows_channel_by_channel(channels):
    run = iter_denoise(channels, channel_axis=0, **QUICK)
    growing = run.image
    progress = []
    for step in run:
        progress.append(step)
        if step.plane == 1:
            break
    run.close()
    assert (growing[0] != channels[0]).any()
    np.testing.assert_array_equal(growing[1], channels[1])
    assert progress[-1].n_planes == 2
    fractions = [step.fraction for step in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.5
    assert not run.result().report["complete"]


def test_a_look_is_one_at_its_own_channel(channels):
    region = (slice(0, 32), slice(0, 32))
    run = iter_denoise(channels, channel_axis=0, **QUICK)
    alone = iter_denoise(channels[1], **QUICK)
    looks = run.look((1,), region), alone.look((), region)
    np.testing.assert_array_equal(*looks)


def test_warnings_and_choices_name_their_channel(channels, monkeypatch):
    from napari_mpi.pipeline import stack_denoising

    real = stack_denoising.judge

    def doubtful(noisy, denoised, noise, *, intensity):
        from dataclasses import replace

        verdict = real(noisy, denoised, noise)
        return replace(verdict, warnings=("look at it",) if noisy.mean() < 999 else ())

    monkeypatch.setattr(stack_denoising, "judge", doubtful)
    report = denoise(channels, channel_axis=0, **QUICK).report
    assert report["verdict"]["warnings"] == ("Channel 2: look at it",)
    assert "Channel 1: " in report["choice"]
    assert "Channel 2: " in report["choice"]


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -4])
def test_rows_and_columns_are_no_channels(channels, axis):
    with pytest.raises(ValueError, match="Expected a channel axis before the last two"):
        denoise(channels, channel_axis=axis, **QUICK)


def test_colours_are_no_channels(rng):
    image = rng.integers(0, 255, (2, 20, 24, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="got both"):
        denoise(image, rgb=True, channel_axis=0, **QUICK)


def test_planes_that_were_joined_are_told_over_all_channels(rng):
    still = 200 + 500 * fluorescence_image((64, 64), rng)
    stacks = [np.stack([still] * 3), rng.permutation(np.stack([still] * 3), axis=1)]
    noisy = np.stack(stacks) + rng.normal(0, 30, (2, 3, 64, 64))
    settings = {"n_iter": 0, "n_passes": 2, "noise": "independent"}
    report = denoise(noisy, channel_axis=0, **settings).report
    each = [channel["joined"] for channel in report["channels"]]
    assert report["joined"] == pytest.approx(np.mean(each), abs=0.01)
    assert each[0] != each[1]
