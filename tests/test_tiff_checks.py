import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_mpi.io.files import FileError, read_image
from napari_mpi.io.tiff_checks import check_references


@pytest.fixture
def ome(tmp_path, stack):
    """A function that writes an OME-TIFF after its description was changed."""

    def write(old, new):
        path = tmp_path / "case" / "a.ome.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TYX"})
        text = tifffile.tiffcomment(path)
        assert old in text
        tifffile.tiffcomment(path, text.replace(old, new, 1).encode())
        return path

    return write


@pytest.fixture
def forbid_series(monkeypatch):
    """A file has to be refused before tifffile takes memory or opens another."""

    def fail(tif):
        raise AssertionError("tifffile made its series")

    monkeypatch.setattr(tifffile.TiffFile, "series", property(fail))


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE OME [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE OME [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE OME [<!ENTITY % a SYSTEM "http://127.0.0.1:9/a"> %a;]>',
    ],
)
@pytest.mark.usefixtures("forbid_series")
def test_xml_entities_are_refused(ome, doctype):
    path = ome("<OME ", f"{doctype}<OME ")
    with pytest.raises(FileError, match=r"a\.ome\.tif .*XML entities.*Ask where"):
        read_image(path)


def test_ome_xml_without_entities_may_have_a_doctype(ome, stack):
    path = ome("<OME ", "<!DOCTYPE OME><OME ")
    assert np.array_equal(read_image(path).data, stack)


@pytest.mark.parametrize(
    "name",
    [
        "../b.ome.tif",
        "sub/../../b.ome.tif",
        "..\\b.ome.tif",
        "/etc/passwd",
        "C:\\b.ome.tif",
        "C:b.ome.tif",
        "\\\\server\\share\\b.ome.tif",
    ],
)
@pytest.mark.usefixtures("forbid_series")
def test_parts_of_an_image_are_not_looked_for_outside_its_folder(ome, stack, name):
    path = ome(
        '<TiffData IFD="0" PlaneCount="5"/>',
        '<TiffData IFD="0" PlaneCount="5">'
        f'<UUID FileName="{name}">urn:uuid:b</UUID></TiffData>',
    )
    tifffile.imwrite(path.parents[1] / "b.ome.tif", stack)
    with pytest.raises(FileError, match=r"as a part of itself.*in its own folder"):
        read_image(path)


def test_a_file_may_call_itself_by_an_old_path(ome, stack):
    path = ome(
        '<TiffData IFD="0" PlaneCount="5"/>',
        '<TiffData IFD="0" PlaneCount="5">'
        '<UUID FileName="C:\\data\\a.ome.tif">urn:uuid:own</UUID></TiffData>',
    )
    text = tifffile.tiffcomment(path)
    own = text.split(' UUID="')[1].split('"')[0]
    tifffile.tiffcomment(path, text.replace("urn:uuid:own", own).encode())
    assert np.array_equal(read_image(path).data, stack)


_MODULO = (
    "<StructuredAnnotations><XMLAnnotation "
    'ID="Annotation:0" Namespace="openmicroscopy.org/omero/dimension/modulo"><Value>'
    '<Modulo><ModuloAlongT Type="phase" Start="0" End="{}" Step="{}"/></Modulo>'
    "</Value></XMLAnnotation></StructuredAnnotations></OME>"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('PlaneCount="5"', 'PlaneCount="2000000000"'),
        ('PlaneCount="5"', 'NumPlanes="2000000000"'),
        ('SizeT="5"', 'SizeT="2000000000"'),
        ('SizeX="48"', 'SizeX="2000000000000"'),
        ('SizeX="48" SizeY="40"', 'SizeX="-2000000000" SizeY="-2000000"'),
        ("</OME>", _MODULO.format("2000000000", "1")),
        ("</OME>", _MODULO.format("1", "1e-10")),
        ("</OME>", _MODULO.format("inf", "1")),
        ("</OME>", _MODULO.format("1", "0")),
    ],
)
@pytest.mark.usefixtures("forbid_series")
def test_a_description_that_counts_billions_of_planes_takes_no_memory(ome, old, new):
    path = ome(old, new)
    with pytest.raises(FileError, match=r"its description counts .* planes, expected"):
        read_image(path)


def micro_manager(**found):
    kinds = {"is_ome": False, "is_mmstack": False, "is_ndtiff": False}
    return SimpleNamespace(**{**kinds, **found})


def ndtiff_index(path, *entries):
    with path.open("wb") as file:
        for axes, name in entries:
            for text in (json.dumps(axes).encode(), name.encode()):
                file.write(struct.pack("<I", len(text)) + text)
            file.write(bytes(32))


def test_an_ndtiff_index_names_files_beside_it_only(tmp_path):
    index = tmp_path / "NDTiff.index"
    tif = micro_manager(is_ndtiff=True)
    good = [({"time": t, "channel": "red"}, "a_NDTiffStack.tif") for t in range(3)]
    ndtiff_index(index, *good)
    check_references(tif, tmp_path / "a.tif")
    ndtiff_index(index, *good, ({"time": 3}, "../b.tif"))
    with pytest.raises(FileError, match="in its own folder"):
        check_references(tif, tmp_path / "a.tif")


def test_an_ndtiff_index_with_a_huge_gap_is_refused(tmp_path):
    places = [{"time": 0, "z": -(2**30)}, {"time": 2**30, "z": 2**30}]
    ndtiff_index(tmp_path / "NDTiff.index", *((one, "a.tif") for one in places))
    with pytest.raises(FileError, match="counts .* planes"):
        check_references(micro_manager(is_ndtiff=True), tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("frames", "last"), [(2 * 10**9, 0), (1, 2**31), (10**4, 10**4)]
)
def test_a_micro_manager_stack_of_billions_of_planes_is_refused(tmp_path, frames, last):
    metadata = {
        "Summary": {"Frames": frames, "Channels": 2},
        "IndexMap": np.array([[0, 0, 0, 0, 8], [0, last, 0, 0, 99]], np.uint32),
    }
    tif = micro_manager(is_mmstack=True, micromanager_metadata=metadata)
    with pytest.raises(FileError, match="counts .* planes"):
        check_references(tif, tmp_path / "a.tif")
    metadata["Summary"]["Frames"], metadata["IndexMap"][1] = 3, 0
    check_references(tif, tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzw"])
@pytest.mark.parametrize("tags", ["image", "tile"])
def test_a_little_that_unpacks_into_gigabytes_is_refused(tmp_path, compression, tags):
    path = tmp_path / "bomb.tif"
    tile = (64, 64) if tags == "tile" else None
    pixels = np.zeros((64, 64), np.uint16)
    tifffile.imwrite(path, pixels, compression=compression, tile=tile, metadata=None)
    names = {
        "image": ("ImageWidth", "ImageLength", "RowsPerStrip"),
        "tile": ("TileWidth", "TileLength"),
    }
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name in names[tags]:
            tif.pages[0].tags[name].overwrite(60000)
    with pytest.raises(FileError, match=r"bomb\.tif .* would unpack into 6\.7 GiB"):
        read_image(path)


def test_an_empty_image_that_packs_well_is_read(tmp_path):
    pixels = np.zeros((8, 1024, 1024), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zstd")
    assert (tmp_path / "a.tif").stat().st_size < pixels.nbytes / 4000
    assert np.array_equal(read_image(tmp_path / "a.tif").data, pixels)


def jpeg_tiff(path, start, change):
    """Write a TIFF of one JPEG piece and change what follows a marker in it."""
    pixels = np.full((64, 64, 3), 100, np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression="jpeg")
    content = bytearray(path.read_bytes())
    place = content.index(start, content.index(b"\xff\xd8\xff"))
    content[place : place + len(change)] = change
    path.write_bytes(content)
    return path


def test_a_jpeg_piece_that_says_it_is_larger_than_the_page_is_refused(tmp_path):
    change = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60000, 60000)
    path = jpeg_tiff(tmp_path / "a.tif", b"\xff\xc0", change)
    with pytest.raises(FileError, match=r"64\) pixels says it has \(60000, 60000\)"):
        read_image(path)


def test_a_jpeg_piece_whose_size_cannot_be_found_is_refused(tmp_path):
    path = jpeg_tiff(tmp_path / "a.tif", b"\xff\xd8", b"\xff\xd8\x00")
    with pytest.raises(FileError, match="says it has None"):
        read_image(path)


def test_a_jpeg_tiff_is_read(tmp_path):
    pixels = np.full((2, 100, 90, 3), 100, np.uint8)
    for number, options in enumerate(({}, {"tile": (32, 32)}, {"rowsperstrip": 16})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", compression="jpeg", **options)
        data = read_image(path).data
        assert data.shape == pixels.shape
        # Pieces at the edge are filled up, and JPEG rings there.
        assert np.abs(data.astype(int) - 100).max() <= 10
