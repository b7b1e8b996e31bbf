import numpy as np

from napari_mpi.arrays.colour import from_opponent, opponent_errors_to_rgb, to_opponent


def test_the_change_of_axes_can_be_undone(rng):
    rgb = rng.uniform(0, 255, (2, 5, 7, 3))
    components = to_opponent(rgb)
    assert components.shape == (3, 2, 5, 7)
    np.testing.assert_allclose(from_opponent(components), rgb, atol=1e-9)


def test_independent_noise_stays_independent_and_as_strong(rng):
    components = to_opponent(rng.standard_normal((300, 300, 3)))
    covariance = np.cov(components.reshape(3, -1))
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.02)


def test_gray_is_brightness_alone_and_transparency_is_left_out():
    gray = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 4, axis=-1)
    brightness, *differences = to_opponent(gray)
    np.testing.assert_allclose(brightness, gray[..., 0] * np.sqrt(3))
    assert not np.any(differences)  # rounding errors would pass for noise


def test_errors_of_the_components_add_up_to_those_of_the_colours(rng):
    errors = np.array([1.0, 2.0, 3.0])
    components = rng.normal(0, errors[:, None, None], (3, 300, 300))
    found = from_opponent(components).std(axis=(0, 1))
    np.testing.assert_allclose(opponent_errors_to_rgb(errors), found, rtol=0.02)
