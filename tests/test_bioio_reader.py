import importlib.util
import re

import numpy as np
import pytest
from microscope_files import write_czi, write_dv, write_lif, write_nd2

from napari_mpi.io import bioio_reader
from napari_mpi.io.files import FileError, can_read, read_image
from napari_mpi.io.listing import list_series

for package in ("bioio_czi", "bioio_dv", "bioio_lif", "bioio_nd2", "pylibCZIrw"):
    pytest.importorskip(package)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(1, 4000, (3, 40, 48)).astype(np.uint16)


def write(path, data):
    """Write a stack; the pixel size is 0.25 µm."""
    if path.suffix == ".czi":
        return write_czi(path, data, "ZYX", 0.25)
    if path.suffix == ".lif":
        return write_lif(path, {"cells": ("ZYX", data)}, 0.25)
    return (write_nd2 if path.suffix == ".nd2" else write_dv)(path, data, 0.25)


every_format = pytest.mark.parametrize("ending", [".czi", ".dv", ".lif", ".nd2"])


@every_format
def test_pixels_axes_and_sizes_are_those_of_the_file(tmp_path, stack, ending):
    path = write(tmp_path / f"cells{ending}", stack)
    assert can_read(path)
    assert len(list_series(path)) == 1
    image = read_image(path)
    assert image.name == "cells"
    assert image.data.dtype == np.uint16
    assert np.array_equal(image.data, stack)
    is_time = ending == ".nd2"
    assert image.axes == ("TYX" if is_time else "ZYX")
    assert image.scale == pytest.approx((2.0 if is_time else 0.25, 0.25, 0.25))
    assert image.units == ("s" if is_time else "µm", "µm", "µm")


@every_format
def test_a_large_image_is_read_when_it_is_asked_for(
    tmp_path, stack, ending, monkeypatch
):
    monkeypatch.setattr(bioio_reader, "MAX_IN_MEMORY", 1000)
    image = read_image(write(tmp_path / f"cells{ending}", stack))
    assert not isinstance(image.data, np.ndarray)
    assert image.data.chunksize == (1, 40, 48)
    assert np.array_equal(np.asarray(image.data[1]), stack[1])
    assert np.array_equal(np.asarray(image.data[:, 3:9, 5]), stack[:, 3:9, 5])


@every_format
def test_a_file_that_is_cut_off_is_refused(tmp_path, stack, ending):
    path = write(tmp_path / f"cells{ending}", stack)
    content = path.read_bytes()
    for length in (50, 1000, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match=r"Copy it again"):
            read_image(path)


def test_damage_of_a_large_image_is_told_when_it_is_read(tmp_path, stack, monkeypatch):
    monkeypatch.setattr(bioio_reader, "MAX_IN_MEMORY", 1000)
    path = write(tmp_path / "cells.lif", stack)
    image = read_image(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(np.asarray(image.data[0]), stack[0])
    with pytest.raises(FileError, match=r"lif: a piece of its pixels is damaged"):
        np.asarray(image.data[2])


def test_times_channels_and_sections_keep_their_places(tmp_path):
    data = np.arange(2 * 3 * 4 * 20 * 24, dtype=np.float32).reshape(2, 3, 4, 20, 24)
    path = tmp_path / "cells.czi"
    write_czi(path, data, "TCZYX", 0.5, ["DAPI", "GFP", "RFP"])
    image = read_image(path)
    assert image.axes == "TCZYX"
    assert image.data.dtype == np.float32
    assert np.array_equal(image.data, data)
    assert image.channel_names == ("DAPI", "GFP", "RFP")
    assert image.scale[2:] == pytest.approx((0.5, 0.5, 0.5))


def test_colours_keep_their_order(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    image = read_image(write_czi(tmp_path / "cells.czi", data, "YXS"))
    assert image.rgb
    assert image.axes == "YXS"
    assert np.array_equal(image.data, data)
    assert image.units == ("pixel",) * 3


def test_a_mosaic_is_put_together(tmp_path):
    from pylibCZIrw import czi

    data = np.arange(20 * 48, dtype=np.uint16).reshape(20, 48)
    with czi.create_czi(str(tmp_path / "cells.czi")) as document:
        for left in (0, 24):
            tile = data[:, left : left + 24, None]
            document.write(tile, location=(left, 0))
        document.write_metadata("test")
    image = read_image(tmp_path / "cells.czi")
    assert image.axes == "YX"
    assert np.array_equal(image.data, data)


def test_each_image_of_a_file_can_be_read(tmp_path, stack):
    images = {"one": ("ZYX", stack), "two": ("TYX", stack[:2] + 1)}
    path = write_lif(tmp_path / "cells.lif", images, 0.25)
    assert list_series(path) == ("one", "two")
    with pytest.warns(UserWarning, match="holds 2 images; reading the first, 'one'"):
        assert read_image(path).name == "cells one"
    image = read_image(path, 1)
    assert image.name == "cells two"
    assert image.axes == "TYX"
    assert image.scale == pytest.approx((2.0, 0.25, 0.25))
    assert np.array_equal(image.data, stack[:2] + 1)
    with pytest.raises(FileError, match="holds 2 images.* there is no image 2"):
        read_image(path, 2)


def test_a_plane_that_is_not_in_the_file_is_told(tmp_path, stack, monkeypatch):
    stack[1] = 0
    path = write(tmp_path / "cells.nd2", stack)
    with pytest.warns(UserWarning, match=r"zeros \(1 of 3 looked at\)"):
        read_image(path)
    monkeypatch.setattr(bioio_reader, "MAX_IN_MEMORY", 1000)
    image = read_image(path)
    with pytest.warns(UserWarning, match=r"zeros \(1 of 1 looked at\)"):
        np.asarray(image.data[1])
    assert np.asarray(image.data[2]).any()


def test_an_impossible_size_is_refused_before_memory_is_taken(tmp_path, stack):
    path = write(tmp_path / "cells.lif", stack)
    content = path.read_bytes()
    for size in ("40", "48"):
        old, new = (f'Elements="{n}"'.encode("utf-16-le") for n in (size, "9" * 9))
        grown = content.replace(old, new)
        length = (len(grown) - len(content)) // 2
        head = np.frombuffer(grown[9:13], "<u4") + length
        path.write_bytes(grown[:9] + head.astype("<u4").tobytes() + grown[13:])
        with pytest.raises(FileError, match="damaged or made to do harm"):
            read_image(path)


def test_a_missing_package_is_named(tmp_path, stack, monkeypatch):
    path = write(tmp_path / "cells.nd2", stack)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        bioio_reader.importlib.util,
        "find_spec",
        lambda name: None if name == "bioio_nd2" else found(name),
    )
    assert can_read(path)  # so that napari shows what to do
    with pytest.raises(FileError, match=re.escape("`pip install bioio-nd2`")):
        read_image(path)
