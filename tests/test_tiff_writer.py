import warnings

import numpy as np
import pytest
import tifffile
from image_files import an_image, round_trip

from napari_mpi.io import tiff_writer

BIGTIFF = (b"II+\0", b"MM\0+")


@pytest.mark.parametrize("name", ["a.ome.tif", "plain.tif"])
@pytest.mark.parametrize("lazy", [True, False])
def test_what_classic_tiff_cannot_count_becomes_bigtiff(
    tmp_path, stack, monkeypatch, name, lazy
):
    da = pytest.importorskip("dask.array")
    data = stack.astype(np.int32)  # ImageJ knows no such pixels
    chunks = (1, *data.shape[1:])
    monkeypatch.setattr(tiff_writer, "_MAX_CLASSIC", data.nbytes - 1)
    image = an_image(da.from_array(data, chunks) if lazy else data, "ZYX")
    assert np.array_equal(round_trip(tmp_path / name, image).data, data)
    assert (tmp_path / name).read_bytes()[:4] in BIGTIFF


def test_an_imagej_file_of_any_size_is_written_without_a_warning(
    tmp_path, stack, monkeypatch
):
    monkeypatch.setattr(tiff_writer, "_MAX_CLASSIC", 0)
    write = tifffile.imwrite

    def warning(path, *args, **options):
        said = f"<tifffile.TiffWriter {path}> truncating ImageJ file"
        warnings.warn(said, stacklevel=2)
        write(path, *args, **options)

    monkeypatch.setattr("tifffile.imwrite", warning)
    image = round_trip(tmp_path / "a.tif", an_image(stack, "ZYX"))
    assert np.array_equal(image.data, stack)
