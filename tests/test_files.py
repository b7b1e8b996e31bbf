import importlib.util
import json
import logging
import os
import re
import struct
import zlib

import imageio.v3 as iio
import mrcfile
import numpy as np
import pytest
import tifffile

from napari_mpi.io import files, tiff
from napari_mpi.io.files import (
    FileError,
    ImageData,
    can_hold_ome,
    can_read,
    list_images,
    read_image,
    read_stack,
    stem_of,
    write_image,
)


@pytest.fixture(autouse=True)
def quiet_tifffile():
    """Damaged files are the point here; what tifffile logs about them is not."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@pytest.fixture
def stack(rng):
    return rng.integers(1, 60000, (5, 40, 48), dtype=np.uint16)


def an_image(data, axes, scale=None, units=None, **more):
    return ImageData(
        data,
        axes,
        scale or (1.0,) * data.ndim,
        units or ("pixel",) * data.ndim,
        **more,
    )


def round_trip(path, image):
    write_image(path, image)
    return read_image(path)


def cut_to(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def write_png(path, pixels, depth, colour_type):
    """Write a PNG of a kind that the usual libraries do not write."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = pixels.astype(">u2" if depth == 16 else "u1")
    header = (rows.shape[1], rows.shape[0], depth, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows)))
        + chunk(b"IEND", b"")
    )


def write_mrc(path, data, voxel_size=None):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        if voxel_size is not None:
            mrc.voxel_size = voxel_size


def patch(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


# Damaged files


WRITERS = {
    "plain": {},
    "compressed": {"compression": "zlib"},
    "tiles": {"compression": "zlib", "tile": (16, 16)},
    "strips": {"rowsperstrip": 7},
    "pages": {"metadata": None},
    "compressed pages": {"metadata": None, "compression": "zlib"},
    "ome": {"ome": True},
    "compressed ome": {"ome": True, "compression": "zlib"},
    "imagej": {"imagej": True},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_tiff_is_refused(tmp_path, stack, kind, fraction):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", **WRITERS[kind])
    assert np.array_equal(read_image(path).data, stack)
    cut_to(path, int(path.stat().st_size * fraction))
    with pytest.raises(FileError, match=r"cut\.tif .*Copy it again"):
        read_image(path)


@pytest.mark.parametrize("kind", ["plain", "pages", "ome", "imagej"])
def test_a_tiff_that_lacks_its_last_bytes_is_refused_or_whole(tmp_path, stack, kind):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", **WRITERS[kind])
    for size in range(path.stat().st_size - 1, path.stat().st_size - 1200, -37):
        cut_to(path, size)
        try:
            data = read_image(path).data
        except FileError:
            continue
        assert np.array_equal(data, stack)


def test_a_tiff_with_damaged_compressed_pixels_is_refused(tmp_path, stack):
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, stack, compression="zlib", photometric="minisblack")
    patch(path, path.stat().st_size // 2, b"\xff" * 64)
    with pytest.raises(FileError, match="damaged"):
        read_image(path)


def test_pixels_that_were_never_written_are_not_read_as_zeros(tmp_path, stack):
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, stack[0], rowsperstrip=10, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = tif.pages[0].tags["StripByteCounts"]
        counts.overwrite((0, *counts.value[1:]))
    with pytest.raises(FileError, match="never written"):
        read_image(path)


def test_missing_planes_of_an_ome_tiff_are_not_read_as_zeros(tmp_path, stack):
    path = tmp_path / "missing.ome.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TYX"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeT="5"', b'SizeT="9"'))
    with pytest.raises(FileError, match=r"planes .* are missing"):
        read_image(path)


def test_a_short_imagej_stack_of_one_directory_is_refused(tmp_path, stack):
    # As over 4 GB, where ImageJ writes one directory and then all planes.
    path = tmp_path / "short.tif"
    tifffile.imwrite(
        path,
        stack[0],
        metadata=None,
        description="ImageJ=1.54f\nimages=5\nslices=5\n",
    )
    with pytest.raises(FileError, match=r"expected 5 planes .* found 1"):
        read_image(path)
    with path.open("ab") as file:
        file.write(stack[1:].tobytes())
    assert np.array_equal(read_image(path).data, stack)


def test_an_acquisition_that_ended_early_is_read_with_a_warning(tmp_path, stack):
    path = tmp_path / "stopped.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    content = path.read_bytes().replace(b"images=5", b"images=9")
    path.write_bytes(content.replace(b"frames=5", b"frames=9"))
    with pytest.warns(UserWarning, match=r"expected 9 planes .* found 5"):
        image = read_image(path)
    assert np.array_equal(image.data, stack)


def test_samples_that_imagej_counts_as_images_are_all_there(tmp_path, rng):
    planar = rng.integers(0, 255, (3, 40, 48), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        planar,
        photometric="minisblack",
        planarconfig="separate",
        metadata=None,
        description="ImageJ=1.54f\nimages=3\nchannels=3\n",
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "CYX"
    assert np.array_equal(image.data, planar)


@pytest.mark.skipif(
    importlib.util.find_spec("imagecodecs") is not None, reason="every decoder is there"
)
def test_a_tiff_that_needs_another_decoder_says_so(tmp_path, stack):
    path = tmp_path / "lzw.tif"
    tifffile.imwrite(path, stack[0], rowsperstrip=40)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["Compression"].overwrite(5)
    with pytest.raises(FileError, match="pip install imagecodecs"):
        read_image(path)


def test_ome_planes_in_another_file_are_found_or_missed(tmp_path, stack):
    write_image(tmp_path / "a.ome.tif", an_image(stack, "TYX"))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = tif.ome_metadata
    blocks = "".join(
        f'<TiffData IFD="{t % 3}" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for t, name in enumerate(["1.ome.tif"] * 3 + ["2.ome.tif"] * 2)
    )
    xml = re.sub(r"<TiffData.*?</TiffData>|<TiffData[^>]*/>", blocks, xml)
    for name, planes in (("1.ome.tif", stack[:3]), ("2.ome.tif", stack[3:])):
        own = re.sub(r'UUID="[^"]*"', f'UUID="urn:uuid:{name}"', xml, count=1)
        tifffile.imwrite(
            tmp_path / name,
            planes,
            metadata=None,
            description=own.encode(),
            photometric="minisblack",
        )
    assert np.array_equal(read_image(tmp_path / "1.ome.tif").data, stack)
    (tmp_path / "2.ome.tif").unlink()
    with pytest.raises(FileError, match="missing"):
        read_image(tmp_path / "1.ome.tif")


@pytest.mark.parametrize("size", [3, 200, 1023, 1024, 1025, 5000, 20223])
def test_a_truncated_mrc_is_refused(tmp_path, stack, size):
    path = tmp_path / "cut.mrc"
    write_mrc(path, stack)
    cut_to(path, size)
    with pytest.raises(FileError, match=r"(?s)cut\.mrc.*(truncated|expected)"):
        read_image(path)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, stack, ending, fraction):
    path = tmp_path / f"cut{ending}"
    iio.imwrite(path, (stack[0] >> 8).astype(np.uint8))
    cut_to(path, int(path.stat().st_size * fraction))
    with pytest.raises(FileError, match="damaged"):
        read_image(path)


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
    path = tmp_path / "image.czi"
    path.write_bytes(b"something")
    assert not can_read(path)
    with pytest.raises(FileError, match=r"'\.czi'; expected one of \.tif"):
        read_image(path)


def test_a_missing_file_is_not_found(tmp_path):
    assert not can_read(tmp_path / "none.tif")
    with pytest.raises(FileNotFoundError, match=r"none\.tif"):
        read_image(tmp_path / "none.tif")


# TIFF


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", "<>")
def test_byte_order_and_bigtiff_make_no_difference(tmp_path, stack, byteorder, bigtiff):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path, stack, byteorder=byteorder, bigtiff=bigtiff, photometric="minisblack"
    )
    image = read_image(path)
    assert can_read(path)
    assert np.array_equal(image.data, stack)
    assert image.data.dtype.isnative


def test_planar_colour_ends_up_last(tmp_path, rng):
    planar = rng.integers(0, 255, (3, 40, 48), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", planar, photometric="rgb", planarconfig="separate"
    )
    image = read_image(tmp_path / "a.tif")
    assert image.rgb
    assert image.axes == "YXS"
    assert np.array_equal(image.data, planar.transpose(1, 2, 0))


def test_samples_that_are_no_colours_are_channels(tmp_path, rng):
    samples = rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", samples, photometric="minisblack", planarconfig="contig"
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "CYX"
    assert np.array_equal(image.data, samples.transpose(2, 0, 1))


def test_y_and_x_are_brought_to_the_end(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack.transpose(1, 2, 0),
        photometric="minisblack",
        metadata={"axes": "YXT"},
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TYX"
    assert np.array_equal(image.data, stack)


def test_an_image_without_y_and_x_is_refused(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        photometric="minisblack",
        metadata={"axes": "TZC"},
    )
    with pytest.raises(FileError, match="Y and X axes, found 'TZC'"):
        read_image(tmp_path / "a.tif")


def test_of_several_series_the_first_is_read_with_a_warning(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "two.tif") as tif:
        tif.write(stack[0], photometric="minisblack")
        tif.write(stack[:, :20], photometric="minisblack")
    with pytest.warns(UserWarning, match=r"two\.tif holds 2 images; reading the first"):
        image = read_image(tmp_path / "two.tif")
    assert np.array_equal(image.data, stack[0])


def test_a_tiff_without_metadata_has_pixels_as_units(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack[0],
        metadata=None,
        resolution=(72, 72),
        resolutionunit="INCH",
    )
    image = read_image(tmp_path / "a.tif")
    assert image.scale == (1.0, 1.0)
    assert image.units == ("pixel", "pixel")


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "i2", "u4", "i8", "u8", "f2", "f4", "f8"]
)
def test_every_pixel_type_comes_back_as_it_was(tmp_path, rng, dtype):
    data = (rng.random((3, 40, 48)) * 100).astype(dtype)
    image = round_trip(
        tmp_path / "a.tif",
        an_image(
            data,
            "ZYX",
            (0.5, 0.1, 0.2),
            ("µm", "µm", "µm"),
            description="Färbung",
        ),
    )
    assert image.data.dtype == data.dtype
    assert np.array_equal(image.data, data)
    assert image.axes == "ZYX"
    assert image.scale == pytest.approx((0.5, 0.1, 0.2))
    assert image.units == ("µm", "µm", "µm")
    assert image.description == "Färbung"


# ImageJ


def test_an_imagej_hyperstack_comes_back_whole(tmp_path, rng):
    data = rng.integers(0, 60000, (2, 3, 4, 20, 24), dtype=np.uint16)
    image = round_trip(
        tmp_path / "cells.tif",
        an_image(
            data,
            "TZCYX",
            (1.5, 0.3, 1.0, 0.1, 0.2),
            ("s", "µm", "pixel", "µm", "µm"),
            description='{"µ": "Å - 木"}',
        ),
    )
    assert image.axes == "TZCYX"
    assert image.scale == pytest.approx((1.5, 0.3, 1.0, 0.1, 0.2))
    assert image.units == ("s", "µm", "pixel", "µm", "µm")
    assert image.description == '{"µ": "Å - 木"}'
    assert image.name == "cells"
    assert np.array_equal(image.data, data)
    with tifffile.TiffFile(tmp_path / "cells.tif") as tif:
        assert tif.is_imagej
        assert tif.imagej_metadata["unit"] == "micron"


def test_what_imagej_writes_is_understood(tmp_path, rng):
    data = rng.integers(0, 60000, (2, 3, 20, 24), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "fiji.tif",
        data,
        imagej=True,
        resolution=(10.0, 5.0),
        metadata={
            "axes": "TZYX",
            "unit": "\\u00B5m",
            "spacing": -0.4,
            "finterval": 2.5,
        },
    )
    image = read_image(tmp_path / "fiji.tif")
    assert image.axes == "TZYX"
    assert image.scale == pytest.approx((2.5, 0.4, 0.2, 0.1))
    assert image.units == ("s", "µm", "µm", "µm")


@pytest.mark.parametrize(
    "units",
    [
        ("nm", "Å", "Å"),
        ("µm", "mm", "µm"),
        ("pixel", "pixel", "µm"),
        ("µm", "pixel", "pixel"),
        ("pixel", "µm", "pixel"),
    ],
)
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_each_axis_keeps_its_own_unit(tmp_path, stack, units, name):
    scale = tuple(
        1.0 if unit == "pixel" else 0.1 * (i + 1) for i, unit in enumerate(units)
    )
    image = round_trip(tmp_path / name, an_image(stack, "ZYX", scale, units))
    assert image.scale == pytest.approx(scale)
    assert image.units == units


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("axes", ["YXS", "TYXS"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_colour_comes_back_as_colour(tmp_path, rng, dtype, axes, name):
    shape = {"T": 4, "Y": 20, "X": 24, "S": 3}
    data = (rng.random([shape[axis] for axis in axes]) * 200).astype(dtype)
    image = round_trip(tmp_path / name, an_image(data, axes))
    assert image.rgb
    assert image.axes == axes
    assert image.data.dtype == data.dtype
    assert np.array_equal(image.data, data)


# OME-TIFF


def test_an_ome_tiff_comes_back_whole(tmp_path, rng):
    data = rng.normal(size=(2, 3, 4, 20, 24)).astype(np.float32)
    description = json.dumps({"napari_mpi": {"µ": "< & > Å - 木"}}, ensure_ascii=False)
    image = round_trip(
        tmp_path / "Zellkörper 1.ome.tif",
        an_image(
            data,
            "TCZYX",
            (0.25, 1.0, 300.0, 0.1, 0.2),
            ("min", "pixel", "nm", "µm", "µm"),
            name="Zellkörper",
            description=description,
        ),
    )
    assert image.axes == "TCZYX"
    assert image.scale == pytest.approx((0.25, 1.0, 300.0, 0.1, 0.2))
    assert image.units == ("min", "pixel", "nm", "µm", "µm")
    assert image.description == description
    assert image.name == "Zellkörper 1"
    assert np.array_equal(image.data, data)


@pytest.mark.parametrize("text", ["5", "1e3", "True", "0x10", "two\nlines"])
def test_a_description_stays_text(tmp_path, stack, text):
    for name in ("a.ome.tif", "a.tif"):
        image = round_trip(tmp_path / name, an_image(stack, "ZYX", description=text))
        assert image.description == text


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_description_loses_what_no_file_can_hold(tmp_path, stack, name):
    image = round_trip(
        tmp_path / name,
        an_image(stack, "ZYX", description="gain\0\x01 = 3\ud800", name="\x02"),
    )
    assert image.description == "gain = 3"


@pytest.mark.parametrize("unit", ["Ωm", "", "a\nb"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_unit_that_no_file_can_hold_is_left_out(tmp_path, noisy, name, unit):
    image = round_trip(tmp_path / name, an_image(noisy, "YX", (0.5, 0.5), (unit, unit)))
    assert image.units == ("pixel", "pixel")
    assert np.array_equal(image.data, noisy)


def test_a_broken_ome_description_leaves_the_pixels(tmp_path, noisy):
    tifffile.imwrite(
        tmp_path / "a.tif",
        noisy,
        metadata=None,
        description='<?xml version="1.0"?><OME><Image><broken</OME>',
    )
    with pytest.warns(UserWarning, match="axes and pixel size are unknown"):
        image = read_image(tmp_path / "a.tif")
    assert image.units == ("pixel", "pixel")
    assert np.array_equal(image.data, noisy)


def test_units_that_ome_knows_by_other_names_come_back(tmp_path, stack):
    image = round_trip(
        tmp_path / "a.ome.tif",
        an_image(stack, "ZYX", (2.0, 0.5, 0.5), ("Å", "inch", "inch")),
    )
    assert image.units == ("Å", "inch", "inch")
    assert image.scale == (2.0, 0.5, 0.5)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert 'PhysicalSizeXUnit="in"' in tif.ome_metadata


def test_a_scale_without_unit_comes_back_from_ome(tmp_path, stack):
    units = ("pixel", "pixel", "pixel")
    image = round_trip(
        tmp_path / "a.ome.tif", an_image(stack, "ZYX", (3.0, 1.0, 1.0), units)
    )
    assert image.scale == (3.0, 1.0, 1.0)
    assert image.units == units


def test_an_axis_of_lengths_does_not_become_an_interval_of_time(tmp_path, stack):
    image = round_trip(
        tmp_path / "a.ome.tif",
        an_image(stack, "QYX", (2.0, 0.5, 0.5), ("µm", "µm", "µm")),
    )
    assert image.axes == "TYX"
    assert image.scale == (1.0, 0.5, 0.5)
    assert image.units == ("pixel", "µm", "µm")


def test_an_ome_tiff_with_missing_sizes_has_pixels_as_units(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, metadata={"axes": "CYX"})
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == "CYX"
    assert image.units == ("pixel", "pixel", "pixel")


@pytest.mark.parametrize("dtype", ["i8", "u8", "f2", "?", "c8"])
def test_ome_refuses_pixels_that_it_does_not_know(tmp_path, dtype):
    image = an_image(np.zeros((8, 8), dtype), "YX")
    assert not can_hold_ome(image.data.dtype)
    with pytest.raises(FileError, match=r"OME-TIFF cannot hold .* name a \.tif"):
        write_image(tmp_path / "a.ome.tif", image)
    assert not list(tmp_path.iterdir())


def test_unknown_axes_are_named_as_the_formats_know_them(tmp_path, rng):
    data = rng.integers(0, 9, (2, 3, 20, 24), dtype=np.uint16)
    for name in ("a.tif", "a.ome.tif"):
        image = round_trip(tmp_path / name, an_image(data, "QZYX"))
        assert image.axes == "TZYX"
        assert np.array_equal(image.data, data)


def test_more_axes_than_ome_knows_are_refused(tmp_path):
    image = an_image(np.zeros((2, 2, 2, 2, 8, 8), np.uint16), "QTZCYX")
    with pytest.raises(FileError, match="split the image"):
        write_image(tmp_path / "a.ome.tif", image)
    assert not list(tmp_path.iterdir())


def test_a_plain_tiff_holds_any_axes(tmp_path, rng):
    data = rng.integers(0, 9, (2, 2, 2, 2, 8, 8), dtype=np.uint16)
    image = round_trip(tmp_path / "a.tif", an_image(data, "QTZCYX"))
    assert image.axes == "QTZCYX"
    assert np.array_equal(image.data, data)


# Writing


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


# Pictures


def test_a_16_bit_png_keeps_its_depth(tmp_path, noisy):
    iio.imwrite(tmp_path / "a.png", noisy)
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YX"
    assert image.data.dtype == np.uint16
    assert np.array_equal(image.data, noisy)


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_a_16_bit_png_that_would_lose_half_its_bits_is_refused(
    tmp_path, rng, colour_type, samples
):
    path = tmp_path / "deep.png"
    write_png(path, rng.integers(0, 60000, (8, 9, samples)), 16, colour_type)
    with pytest.raises(FileError, match=r"expected gray or 8 bits.*Save it as TIFF"):
        read_image(path)


@pytest.mark.parametrize(("colour_type", "samples"), [(4, 2), (6, 4)])
def test_transparency_is_left_out(tmp_path, rng, colour_type, samples):
    pixels = rng.integers(0, 255, (8, 9, samples))
    write_png(tmp_path / "a.png", pixels, 8, colour_type)
    image = read_image(tmp_path / "a.png")
    assert image.axes == ("YX" if samples == 2 else "YXS")
    assert np.array_equal(image.data, pixels[..., :-1].squeeze())


def test_a_palette_is_applied(tmp_path, rng):
    from PIL import Image

    indices = rng.integers(0, 3, (8, 9)).astype(np.uint8)
    palette = np.array([[255, 0, 0], [0, 200, 7], [9, 8, 7]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YXS"
    assert np.array_equal(image.data, palette[indices])


def test_black_and_white_becomes_0_and_255(tmp_path, rng):
    bits = rng.random((8, 9)) < 0.5
    iio.imwrite(tmp_path / "a.png", bits)
    assert np.array_equal(read_image(tmp_path / "a.png").data, 255 * bits)


@pytest.mark.parametrize("axes", ["YX", "YXS"])
def test_a_jpeg_is_gray_or_colour(tmp_path, axes):
    data = np.full((16, 24, 3)[: len(axes)], 100, np.uint8)
    iio.imwrite(tmp_path / "a.jpg", data)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == axes
    assert np.abs(image.data.astype(int) - 100).max() <= 2


def test_a_print_jpeg_becomes_rgb(tmp_path):
    from PIL import Image

    Image.new("CMYK", (24, 16), (0, 0, 0, 255)).save(tmp_path / "a.jpg")
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXS"
    assert image.data.max() < 8


# MRC


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


# Folders and names


def test_a_folder_becomes_a_stack_in_natural_order(tmp_path, stack):
    for number in (10, 9, 1, 2):
        iio.imwrite(tmp_path / f"frame{number}.png", stack[number % 5])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / "more.tif").mkdir()
    image = read_image(tmp_path)
    assert [path.name for path in list_images(tmp_path)] == [
        "frame1.png",
        "frame2.png",
        "frame9.png",
        "frame10.png",
    ]
    assert can_read(tmp_path)
    assert image.axes == "TYX"
    assert image.name == tmp_path.name
    assert np.array_equal(image.data, stack[[1, 2, 4, 0]])


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


def test_chosen_files_are_stacked_in_the_order_given(tmp_path, stack):
    for number in range(3):
        iio.imwrite(tmp_path / f"{number}.png", stack[number])
    paths = [tmp_path / f"{number}.png" for number in (2, 0, 1)]
    image = read_stack(paths, "mine")
    assert image.name == "mine"
    assert np.array_equal(image.data, stack[[2, 0, 1]])


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


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_large_tiff_is_read_when_its_pixels_are_asked_for(
    tmp_path, rng, monkeypatch, compression, byteorder
):
    stack = rng.integers(0, 60000, (3, 20, 30)).astype(np.uint16)
    path = tmp_path / "large.ome.tif"
    tifffile.imwrite(path, stack, byteorder=byteorder, compression=compression)
    assert not isinstance(read_image(path).data, np.memmap)
    monkeypatch.setattr(tiff, "MAX_IN_MEMORY", 1000)
    data = read_image(path).data
    assert isinstance(data, np.memmap)
    assert np.array_equal(data, stack)
    if compression is None:  # the file itself, which nothing may change
        assert not data.flags.writeable
