import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_mpi.engine.smoothing import convolved, gaussian


@pytest.mark.parametrize(
    ("sigma", "reach", "radius"), [(1.5, None, 4), (1.5, 6, 6), (4.0, None, 12)]
)
def test_planes_are_smoothed_as_by_scipy(rng, sigma, reach, radius):
    plane = torch.from_numpy(rng.random((60, 70))).float()
    kernel = gaussian(sigma, reach)
    assert len(kernel) == 2 * radius + 1
    within = (slice(radius, -radius),) * 2
    expected = gaussian_filter(plane.numpy(), sigma, radius=radius)[within]
    smoothed = convolved(plane[None, None], kernel)[0, 0]
    torch.testing.assert_close(smoothed, torch.from_numpy(expected))
