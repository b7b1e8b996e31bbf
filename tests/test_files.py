import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import an_image, write_spread

from napari_mpi.io import files
from napari_mpi.io.files import (
    FileError,
    ImageData,
    can_read,
    read_image,
    read_stack,
    require_writable,
    stem_of,
    write_image,
)
from napari_mpi.io.image_data import without_calibration


@pytest.mark.parametrize("ending", files.SUFFIXES)
def test_an_empty_file_is_refused(tmp_path, ending):
    path = tmp_path / f"empty{ending}"
    path.touch()
    assert not can_read(path)
    with pytest.raises(FileError, match="0 bytes"):
        read_image(path)


@pytest.mark.parametrize("ending", files.SUFFIXES)
@pytest.mark.parametrize("text", ["x", "Nothing but words.\n" * 200])
def test_a_text_file_is_refused_whatever_its_ending(tmp_path, ending, text):
    path = tmp_path / f"text{ending}"
    path.write_text(text)
    assert not can_read(path)
    with pytest.raises(FileError, match=r"text\."):
        read_image(path)


def test_an_unknown_ending_is_refused_with_those_that_are_known(tmp_path):
    path = tmp_path / "image.oib"
    path.write_bytes(b"something")
    assert not can_read(path)
    with pytest.raises(FileError, match=r"'\.oib'; expected one of \.tif"):
        read_image(path)


def test_a_missing_file_is_not_found(tmp_path):
    assert not can_read(tmp_path / "none.tif")
    with pytest.raises(FileNotFoundError, match=r"none\.tif"):
        read_image(tmp_path / "none.tif")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path, stack, monkeypatch
):
    path = tmp_path / "a.tif"
    write_image(path, an_image(stack, "TYX"))
    before = path.read_bytes()

    def full_disk(partial, *args, **kwargs):
        partial.write_bytes(b"half an image")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full_disk)
    for target in (path, tmp_path / "new.ome.tif", tmp_path / "new.tif"):
        with pytest.raises(OSError, match="No space left"):
            write_image(target, an_image(stack + 1, "TYX"))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_writing_leaves_the_caller_and_the_folder_as_they_were(tmp_path, stack):
    before = stack.copy()
    for name in ("a.tif", "a.ome.tif"):
        write_image(tmp_path / name, an_image(stack, "TYX"))
    assert np.array_equal(stack, before)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.ome.tif"}


def test_writing_into_a_missing_folder_names_it(tmp_path, stack):
    with pytest.raises(FileNotFoundError, match=r"no folder .*gone"):
        write_image(tmp_path / "gone" / "a.tif", an_image(stack, "TYX"))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="the superuser may write everywhere",
)
def test_writing_without_permission_says_so(tmp_path, stack):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"Not allowed to write .*a\.tif"):
        write_image(tmp_path / "a.tif", an_image(stack, "TYX"))


def test_a_refused_write_names_the_file_that_was_asked_for(
    tmp_path, stack, monkeypatch
):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tifffile, "imwrite", refuse)
    with pytest.raises(PermissionError, match=r"/a\.tif .*choose another folder"):
        write_image(tmp_path / "a.tif", an_image(stack, "TYX"))


@pytest.mark.parametrize("name", ["a.png", "a.mrc", "a"])
def test_only_tiff_is_written(tmp_path, stack, name):
    with pytest.raises(FileError, match=r"\.ome\.tif or \.tif"):
        write_image(tmp_path / name, an_image(stack, "TYX"))


def test_a_folder_becomes_a_stack_in_natural_order(tmp_path, stack):
    for number in (10, 9, 1, 2):
        iio.imwrite(tmp_path / f"frame{number}.png", stack[number % 5])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / "more.tif").mkdir()
    image = read_image(tmp_path)
    assert can_read(tmp_path)
    assert image.axes == "TYX"
    assert image.name == tmp_path.name
    assert np.array_equal(image.data, stack[[1, 2, 4, 0]])


def test_a_folder_of_the_parts_of_an_image_is_that_image(tmp_path, stack):
    write_spread(tmp_path, stack)
    image = read_image(tmp_path)
    assert image.axes == "ZYX"
    assert np.array_equal(image.data, stack)


def test_a_folder_keeps_the_names_of_channels(tmp_path, rng):
    for name in ("1.ome.tif", "2²1.ome.tif"):
        data = rng.poisson(9, (2, 16, 16)).astype(np.uint16)
        image = replace(
            without_calibration(data, "CYX", name), channel_names=("DAPI", "GFP")
        )
        write_image(tmp_path / name, image)
    assert read_image(tmp_path).channel_names == ("DAPI", "GFP")


def test_axes_that_a_tiff_does_not_describe_are_refused_before_the_work(tmp_path):
    image = without_calibration(np.zeros((2,) * 6, np.uint8), "QTZCYX", "many")
    with pytest.raises(FileError, match="more than a TIFF describes"):
        require_writable(tmp_path / "a.ome.tif", image)


def test_a_folder_of_stacks_gets_another_axis_that_is_no_channel(tmp_path, stack):
    for number in range(2):
        write_image(
            tmp_path / f"{number}.tif",
            an_image(stack, "TYX", (2.0, 0.1, 0.1), ("s", "µm", "µm")),
        )
    image = read_image(tmp_path)
    assert image.axes == "ZTYX"
    assert image.scale == pytest.approx((1.0, 2.0, 0.1, 0.1))
    assert image.units == ("pixel", "s", "µm", "µm")
    volumes = an_image(np.stack([stack, stack]), "TZYX")
    for number in range(2):
        write_image(tmp_path / f"{number}.tif", volumes)
    assert "C" not in read_image(tmp_path).axes


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((40, 50), np.uint16),
        np.zeros((40, 48), np.uint8),
        np.zeros((40, 48, 3), np.uint8),
    ],
)
def test_a_folder_of_different_images_is_no_stack(tmp_path, noisy, other):
    iio.imwrite(tmp_path / "a.png", noisy)
    iio.imwrite(tmp_path / "b.png", other)
    with pytest.raises(FileError, match=r"expected images of one shape.*b\.png is"):
        read_image(tmp_path)


def test_a_damaged_image_in_a_folder_is_named(tmp_path, noisy):
    iio.imwrite(tmp_path / "a.png", noisy)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(FileError, match=r"b\.png is damaged"):
        read_image(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    assert not can_read(tmp_path)
    with pytest.raises(FileError, match="no readable image"):
        read_image(tmp_path)


def test_chosen_files_are_stacked_in_the_order_given(tmp_path, stack, monkeypatch):
    for number in range(3):
        iio.imwrite(tmp_path / f"{number}.png", stack[number])
    paths = [tmp_path / f"{number}.png" for number in (2, 0, 1)]
    image = read_stack(paths, "mine")
    assert image.name == "mine"
    assert np.array_equal(image.data, stack[[2, 0, 1]])
    monkeypatch.setattr(files, "MAX_IN_MEMORY", image.data.nbytes - 1)
    mapped = read_stack(paths, "mine").data
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, image.data)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("cells.tif", "cells"),
        ("cells.ome.tif", "cells"),
        ("cells.OME.TIFF", "cells"),
        ("a.b.tif", "a.b"),
        ("v1.2", "v1.2"),
        ("cells.mrc", "cells"),
    ],
)
def test_a_stem_has_no_ending(name, stem):
    assert stem_of(name) == stem


def test_image_data_needs_an_axis_for_each_dimension(noisy):
    with pytest.raises(ValueError, match="each of 2 dimensions, got 'TYX'"):
        an_image(noisy, "TYX")


@pytest.mark.parametrize("step", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_is_positive(noisy, step):
    with pytest.raises(ValueError, match="positive steps"):
        an_image(noisy, "YX", (1.0, step))


def test_the_reference_images_can_be_read(shared_data):
    paths = sorted((shared_data / "data").rglob("*.png"))[:3]
    for path in paths:
        image = read_image(path)
        assert can_read(path)
        assert image.axes in ("YX", "YXS")


def test_an_image_that_does_not_fit_into_memory_is_named(tmp_path, stack, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    write_image(tmp_path / "a.tif", an_image(stack, "TYX"))
    monkeypatch.setattr(files, "read_tiff", full)
    with pytest.raises(MemoryError, match=r"a\.tif does not fit .*Close other"):
        read_image(tmp_path / "a.tif")


@st.composite
def images(draw):
    """An image of any type, layout, axes, scale, units and description."""
    axes = draw(st.sampled_from(["YX", "ZYX", "TZCYX", "QYX", "QTZCYX", "YXS", "TYXS"]))
    least = {"S": 3, "Y": 2, "X": 2}  # samples are three, planes more than a pixel
    shape = [draw(st.integers(least.get(axis, 1), 3)) for axis in axes]
    dtype = draw(st.sampled_from(["?", "c8"]) | st.sampled_from(["u1", "i2", ">u2"]))
    dtype = draw(st.sampled_from([dtype, ">i4", "u8", "i8", "f2", ">f4", "f8"]))
    data = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    data = data[tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)]
    data = data.transpose().copy().transpose() if draw(st.booleans()) else data
    data.flags.writeable = draw(st.booleans())
    scales = st.floats(1e-12, 1e12) | st.floats(min_value=0, exclude_min=True)
    scales = scales.filter(np.isfinite)
    texts = st.sampled_from(["pixel", "µm", "Å", "s", "inch", "x\n"]) | st.text()
    return ImageData(
        data,
        axes,
        tuple(draw(scales) for _ in axes),
        tuple(draw(texts) for _ in axes),
        draw(st.text(max_size=20)),
        draw(st.text(max_size=200)),
    )


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(images(), st.sampled_from(["a.tif", "a.ome.tif"]))
def test_any_image_comes_back_or_is_refused_without_a_trace(image, name):
    before = image.data.copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        try:
            write_image(path, image)
        except FileError as error:
            assert re.search("cannot hold|split the image", str(error))
            assert not list(Path(folder).iterdir())
            return
        back = read_image(path)
        # Axes of length one are not always kept.
        assert np.array_equal(back.data.squeeze(), before.squeeze())
        assert back.data.dtype == before.dtype.newbyteorder("=")
        assert back.data.dtype.isnative
        assert back.rgb == image.rgb
    assert np.array_equal(image.data, before)


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 8, 8), (2, 0, 3)])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_an_image_without_pixels_is_not_written(tmp_path, shape, name):
    image = an_image(np.zeros(shape, np.uint8), "ZYX"[-len(shape) :])
    with pytest.raises(FileError, match=r"has no pixels.*expected"):
        write_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert not can_read(tmp_path / "a.tif")
    with pytest.raises(FileError, match="a pipe or a device: choose another"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("name", ["Zellkörper µ", "木", "😀 [1]*", "%20#", "x" * 240])
def test_names_of_all_kinds_are_written_and_read(tmp_path, noisy, name, ending):
    path = tmp_path / f"{name}{ending}"
    try:
        path.touch()
    except OSError:
        pytest.skip("this system has no such names")
    path.unlink()
    write_image(path, an_image(noisy, "YX"))
    assert np.array_equal(read_image(path).data, noisy)
    assert read_image(path).name == name
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".ome.zarr"])
def test_a_disk_that_takes_a_part_only_is_full(tmp_path, rng, ending):
    resource = pytest.importorskip("resource")
    write_image(tmp_path / f"a{ending}", an_image(np.ones((20, 20), "f4"), "YX"))
    large = an_image(rng.integers(0, 60000, (9, 300, 300), dtype=np.uint16), "ZYX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that comes with it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match=rf"(No space left|too large).*a\{ending}"):
            write_image(tmp_path / f"a{ending}", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [one.name for one in tmp_path.iterdir()] == [f"a{ending}"]
    assert (read_image(tmp_path / f"a{ending}").data == 1).all()


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_folder_is_not_written_over(tmp_path, noisy, name):
    (tmp_path / name).mkdir()
    with pytest.raises(FileError, match="is a folder: choose another name"):
        write_image(tmp_path / name, an_image(noisy, "YX"))
    assert [one.name for one in tmp_path.rglob("*")] == [name]
