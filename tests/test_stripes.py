import numpy as np
import pytest
from scipy import ndimage

from napari_mpi.analysis.stripes import stripe_variances


def test_what_rows_have_in_common_is_told_from_structure(rng):
    rows = 3 * rng.standard_normal((1, 256, 1))
    noise = 5 * rng.standard_normal((1, 256, 256))
    assert stripe_variances(rows + noise)[0] == pytest.approx(9, rel=0.3)
    assert stripe_variances((rows + noise).swapaxes(1, 2))[1] == pytest.approx(
        9, rel=0.3
    )
    assert max(stripe_variances(noise)) < 0.3
    edges = np.where(np.arange(256) // 40 % 2, 200.0, 0.0)[np.newaxis, :, np.newaxis]
    assert stripe_variances(edges + noise)[0] < 0.5


@pytest.mark.parametrize("period", [9, 16, 30])
def test_gratings_are_no_stripes(period, rng):
    bars = np.ones((192, 1)) * (np.arange(192) % period < period / 2)
    clean = ndimage.gaussian_filter(bars.astype(float), 1.0)
    noisy = clean + rng.normal(0, 0.1, clean.shape)
    assert max(stripe_variances(noisy[None])) < 0.02 * 0.1**2
