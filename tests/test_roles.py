import numpy as np
import pytest
from napari.layers import Image

from napari_mpi._napari.roles import RECORD, ROLE, is_result, record_of, role_of


def a_layer(name="cells", **metadata) -> Image:
    return Image(np.zeros((4, 4)), name=name, metadata=metadata)


def test_an_image_that_no_run_made_is_no_result():
    assert not is_result(a_layer(other=1))
    assert record_of(a_layer()) is None
    assert record_of(None) is None


def test_a_result_is_one_from_its_first_moment_and_has_a_record_at_the_end():
    layer = a_layer(**{RECORD: {}, ROLE: "denoised"})
    assert is_result(layer)
    assert record_of(layer) is None
    layer.metadata[RECORD] = {"seed": 3}
    assert record_of(layer) == {"seed": 3}


def test_what_a_trial_made_is_a_result_without_a_record():
    layer = a_layer(**{ROLE: "region"})
    assert is_result(layer)
    assert (role_of(layer), record_of(layer)) == ("region", None)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("cells noise map", "noise map"),
        ("cells uncertainty", "uncertainty"),
        ("cells", "denoised"),
    ],
)
def test_of_a_plain_file_the_name_tells_the_role(name, role):
    assert role_of(a_layer(name, **{RECORD: {"seed": 3}})) == role
    assert role_of(a_layer(name, **{ROLE: "denoised"})) == "denoised"
