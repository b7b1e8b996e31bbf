import imageio.v3 as iio
import numpy as np
import pytest

from napari_mpi.batch.thumbnails import write_thumbnail
from napari_mpi.pipeline.api import Denoised


@pytest.mark.parametrize("shape", [(40, 60), (3, 40, 60), (40, 60, 3), (500, 800)])
def test_three_pictures_stand_side_by_side(tmp_path, rng, shape):
    noisy = rng.normal(100, 9, shape)
    image = np.full(shape, 100.0)
    result = Denoised(image, (noisy - image).astype(np.float32), {})
    path = tmp_path / "thumbnail.jpg"
    write_thumbnail(path, noisy, result, rgb=shape[-1] == 3)
    picture = iio.imread(path)
    assert picture.ndim == 2
    assert max(picture.shape) < 3 * 200
    width = (picture.shape[1] - 8) // 3
    # Equal stretch: the noise is as strong in the input as in the noise map.
    first, last = picture[:, :width], picture[:, -width:]
    assert first.std() == pytest.approx(last.std(), rel=0.1)
    assert last.mean() == pytest.approx(127, abs=12)
    assert picture[:, width + 8 : 2 * width].std() < 3


def test_a_constant_image_is_drawn(tmp_path):
    image = np.ones((20, 20))
    write_thumbnail(
        tmp_path / "t.jpg", image, Denoised(image, np.zeros((20, 20), "f4"), {}), False
    )
    assert (tmp_path / "t.jpg").stat().st_size > 0
