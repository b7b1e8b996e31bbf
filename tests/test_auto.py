"""What `auto` chooses for noise of each kind."""

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from napari_mpi import denoise, iter_denoise
from napari_mpi.analysis.auto import choose
from napari_mpi.analysis.noise import estimate_noise
from napari_mpi.config import PRESETS
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.loading import load_weights

INDEPENDENT = estimate_noise(np.random.default_rng(0).normal(100, 9, (64, 64)))


def with_noise(**values):
    whole = {"signal_range": 100.0, "rms": 10.0, "strongest": 0.0}
    return replace(INDEPENDENT, **whole, **values)


def test_independent_noise_is_combined_with_the_pixels_own_value():
    choice = choose(with_noise(correlation=(0.02, 0.1)))
    assert choice.config == PRESETS["auto"]
    assert choice.config.own_pixel
    assert choice.config.early_stopping
    assert not choice.clean
    assert "independent from pixel to pixel (10.0 %" in choice.reason


def test_correlated_noise_hides_most_of_the_neighbours():
    choice = choose(with_noise(correlation=(0.6, 0.55), shared=True))
    assert choice.config.mask_ratio == 0.75
    assert choice.config.n_iter == 0
    assert not choice.config.own_pixel
    assert not choice.config.early_stopping
    assert "share their noise (correlation 0.60" in choice.reason


@pytest.mark.parametrize(
    ("correlation", "lines"), [((0.0, 0.6), "rows"), ((0.6, 0.0), "columns")]
)
def test_noise_along_one_axis_hides_whole_lines(correlation, lines):
    noise = with_noise(correlation=correlation, shared=True, certain=True)
    choice = choose(noise)
    assert choice.config.mask_shape == lines
    assert choice.config.n_iter == PRESETS["auto"].n_iter
    assert not choice.config.own_pixel
    assert f"beside them in {lines} only (correlation 0.60" in choice.reason


def test_between_the_two_the_mask_ratio_follows_the_correlation():
    ratios = [
        choose(noise).config.mask_ratio
        for noise in [with_noise(correlation=(0.0, 0.1))]
        + [
            with_noise(correlation=(0.0, value), shared=True)
            for value in (0.25, 0.3, 0.4, 0.5, 0.9)
        ]
    ]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[1] < ratios[3] < ratios[4] == ratios[5]


def test_structure_that_makes_neighbours_alike_is_not_hidden_from_the_network():
    choice = choose(with_noise(correlation=(0.6, 0.55), shared=False))
    assert choice.config == PRESETS["auto"]
    assert not choice.clean


@pytest.mark.parametrize("lines", ["rows", "columns"])
def test_striped_noise_hides_whole_lines(lines):
    stripes = (0.4, 0.02) if lines == "rows" else (0.02, 0.4)
    choice = choose(with_noise(correlation=(0.4, 0.05), stripes=stripes))
    assert choice.config.mask_shape == lines
    assert choice.config.own_pixel
    both = choose(with_noise(correlation=(0.4, 0.05), stripes=stripes, shared=True))
    assert not both.config.own_pixel  # the neighbours know it, too
    assert f"pixels of {lines} share 40 %" in choice.reason


@pytest.mark.parametrize(
    ("rms", "correlation", "shared", "clean"),
    [
        (1.5, 0.05, False, True),
        (2.5, 0.05, False, False),
        (2.5, 0.3, False, True),
        (4.0, 0.3, False, False),
        (4.0, 0.3, True, True),
        (5.0, 0.3, True, False),
    ],
)
def test_what_is_too_weak_to_remove_is_left(rms, correlation, shared, clean):
    noise = with_noise(correlation=(correlation, 0.0), shared=shared)
    noise = replace(noise, rms=rms)
    choice = choose(noise)
    assert choice.clean is clean
    assert ("nothing to remove" in choice.reason) is clean


@pytest.mark.parametrize(("rms", "clean"), [(1.5, True), (1.9, False)])
def test_less_noise_is_removed_where_it_was_told_from_texture(rms, clean):
    noise = replace(with_noise(correlation=(0.5, 0.5)), rms=rms)
    assert choose(noise).clean
    choice = choose(replace(noise, told_apart=True))
    assert choice.clean is clean
    assert (f"the noise is only {rms:.1f} %" in choice.reason) is clean


def test_an_image_is_clean_only_if_each_part_of_it_is():
    quiet = replace(with_noise(correlation=(0.3, 0.0), shared=True), rms=3.0)
    assert choose(quiet).clean
    assert choose(replace(quiet, strongest=4.0)).clean
    in_part = choose(replace(quiet, strongest=9.0))
    assert in_part.config == PRESETS["auto"]
    assert "(3.0 % of the signal range, and 9.0 % in a part" in in_part.reason


def test_stripes_are_worth_removing_where_shared_noise_is_not():
    stripes, weak = (0.4, 0.0), {"correlation": (0.3, 0.0), "shared": True}
    noise = replace(with_noise(stripes=stripes, **weak), rms=4.0)
    assert not choose(noise).clean
    assert choose(replace(noise, rms=1.5)).clean
    assert choose(replace(noise, stripes=(0.0, 0.0))).clean


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"gain": 2.0}, ", growing with the signal"),
        ({"compression": 0.02}, ", falling with the signal"),
    ],
    ids=["constant", "photons", "logarithm"],
)
def test_it_is_told_how_noise_follows_the_signal(changes, said):
    noise = with_noise(correlation=(0.0, 0.0), read_noise=1.0, **changes)
    told = choose(noise).reason
    for either in (", growing with the signal", ", falling with the signal"):
        assert (either in told) is (either == said)


@pytest.fixture
def clean():
    image = fluorescence_image((96, 96), np.random.default_rng(5))
    return 100 + 1000 * image.astype(float)


def test_a_clean_image_comes_back_unchanged_and_says_so(clean):
    image = clean.round().astype(np.uint16)
    with pytest.warns(UserWarning, match="nothing to remove"):
        result = denoise(image)
    assert np.array_equal(result.image, image)
    assert not result.noise_map.any()
    assert result.report["complete"]
    assert result.report["iterations"] == 0


@pytest.mark.parametrize("crop", [256, None])
@pytest.mark.parametrize(
    "scene",
    [
        "Confocal_BPAE_B",
        "Confocal_BPAE_R",
        "Confocal_FISH",
        "TwoPhoton_BPAE_R",
        "TwoPhoton_MICE",
        "WideField_BPAE_G",
    ],
)
def test_real_truths_are_clean_and_real_noisy_images_are_not(scene, crop, shared_data):
    folder = shared_data / "data" / "fmd"
    truth = iio.imread(folder / "gt" / f"{scene}.png")[:crop, :crop]
    assert choose(estimate_noise(truth)).clean
    for realisation in (1, 2):
        noisy = iio.imread(folder / "raw" / f"{scene}_{realisation}.png")[:crop, :crop]
        choice = choose(estimate_noise(noisy))
        assert not choice.clean
        assert choice.config.own_pixel is not scene.startswith("WideField")


def test_the_report_says_what_was_found_and_chosen(clean, rng):
    noise = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 1)
    report = denoise(clean + 80 * noise / noise.std(), n_iter=2).report
    assert report["preset"] == "auto"
    assert "share their noise" in report["choice"]
    assert report["config"]["mask_ratio"] > 0.7
    assert report["config"]["n_iter"] == 2
    assert report["noise_estimate"]["correlation"][0] > 0.4
    assert report["verdict"]["std"] > 0


def test_a_noise_kind_that_is_given_is_not_measured(clean, rng):
    noisy = clean + 80 * rng.standard_normal(clean.shape)
    report = denoise(noisy, noise="correlated", n_iter=1).report
    assert report["choice"] is None
    assert report["config"]["mask_ratio"] == 0.75
    assert not report["config"]["own_pixel"]
    assert report["noise_estimate"]["shared"]


def test_auto_removes_most_of_the_noise_and_keeps_the_mean(clean, rng):
    noisy = 100 + 10.0 * rng.poisson((clean - 100) / 10) + rng.normal(0, 20, (96, 96))
    result = denoise(noisy, n_iter=60)
    before, after = (np.square(i - clean).mean() for i in (noisy, result.image))
    assert after < before / 3
    assert result.image.mean() == pytest.approx(noisy.mean(), rel=0.01)
    assert result.report["verdict"]["noise_left"] < 0.3


def test_stripes_are_removed(clean, rng):
    stripes = 60 * rng.standard_normal((96, 1))
    noisy = clean + stripes + 60 * rng.standard_normal(clean.shape)
    result = denoise(noisy, n_iter=40)
    assert result.report["config"]["mask_shape"] == "rows"
    # The lasting difference of a row from the truth is its stripe.
    left = (result.image - clean).mean(axis=1).std()
    assert left < 0.6 * (noisy - clean).mean(axis=1).std()


def test_weights_that_never_saw_noise_adapt_to_correlated_noise():
    noise = with_noise(correlation=(0.6, 0.6), shared=True)
    aware, unaware = choose(noise), choose(noise, weights_know_noise=False)
    assert aware.config.n_iter == 0
    assert unaware.config.n_iter == PRESETS["auto"].n_iter
    assert unaware.config.mask_ratio > aware.config.mask_ratio


def test_weights_that_never_saw_noise_adapt_to_a_noise_kind_that_is_given(clean, rng):
    noisy = clean + 80 * rng.standard_normal(clean.shape)
    aware = load_weights()
    unaware = replace(aware, card={})

    def n_iter(weights):
        run = iter_denoise(noisy, weights=weights, noise="correlated")
        return run.result().report["config"]["n_iter"]

    assert n_iter(aware) == 0
    assert n_iter(unaware) > 0


@pytest.mark.parametrize("name", ["brick", "grass"])
def test_an_image_that_is_texture_all_over_gains(name, rng):
    texture = getattr(skimage.data, name)()[100:228, 20:148].astype(np.float32)
    noisy = texture + rng.normal(0, 20, texture.shape).astype(np.float32)
    image = denoise(noisy, preset="fast", n_iter=8, n_passes=4).image
    before, after = (np.square(each - texture).mean() for each in (noisy, image))
    assert after < 0.85 * before


@pytest.mark.parametrize(("certain", "clean"), [(True, False), (False, True)])
def test_weak_shared_noise_is_removed_if_it_is_noise_beyond_doubt(certain, clean):
    noise = with_noise(correlation=(0.5, 0.5), shared=True, certain=certain)
    assert choose(replace(noise, rms=3.0)).clean is clean
