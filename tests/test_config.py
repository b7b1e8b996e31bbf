import dataclasses
import json
import math

import numpy as np
import pytest

from napari_mpi.config import (
    MEASURING,
    NOISE_KINDS,
    PRESETS,
    FillConfig,
    checked_seed,
    fill_config,
    given_settings,
)


def test_the_presets_are_those_of_the_paper():
    paper, fast = PRESETS["paper"], PRESETS["paper-fast"]
    assert (paper.n_iter, paper.averaging) == (1000, 0.99)
    assert (fast.n_iter, fast.averaging) == (200, 0.9)
    assert {preset.learning_rate for preset in PRESETS.values()} == {2e-3}


def test_independent_noise_hides_little_and_correlated_noise_much():
    assert fill_config("paper", noise="independent").mask_ratio == 0.3
    assert fill_config("paper", noise="independent").mask_per_channel
    assert fill_config("paper", noise="correlated").mask_ratio >= 0.8
    assert fill_config("paper", noise="strongly-correlated").pixel_shuffle > 1


@pytest.mark.parametrize("preset", MEASURING)
def test_correlated_noise_is_not_learnt_on_crops(preset):
    independent, correlated, strongly = (fill_config(preset, n) for n in NOISE_KINDS)
    assert independent == PRESETS[preset]
    assert correlated.n_iter == strongly.n_iter == 0
    assert correlated.mask_ratio > independent.mask_ratio
    assert not correlated.own_pixel
    assert strongly.pixel_shuffle > 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("noise", [None, *NOISE_KINDS])
def test_every_preset_goes_with_every_noise_kind(preset, noise):
    config = fill_config(preset, noise)
    assert config.scaling == PRESETS[preset].scaling


def test_single_settings_win_over_noise_kind_and_preset():
    config = fill_config("paper", "independent", mask_ratio=0.4, n_iter=7)
    assert (config.mask_ratio, config.n_iter, config.averaging) == (0.4, 7, 0.99)


def test_the_learning_of_a_configuration_of_ones_own_stays_with_a_noise_kind():
    own = FillConfig(crop_size=64, n_iter=300)
    assert fill_config(own, "correlated").n_iter == 300


def test_flags_are_those_of_python():
    assert FillConfig(own_pixel=np.True_).own_pixel is True


def test_none_leaves_a_setting_as_it_is():
    assert fill_config("paper", n_iter=None) == PRESETS["paper"]


def test_a_configuration_can_be_the_start():
    start = FillConfig(n_iter=3)
    assert fill_config(start) is not None
    assert fill_config(start, averaging=0.5) == FillConfig(n_iter=3, averaging=0.5)
    assert start == FillConfig(n_iter=3)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown preset 'slow': .* paper-fast"):
        fill_config("slow")
    with pytest.raises(ValueError, match=r"Unknown noise kind 'salt'.* independent"):
        fill_config(noise="salt")
    with pytest.raises(TypeError, match="no setting 'n_iters': choose from n_iter,"):
        fill_config(n_iters=3)


def test_given_settings_are_numbers_of_python():
    given = given_settings("fast", None, n_iter=np.int64(3), mask_ratio=None)
    assert json.dumps(given) == '{"n_iter": 3}'
    assert json.dumps(checked_seed(np.int64(7))) == "7"


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="expected a whole number, at least 0"):
        checked_seed(seed)


def test_configurations_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FillConfig().n_iter = 3


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("n_iter", [0, -1, 2.5, "3", True]),
        ("own_pixel", ["no", 1, None]),
        ("pixel_shuffle", [0, 1.5]),
        ("mask_ratio", [0, 1, -0.1, math.nan]),
        ("averaging", [-0.1, 1, math.nan]),
        ("learning_rate", [0, -1e-3, math.nan, math.inf]),
        ("scaling", ["minmax", None]),
        ("precision", ["float16"]),
    ],
)
def test_a_bad_fill_setting_is_named(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"{field} is "):
            FillConfig(**{field: value})
