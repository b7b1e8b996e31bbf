import numpy as np
import pytest

from napari_mpi.training.stains import stained_image


@pytest.mark.parametrize("seed", range(12))
def test_an_image_holds_colours_within_0_to_1(seed):
    image = stained_image((40, 64), np.random.default_rng(seed))
    assert image.shape == (3, 40, 64)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    assert not np.allclose(image[0], image[1], atol=1e-3)


def test_stains_glow_on_black_or_take_light_from_a_lamp():
    images = [
        stained_image((48, 48), np.random.default_rng(seed)) for seed in range(20)
    ]
    glowing = [image.max() == 1 for image in images]
    assert 5 < sum(glowing) < 15
    bright = [np.median(image) for image in images]
    assert (
        np.mean(bright, where=glowing)
        < 0.3
        < 0.5
        < np.mean(bright, where=np.logical_not(glowing))
    )


def test_the_seed_decides_the_image():
    first, again, other = (
        stained_image((48, 48), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
