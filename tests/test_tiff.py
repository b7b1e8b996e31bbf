import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from image_files import an_image, cut_to, patch, round_trip

from napari_mpi.arrays import storage
from napari_mpi.io import tiff
from napari_mpi.io.files import (
    FileError,
    can_read,
    read_image,
    write_image,
)
from napari_mpi.io.listing import list_series

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


def test_each_image_of_an_ome_tiff_is_read_with_its_own_size(tmp_path, stack):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path) as tif:
        for step, name in ((0.1, "left"), (0.2, "right")):
            metadata = {"axes": "ZYX", "PhysicalSizeX": step, "Name": name}
            data = stack + round(10 * step)
            tif.write(data, photometric="minisblack", metadata=metadata)
    assert list_series(path) == ("left", "right")
    for number, (step, name) in enumerate(((0.1, "left"), (0.2, "right"))):
        image = read_image(path, number)
        assert image.name == f"two {name}"
        assert image.scale[2] == step
        assert np.array_equal(image.data, stack + round(10 * step))


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
    ("labels", "names"),
    [
        (["DAPI", "GFP"] * 3, ("DAPI", "GFP")),
        ([f"c:{c}/2 z:{z}/3" for z in (1, 2, 3) for c in (1, 2)], ()),
        (["DAPI", "GFP"], ("DAPI", "GFP")),
        (["DAPI", "GFP", "DAPI"], ()),
        ([""] * 6, ()),
    ],
)
def test_labels_of_imagej_name_channels_if_all_planes_agree(
    tmp_path, rng, labels, names
):
    data = rng.integers(0, 999, (3, 2, 20, 24), dtype=np.uint16)
    metadata = {"axes": "ZCYX", "Labels": labels}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=metadata)
    assert read_image(tmp_path / "a.tif").channel_names == names


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


def test_a_large_compressed_tiff_needs_space_for_its_pixels(
    tmp_path, stack, monkeypatch
):
    path = tmp_path / "large.ome.tif"
    tifffile.imwrite(path, stack, compression="zlib")
    monkeypatch.setattr(tiff, "MAX_IN_MEMORY", 1000)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: SimpleNamespace(free=9))
    with pytest.raises(OSError, match="There is no place for 0 MiB of pixels"):
        read_image(path)


def test_boolean_colour_is_refused(tmp_path):
    image = an_image(np.ones((4, 6, 3), bool), "YXS")
    with pytest.raises(FileError, match="boolean samples: convert it to uint8"):
        write_image(tmp_path / "a.tif", image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", [5e-324, 1e-12, 3e-8, 2.5e6, 1e12])
def test_pixels_of_any_size_keep_it(tmp_path, step):
    size = {"scale": (step, step), "units": ("µm", "µm")}
    image = an_image(np.ones((16, 16), np.uint8), "YX", **size)
    write_image(tmp_path / "a.tif", image)
    assert read_image(tmp_path / "a.tif").scale == pytest.approx((step, step))


def test_small_copies_that_come_first_are_passed_over(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(stack[0, ::4, ::4], subfiletype=1, metadata=None)
        tif.write(stack, metadata=None, photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "a.tif").data, stack)


def test_a_pyramid_is_read_at_full_resolution(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        options = {"tile": (16, 16), "photometric": "minisblack"}
        tif.write(stack, subifds=1, metadata={"axes": "ZYX"}, **options)
        tif.write(stack[:, ::2, ::2], subfiletype=1, **options)
    assert np.array_equal(read_image(tmp_path / "a.ome.tif").data, stack)


@pytest.mark.parametrize("description", ["imagej", "ome", "shaped"])
def test_pages_that_a_description_leaves_out_are_told_of(tmp_path, stack, description):
    path = tmp_path / "a.tif"
    options = {"imagej": True} if description == "imagej" else {}
    tifffile.imwrite(
        path, stack, ome=description == "ome", metadata={"axes": "ZYX"}, **options
    )
    text = tifffile.tiffcomment(path)
    for old, new in (
        ("images=5", "images=3"),
        ("slices=5", "slices=3"),
        ('SizeZ="5"', 'SizeZ="3"'),
        ('PlaneCount="5"', 'PlaneCount="3"'),
        ('"shape": [5, 40, 48]', '"shape": [5, 48, 40]'),
    ):
        text = text.replace(old, new)
    tifffile.tiffcomment(path, text.encode())
    with pytest.warns(UserWarning, match="has 5 pages, of which its description names"):
        image = read_image(path)
    n_planes = 1 if description == "shaped" else 3
    assert np.array_equal(image.data.reshape(-1, 40, 48), stack[:n_planes])


def test_colours_of_a_palette_do_not_pass_for_intensities(tmp_path, rng):
    numbers = rng.integers(0, 256, (40, 48), dtype=np.uint8)
    palette = rng.integers(0, 65536, (3, 256), dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers, photometric="palette", colormap=palette)
    with pytest.warns(UserWarning, match="palette of colours; reading it as RGB"):
        image = read_image(path)
    assert image.axes == "YXS"
    assert np.array_equal(image.data, (palette >> 8).T.astype(np.uint8)[numbers])


@pytest.mark.parametrize("imagej", [False, True])
def test_intensities_that_a_palette_tints_stay_intensities(tmp_path, rng, imagej):
    values = rng.integers(0, 256, (40, 48), dtype=np.uint8)
    palette = np.zeros((3, 256), np.uint16)
    palette[1] = 257 * np.arange(256)
    options = {"imagej": True} if imagej else {"photometric": "palette"}
    tifffile.imwrite(tmp_path / "a.tif", values, colormap=palette, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif").data, values)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "zlib", "packbits", "lzma"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"byteorder": ">"}])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_compressed_pixels_come_back(tmp_path, rng, compression, options, dtype):
    data = rng.integers(0, 99, (3, 40, 48)).astype(dtype)
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack", "compression": compression, **options}
    tifffile.imwrite(path, data, **options)
    assert np.array_equal(read_image(path).data, data)


@pytest.mark.parametrize("dtype", ["O", "<U3", "M8[s]", "V4"])
def test_what_are_no_numbers_is_not_written(tmp_path, dtype):
    image = an_image(np.zeros((8, 8), dtype), "YX")
    with pytest.raises(FileError, match="TIFF cannot hold .* convert them to float32"):
        write_image(tmp_path / "a.tif", image)
    assert not list(tmp_path.iterdir())
