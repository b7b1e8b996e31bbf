import numpy as np
import pytest

from napari_mpi.training.synthetic import fluorescence_image, fluorescence_stack


@pytest.mark.parametrize("shape", [(16, 16), (33, 50), (120, 64)])
@pytest.mark.parametrize("seed", range(12))
def test_an_image_fills_0_to_1_up_to_its_brightest_structure(shape, seed):
    image = fluorescence_image(shape, np.random.default_rng(seed))
    assert image.shape == shape
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() == 1
    assert image.std() > 0


def test_the_seed_decides_the_image():
    first, again, other = (
        fluorescence_image((48, 48), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_stack_changes_smoothly(rng):
    stack = fluorescence_stack(4, (40, 50), rng)
    assert stack.shape == (4, 40, 50)
    assert stack.dtype == np.float32
    assert (stack.min(), stack.max()) >= (0, 1)
    step = np.abs(np.diff(stack, axis=0)).mean()
    assert 0 < step < np.abs(stack - stack.mean()).mean()
