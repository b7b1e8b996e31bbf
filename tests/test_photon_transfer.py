import numpy as np

from napari_mpi.analysis.photon_transfer import photon_transfer


def test_photon_noise_is_a_line_whose_slope_is_the_gain(rng):
    clean = np.tile(np.linspace(10, 200, 300), (300, 1))
    noise = 3 * rng.poisson(clean / 3) - clean
    found = photon_transfer(clean, noise)
    slope, at_zero = np.polyfit(found.intensity, found.variance, 1)
    assert abs(slope - 3) < 0.2
    assert abs(at_zero) < 30
    assert (np.diff(found.intensity) > 0).all()


def test_a_shift_of_the_mean_is_no_noise():
    clean = np.tile(np.linspace(0, 1, 100), (100, 1))
    assert photon_transfer(clean, np.full_like(clean, 7)).variance.max() < 1e-9


def test_intensities_of_few_pixels_are_left_out(rng):
    clean = np.zeros((100, 100))
    clean[:50] = 10
    clean[0, :5] = 5  # five pixels tell no variance
    found = photon_transfer(clean, rng.normal(size=clean.shape))
    np.testing.assert_allclose(found.intensity, [0, 10])


def test_a_constant_image_has_one_point(rng):
    flat = np.full((20, 20), 3, np.uint8)
    found = photon_transfer(flat, rng.normal(0, 2, flat.shape))
    assert found.intensity.tolist() == [3]
    assert 3 < found.variance[0] < 5
