import numpy as np
import pytest
import tifffile

from napari_mpi.batch.results import result_files, write_result
from napari_mpi.batch.run import begin_run
from napari_mpi.config import PRESETS, fill_config
from napari_mpi.io.files import FileError, read_image

OPTIONS = {"preset": "fast", "noise": "correlated", "n_passes": 2}


@pytest.fixture
def counts(rng):
    """Noise that whole numbers are fine enough for."""
    return rng.poisson(400, (32, 32))


@pytest.fixture
def begin(tmp_path):
    """Begin a run over an image whose result goes to an OME-TIFF."""

    def begin(pixels, **options):
        tifffile.imwrite(tmp_path / "a.tif", pixels)
        target = tmp_path / "a_denoised.ome.tif"
        files = result_files(target, noise_map=True, uncertainty=False)
        return begin_run(tmp_path / "a.tif", files, OPTIONS | options)

    return begin


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float16])
def test_a_type_that_the_format_does_not_know_becomes_float32(
    begin, counts, dtype, tmp_path
):
    with pytest.warns(UserWarning, match=f"cannot hold {np.dtype(dtype)} pixels"):
        image, run = begin(counts.astype(dtype))
    for _ in run:
        pass
    target = tmp_path / "a_denoised.ome.tif"
    write_result(target, image, run.result(), with_noise_map=True)
    assert read_image(target).data.dtype == np.float32


def test_a_folder_in_the_result_s_place_is_no_matter_of_the_type(
    begin, counts, tmp_path
):
    (tmp_path / "a_denoised.ome.tif").mkdir()
    with pytest.raises(FileError, match="is a folder"):  # and no warning of float32
        begin(counts.astype(np.uint16))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_other_types_stay(begin, counts, dtype):
    _, run = begin(counts.astype(dtype))
    assert run.result().image.dtype == dtype


def test_float32_that_was_asked_for_is_all_that_has_to_fit(begin, counts):
    _, run = begin(counts.astype(np.int64), pixel_type="float32")
    assert run.result().image.dtype == np.float32


@pytest.mark.parametrize(
    "options",
    [
        {"pixel_type": "input"},
        {"preset": fill_config(PRESETS["fast"], pixel_type="input")},
    ],
)
def test_the_input_s_type_that_was_asked_for_is_refused(begin, counts, options):
    with pytest.raises(FileError, match="OME-TIFF cannot hold int64"):
        begin(counts.astype(np.int64), **options)


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_that_float32_cannot_tell_apart_are_refused(begin, counts, sign):
    begin_at = sign * 2**40
    with pytest.raises(FileError, match=r"a\.tif: .* exact up to 16777216 only"):
        begin(begin_at + counts.astype(np.int64))
