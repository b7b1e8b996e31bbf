import struct
import tracemalloc

import mrcfile
import numpy as np
import pytest
from image_files import cut_to, patch

from napari_mpi.io.files import (
    FileError,
    can_read,
    read_image,
)


def write_mrc(path, data, voxel_size=None):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        if voxel_size is not None:
            mrc.voxel_size = voxel_size


@pytest.mark.parametrize("size", [3, 200, 1023, 1024, 1025, 5000, 20223])
def test_a_truncated_mrc_is_refused(tmp_path, stack, size):
    path = tmp_path / "cut.mrc"
    write_mrc(path, stack)
    cut_to(path, size)
    with pytest.raises(FileError, match=r"(?s)cut\.mrc.*(truncated|expected)"):
        read_image(path)


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2"])
def test_an_mrc_volume_has_its_voxel_size_in_angstrom(tmp_path, rng, dtype):
    data = (rng.random((3, 20, 24)) * 100).astype(dtype)
    write_mrc(tmp_path / "a.mrc", data, (2.0, 3.0, 4.0))
    image = read_image(tmp_path / "a.mrc")
    assert can_read(tmp_path / "a.mrc")
    assert image.axes == "ZYX"
    assert image.scale == pytest.approx((4.0, 3.0, 2.0))
    assert image.units == ("Å", "Å", "Å")
    assert image.data.dtype == data.dtype
    assert np.array_equal(image.data, data)


def test_an_mrc_without_voxel_size_counts_in_pixels(tmp_path, noisy):
    write_mrc(tmp_path / "a.mrc", noisy)
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "YX"
    assert image.units == ("pixel", "pixel")
    assert np.array_equal(image.data, noisy)


def test_an_mrc_volume_stack_has_four_axes(tmp_path, rng):
    data = rng.random((2, 3, 8, 9)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", data)
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "TZYX"
    assert np.array_equal(image.data, data)


@pytest.mark.parametrize("order", "<>")
def test_an_mrc_dialect_without_the_mark_is_read(tmp_path, stack, order):
    header = bytearray(1024)
    header[:16] = struct.pack(f"{order}4i", 48, 40, 5, 6)
    header[28:40] = struct.pack(f"{order}3i", 1, 1, 1)
    header[40:52] = struct.pack(f"{order}3f", 0.1, 0.1, 0.3)
    header[92:96] = struct.pack(f"{order}i", 256)
    header[96:98] = struct.pack(f"{order}h", -16224)
    pixels = stack.astype(f"{order}u2").tobytes()
    (tmp_path / "a.mrc").write_bytes(header + bytes(256) + pixels)
    image = read_image(tmp_path / "a.mrc")
    assert can_read(tmp_path / "a.mrc")
    assert np.array_equal(image.data, stack)
    assert image.data.dtype.isnative
    assert image.scale == pytest.approx((0.3, 0.1, 0.1))
    assert image.units == ("µm", "µm", "µm")


@pytest.mark.parametrize(("flags", "dtype"), [(0, np.uint8), (1, np.int8)])
def test_the_bytes_of_imod_have_the_sign_that_it_notes(tmp_path, rng, flags, dtype):
    data = rng.integers(0, 255, (3, 20, 24), dtype=np.uint8)
    write_mrc(tmp_path / "a.mrc", data.view(np.int8))
    patch(tmp_path / "a.mrc", 152, struct.pack("<2i", 1146047817, flags))
    image = read_image(tmp_path / "a.mrc")
    assert image.data.dtype == dtype
    assert np.array_equal(image.data, data.view(dtype))


def test_an_mrc_mode_that_is_unknown_is_named(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack)
    patch(tmp_path / "a.mrc", 12, struct.pack("<i", 101))
    assert not can_read(tmp_path / "a.mrc")
    with pytest.raises(FileError, match=r"mode .*Save it as TIFF"):
        read_image(tmp_path / "a.mrc")


def test_a_header_that_promises_terabytes_takes_no_memory(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack)
    patch(tmp_path / "a.mrc", 0, struct.pack("<3i", 900000, 900000, 900000))
    with pytest.raises(FileError, match="truncated"):
        read_image(tmp_path / "a.mrc")


@pytest.mark.parametrize("n_bytes", [-1000, -1])
def test_an_mrc_header_with_a_negative_length_is_refused(tmp_path, stack, n_bytes):
    write_mrc(tmp_path / "a.mrc", stack)
    patch(tmp_path / "a.mrc", 92, struct.pack("<i", n_bytes))
    with pytest.raises(FileError, match=rf"behind {n_bytes} further bytes"):
        read_image(tmp_path / "a.mrc")


def test_a_volume_stack_of_negative_depth_is_refused(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack.reshape(1, *stack.shape))
    patch(tmp_path / "a.mrc", 36, struct.pack("<i", -5))
    with pytest.raises(FileError, match=r"an image of shape \(-1, -5, 40, 48\)"):
        read_image(tmp_path / "a.mrc")


def test_an_extended_header_of_gigabytes_takes_no_memory(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack)
    patch(tmp_path / "a.mrc", 92, struct.pack("<i", 2**31 - 1))
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="truncated"):
            read_image(tmp_path / "a.mrc")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_columns_may_be_any_axis(tmp_path, stack):
    # As tomograms are, whose columns, rows and sections are X, Z and Y.
    write_mrc(tmp_path / "a.mrc", stack.transpose(1, 0, 2))
    patch(tmp_path / "a.mrc", 64, struct.pack("<3i", 1, 3, 2))
    assert np.array_equal(read_image(tmp_path / "a.mrc").data, stack)
    write_mrc(tmp_path / "b.mrc", stack.transpose(1, 2, 0))
    patch(tmp_path / "b.mrc", 64, struct.pack("<3i", 3, 1, 2))
    assert np.array_equal(read_image(tmp_path / "b.mrc").data, stack)
    write_mrc(tmp_path / "c.mrc", stack)
    patch(tmp_path / "c.mrc", 64, struct.pack("<3i", 0, 0, 0))
    assert np.array_equal(read_image(tmp_path / "c.mrc").data, stack)
