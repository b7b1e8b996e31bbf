import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from image_files import an_image, round_trip

from napari_mpi.io.files import (
    FileError,
    can_hold_ome,
    read_image,
    write_image,
)


def test_missing_planes_of_an_ome_tiff_are_not_read_as_zeros(tmp_path, stack):
    path = tmp_path / "missing.ome.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TYX"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeT="5"', b'SizeT="9"'))
    with pytest.raises(FileError, match=r"planes .* are missing"):
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


@pytest.mark.parametrize("names", [("DAPI <405>", "GFP & é"), ("", "GFP")])
@pytest.mark.parametrize(
    ("ending", "dtype"), [(".ome.tif", "u2"), (".tif", "u2"), (".tif", "i8")]
)
def test_channels_keep_their_names(tmp_path, rng, ending, dtype, names):
    data = rng.integers(0, 999, (3, 2, 20, 24)).astype(dtype)
    image = replace(an_image(data, "ZCYX"), channel_names=names)
    write_image(tmp_path / f"a{ending}", image)
    assert read_image(tmp_path / f"a{ending}").channel_names == names


@pytest.mark.parametrize("names", [["DAPI"], ["DAPI", "GFP", "RFP"], ["", ""]])
def test_names_that_do_not_fit_the_channels_are_left_out(tmp_path, rng, names):
    path, metadata = tmp_path / "a.ome.tif", {"axes": "CYX", "Channel": {"Name": names}}
    data = rng.integers(0, 999, (len(names), 20, 24)).astype(np.uint16)
    tifffile.imwrite(path, data, ome=True, metadata=metadata)
    if len(names) != 2:
        xml = tifffile.tiffcomment(path)
        assert xml.count("<Channel") == len(names)
        gone = re.sub(r'<Channel [^>]*Name="DAPI"[^>]*?(/>|>.*?</Channel>)', "", xml)
        tifffile.tiffcomment(path, gone.encode())
    assert read_image(path).channel_names == ()


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


def test_a_part_whose_description_is_elsewhere_says_so(tmp_path, stack):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:1"><BinaryOnly MetadataFile="cells.companion.ome" '
        'UUID="urn:uuid:2"/></OME>'
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, stack, description=xml, metadata=None, photometric="minisblack"
    )
    with pytest.warns(UserWarning, match=r"'cells\.companion\.ome' describes"):
        image = read_image(path)
    assert np.array_equal(image.data, stack)
