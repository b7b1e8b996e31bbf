import numpy as np
import pytest

from napari_mpi import denoise, iter_denoise
from napari_mpi.pipeline import plan, stack_denoising


@pytest.mark.parametrize("faster", ["bfloat16", "float32"])
def test_the_arithmetic_is_the_faster_one_of_the_device(noisy, monkeypatch, faster):
    monkeypatch.setattr(plan, "prefers_bfloat16", lambda _: faster == "bfloat16")
    report = denoise(noisy, n_iter=1, n_passes=2).report
    assert report["config"]["precision"] == faster
    report = denoise(noisy, preset="paper-fast", n_iter=1).report
    as_the_paper = "mixed" if faster == "bfloat16" else "float32"
    assert report["config"]["precision"] == as_the_paper


def test_eight_bits_are_scaled_by_their_range_as_the_paper_does(noisy):
    image = np.clip(noisy / 4, 0, 60).astype(np.uint8)
    report = denoise(image, preset="paper-fast", n_iter=1).report
    assert report["scaling"] == {"offset": 0.0, "gain": 255.0}


@pytest.mark.parametrize(("preset", "factor"), [("fast", 65), ("paper", 21)])
def test_sub_images_have_two_pixels_at_least(rng, preset, factor):
    image = (
        rng.poisson(9, (40, 300)) if preset == "paper" else rng.poisson(9, (300, 300))
    )
    with pytest.raises(ValueError, match="at most half of"):
        iter_denoise(image, preset=preset, noise="independent", pixel_shuffle=factor)


def test_settings_that_overrule_the_choice_are_told_beside_it(noisy):
    settings = {"n_iter": 0, "n_passes": 2}
    choice = denoise(noisy, **settings, pixel_type="float32").report["choice"]
    assert choice.endswith("Set otherwise: n_iter, n_passes.")


@pytest.mark.parametrize(
    ("shape", "settings", "n_iter"),
    [
        ((64, 64), {}, 60),
        ((3, 64, 64), {}, 180),
        ((3, 64, 64), {"adapt_to": "plane"}, 60),
        ((64, 256), {}, 120),
        ((256, 256), {}, 240),
        ((64, 64), {"n_iter": 200}, 200),
        ((64, 64), {"preset": "fast"}, 80),
        ((64, 64), {"preset": "paper"}, 1000),
    ],
)
def test_a_small_plane_is_not_learnt_by_heart(shape, settings, n_iter, rng):
    run = iter_denoise(rng.poisson(9, shape), noise="independent", **settings)
    assert run.result().report["config"]["n_iter"] == n_iter


def test_a_forecast_for_more_planes_has_the_iterations_that_these_get(rng, monkeypatch):
    def of(plane, n_planes, weights, config, device):
        return n_planes, config.n_iter

    monkeypatch.setattr(stack_denoising, "forecast", of)
    run = iter_denoise(rng.poisson(9, (64, 64)), noise="independent")
    assert [run.forecast(), run.forecast(3), run.forecast(9)] == [
        (1, 60), (3, 180), (9, 240)
    ]  # fmt: skip
