import dataclasses
import json
import math

import numpy as np
import pytest

from napari_mpi.training.config import PretrainConfig


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PretrainConfig(steps=1).seed = 3


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("steps", [0, 1.5]),
        ("crop_size", [32, 100, 64.0, 96.5]),
        ("batch_size", [0]),
        ("checkpoint_every", [0]),
        ("learning_rate", [0]),
        ("final_learning_rate", [0, math.inf]),
        ("mask_ratio", [(0.5, 0.3), (0, 0.5), (0.5, 1), 0.5, (0.1, "b")]),
        ("synthetic_share", [-0.1, 1.1, math.nan]),
        ("noise_share", ["x", None]),
        ("seed", [-1, 0.5]),
    ],
)
def test_a_bad_pretrain_setting_is_named(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"{field} is "):
            PretrainConfig(**{"steps": 1, field: value})


def test_numbers_of_numpy_become_those_of_python():
    config = PretrainConfig(
        steps=1,
        mask_ratio=np.array([0.25, 0.5]),
        noise_share=np.float32(0.5),
        synthetic_share=np.float64(0.5),
    )
    written = json.loads(json.dumps(dataclasses.asdict(config)))
    assert written["mask_ratio"] == [0.25, 0.5]
    assert written["noise_share"] == written["synthetic_share"] == 0.5


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf])
def test_minutes_are_a_positive_number(minutes):
    with pytest.raises(ValueError, match="minutes is "):
        PretrainConfig(minutes=minutes)


def test_a_training_lasts_for_steps_or_minutes():
    assert PretrainConfig(steps=1).minutes is None
    assert PretrainConfig(minutes=0.5).steps is None
    for budget in ({}, {"steps": 1, "minutes": 1}):
        with pytest.raises(ValueError, match="either steps or minutes"):
            PretrainConfig(**budget)
