import json
import os
import pickle
import shutil

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from napari_mpi.io import zarr_pieces, zarr_reader
from napari_mpi.io.files import (
    FileError,
    ImageData,
    can_read,
    read_image,
    write_image,
)
from napari_mpi.io.listing import list_series


def write_v04(path, data, axes, *, scale=None, units=None, levels=1, **attributes):
    """Write an OME-Zarr 0.4 as other programs do."""
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    for axis, unit in zip(described, units or [None] * len(axes), strict=True):
        if unit:
            axis["unit"] = unit
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets = []
    for level in range(levels):
        small = data[..., :: 2**level, :: 2**level]
        array = group.create_array(
            str(level),
            shape=small.shape,
            chunks=(*(1 for _ in data.shape[:-2]), 16, 16),
            dtype=data.dtype,
            compressors=Blosc(),
        )
        array[:] = small
        step = [float(one) for one in scale or (1.0,) * data.ndim]
        step[-2:] = [one * 2**level for one in step[-2:]]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": step}],
            }
        )
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": described, "datasets": datasets}
    ]
    group.attrs.update(attributes)
    return path


def change(path, edit):
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def stack(rng):
    return rng.integers(1, 60000, (3, 40, 48), dtype=np.uint16)


@pytest.fixture
def v04(tmp_path, stack):
    return write_v04(tmp_path / "cells.ome.zarr", stack, "tyx")


@pytest.fixture
def v05(tmp_path, stack):
    path = tmp_path / "cells.ome.zarr"
    write_image(path, ImageData(stack, "TYX", (1.0,) * 3, ("pixel",) * 3))
    return path


@pytest.fixture(params=["v04", "v05"])
def store(request):
    return request.getfixturevalue(request.param)


# What is read


def test_version_04_is_read_with_axes_scale_units_and_channels(tmp_path, rng):
    data = rng.integers(0, 999, (2, 3, 4, 40, 48), dtype=np.uint16)
    path = write_v04(
        tmp_path / "cells.ome.zarr",
        data,
        "tczyx",
        scale=(2, 1, 0.5, 0.1, 0.2),
        units=("second", None, "nanometer", "micrometer", "micrometer"),
        levels=2,
        omero={"channels": [{"label": name} for name in ("DAPI", "GFP", "RFP")]},
    )
    assert can_read(path)
    image = read_image(path)
    assert np.array_equal(image.data, data)
    assert image.axes == "TCZYX"
    assert image.scale == pytest.approx((2, 1, 0.5, 0.1, 0.2))
    assert image.units == ("s", "pixel", "nm", "µm", "µm")
    assert image.channel_names == ("DAPI", "GFP", "RFP")
    assert image.name == "cells"


def test_a_channel_without_a_name_leaves_the_others_theirs(tmp_path, rng):
    data = rng.integers(0, 999, (2, 20, 24)).astype(np.uint16)
    channels = [{"color": "00FF00"}, {"label": "GFP"}]
    path = write_v04(tmp_path / "a.zarr", data, "cyx", omero={"channels": channels})
    assert read_image(path).channel_names == ("", "GFP")


def test_version_05_in_shards_is_read(tmp_path, stack):
    path = tmp_path / "cells.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "s0", shape=stack.shape, chunks=(1, 16, 16), shards=(1, 48, 48), dtype="u2"
    )
    array[:] = stack
    transforms = [{"type": "scale", "scale": [1, 2, 2]}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [
                    {"name": "z", "type": "space"},
                    {"name": "y", "type": "space", "unit": "µm"},
                    {"name": "x", "type": "space", "unit": "furlong"},
                ],
                "datasets": [{"path": "s0", "coordinateTransformations": transforms}],
                "coordinateTransformations": [{"type": "scale", "scale": [3, 2, 1]}],
            }
        ],
    }
    image = read_image(path)
    assert np.array_equal(image.data, stack)
    assert image.axes == "ZYX"
    assert image.scale == (3, 4, 2)
    assert image.units == ("pixel", "µm", "furlong")


def test_other_byte_order_becomes_native(tmp_path, stack):
    path = write_v04(tmp_path / "a.zarr", stack.astype(">u2"), "tyx")
    image = read_image(path)
    assert image.data.dtype.isnative
    assert np.array_equal(image.data, stack)


def test_axes_in_another_order_end_in_y_and_x(tmp_path, stack):
    path = write_v04(tmp_path / "a.zarr", stack.transpose(2, 1, 0), "xyz")
    image = read_image(path)
    assert image.axes == "ZYX"
    assert np.array_equal(image.data, stack)


@pytest.mark.parametrize("version", ["v04", "v05"])
def test_a_large_store_is_read_when_its_pixels_are_asked_for(
    version, request, stack, monkeypatch
):
    monkeypatch.setattr(zarr_reader, "MAX_IN_MEMORY", 1000)
    path = request.getfixturevalue(version)
    reads = []
    real = zarr_pieces._Pieces.__getitem__

    def counted(self, key):
        reads.append(key)
        return real(self, key)

    monkeypatch.setattr(zarr_pieces._Pieces, "__getitem__", counted)
    image = read_image(path)
    assert not reads
    assert np.array_equal(np.asarray(image.data[1]), stack[1])
    assert {key[0].start for key in reads} <= {0, 1}
    assert len(reads) <= 9  # pieces of one plane
    for key in ([0, 2], (slice(None), [3, 30]), (0, slice(5, 30, 3)), (-1, -1)):
        assert np.array_equal(np.asarray(image.data[key]), stack[key])


def test_the_first_image_of_a_series_is_read(tmp_path, stack):
    path = tmp_path / "series.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    write_v04(path / "0", stack, "tyx")
    assert np.array_equal(read_image(path).data, stack)
    write_v04(path / "1", stack + 1, "tyx")
    assert can_read(path)
    with pytest.warns(UserWarning, match="holds 2 images; reading the first"):
        assert np.array_equal(read_image(path).data, stack)
    assert np.array_equal(read_image(path / "1").data, stack + 1)
    assert list_series(path) == ("0", "1")
    second = read_image(path, 1)
    assert second.name == "series 1"
    assert np.array_equal(second.data, stack + 1)
    with pytest.raises(FileError, match="there is no image 2"):
        read_image(path, 2)


# What is not read


def test_a_plate_is_named_as_such(tmp_path):
    path = tmp_path / "plate.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["plate"] = {"wells": []}
    assert not can_read(path)
    with pytest.raises(FileError, match="a plate of wells"):
        read_image(path)


def test_a_zarr_array_without_description_is_left_to_other_readers(tmp_path, stack):
    zarr.save_array(str(tmp_path / "a.zarr"), stack)
    assert not can_read(tmp_path / "a.zarr")
    with pytest.raises(FileError, match="no OME-Zarr image"):
        read_image(tmp_path / "a.zarr")


def test_an_empty_folder_and_a_file_are_no_store(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "b.zarr").write_text("words")
    for name in ("a.zarr", "b.zarr"):
        assert not can_read(tmp_path / name)
        with pytest.raises(FileError, match="no Zarr store: expected a folder"):
            read_image(tmp_path / name)


def test_another_version_is_named(v05):
    change(v05 / "zarr.json", lambda one: one["attributes"]["ome"].update(version="2"))
    with pytest.raises(FileError, match=r"version 2, of which 0\.4 and 0\.5"):
        read_image(v05)


def test_a_missing_package_is_named_with_the_command(v05, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaozarrs", None)
    with pytest.raises(FileError, match=r"pip install 'napari-mpi\[zarr\]'"):
        read_image(v05)
    image = ImageData(np.zeros((20, 20)), "YX", (1, 1), ("pixel",) * 2)
    with pytest.raises(FileError, match=r"pip install 'napari-mpi\[zarr\]'"):
        write_image(v05.with_name("b.zarr"), image)


# Damage and malice


@pytest.mark.parametrize("inner", ["../cells2.zarr/0", "/etc", "link", "a\0b"])
def test_no_path_leads_out_of_the_store(tmp_path, store, inner):
    shutil.copytree(store, tmp_path / "cells2.zarr")
    (store / "link").symlink_to(tmp_path / "cells2.zarr" / "0")

    def lead_out(content):
        ome = content.get("attributes", {"ome": content})["ome"]
        ome["multiscales"][0]["datasets"][0]["path"] = inner

    file = next(store / n for n in ("zarr.json", ".zattrs") if (store / n).exists())
    change(file, lead_out)
    with pytest.raises(FileError, match=r"outside of it|valid Zarr node name|null"):
        read_image(store)


def test_no_piece_leads_out_of_the_store(tmp_path, v04):
    piece = v04 / "0" / "0.0.0"
    if not piece.exists():
        piece = v04 / "0" / "0" / "0" / "0"
    piece.rename(tmp_path / "outside")
    piece.symlink_to(tmp_path / "outside")
    with pytest.raises(FileError, match="outside of it"):
        read_image(v04)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_pickled_pieces_are_not_run(tmp_path, v04, place):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    pickled = {"id": "pickle"}
    change(
        v04 / "0" / ".zarray",
        lambda one: one.update(
            {"filters": None, "compressor": None}
            | {place: [pickled] if place == "filters" else pickled}
        ),
    )
    for piece in (v04 / "0").rglob("*"):
        if piece.is_file() and not piece.name.startswith("."):
            piece.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(FileError):
        read_image(v04)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "header",
    [
        {"shape": [3, 2**40, 2**40]},
        {"shape": [3, 40]},
        {"shape": [3, 0, 48]},
        {"shape": [3, -40, 48]},
        {"chunks": [1, 2**20, 2**20]},
        {"chunks": [0, 0, 0]},
        {"dtype": "|O"},
        {"dtype": "<U8"},
        {"dtype": "<M8[ns]"},
        {"zarr_format": 9},
        {"compressor": {"id": "unheard-of"}},
    ],
)
def test_a_header_that_cannot_be_true_is_refused(v04, header):
    change(v04 / "0" / ".zarray", lambda one: one.update(header))
    with pytest.raises(FileError, match=r"cells\.ome\.zarr"):
        read_image(v04)


def test_a_huge_description_is_not_read(v05, monkeypatch):
    monkeypatch.setattr(zarr_reader, "_MAX_METADATA", 100)
    with pytest.raises(FileError, match="expected a description of at most 100"):
        read_image(v05)


def test_a_deep_description_is_refused(v04):
    (v04 / ".zattrs").write_text("[" * 100_000)
    assert not can_read(v04)
    with pytest.raises(FileError, match="damaged"):
        read_image(v04)


def test_lost_pieces_are_told_of(v05):
    pieces = [one for one in (v05 / "0" / "c").rglob("*") if one.is_file()]
    pieces[0].unlink()
    with pytest.warns(UserWarning, match="1 of 3 pieces were never written or are los"):
        read_image(v05)
    for piece in pieces[1:]:
        piece.unlink()
    with pytest.raises(FileError, match="none of its 3 pieces is there"):
        read_image(v05)


@pytest.mark.parametrize("size", [0, 5, 16, 50, 500, -1])
def test_damage_of_a_large_store_is_told_when_it_is_met(store, monkeypatch, size):
    monkeypatch.setattr(zarr_reader, "MAX_IN_MEMORY", 1000)
    pieces = [one for one in (store / "0").rglob("*") if one.name in ("0", "0.0.0")]
    (piece,) = [one for one in pieces if one.is_file()][:1]
    piece.write_bytes(piece.read_bytes()[:size])
    image = read_image(store)
    with pytest.raises(FileError, match=r"cells\.ome\.zarr: a piece .* is damaged"):
        np.asarray(image.data)


def test_a_flipped_bit_does_not_pass_for_a_pixel(v05, stack, rng):
    pieces = sorted(one for one in (v05 / "0" / "c").rglob("*") if one.is_file())
    content = pieces[0].read_bytes()
    for place in rng.integers(len(content), size=30):
        changed = bytearray(content)
        changed[place] ^= 4
        pieces[0].write_bytes(changed)
        try:
            assert np.array_equal(read_image(v05).data, stack)
        except FileError:
            continue


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_stores_end_in_an_image_or_in_our_error(store, tmp_path, rng):
    level = [one for one in store.rglob("*") if one.is_file() and one.parts[-2] != "1"]
    for _ in range(60):
        copy = tmp_path / "copy.zarr"
        shutil.copytree(store, copy)
        victim = copy / rng.choice(level).relative_to(store)
        content = bytearray(victim.read_bytes())
        if rng.random() < 0.5:
            del content[rng.integers(len(content)) :]
        else:
            for place in rng.integers(len(content), size=3):
                content[place] ^= 1 << rng.integers(8)
        victim.write_bytes(content)
        can_read(copy)
        try:
            image = read_image(copy)
        except FileError as error:
            assert "copy.zarr" in str(error)
        else:
            assert image.data.ndim == len(image.axes)
        shutil.rmtree(copy)


# What is unusual


def test_the_full_resolution_is_read_wherever_it_stands(tmp_path, stack):
    path = write_v04(tmp_path / "a.zarr", stack, "zyx", levels=2)
    change(path / ".zattrs", lambda one: one["multiscales"][0]["datasets"].reverse())
    image = read_image(path)
    assert np.array_equal(image.data, stack)
    assert image.scale == (1.0, 1.0, 1.0)


def test_a_series_is_read_in_its_own_order(tmp_path, stack):
    path = tmp_path / "series.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    write_v04(path / "0", stack, "tyx")
    write_v04(path / "second", stack + 1, "tyx")
    order = zarr.open_group(path / "OME", mode="w", zarr_format=2)
    order.attrs["series"] = ["second", "0"]
    with pytest.warns(UserWarning, match="holds 2 images; reading the first"):
        assert np.array_equal(read_image(path).data, stack + 1)
    write_v04(tmp_path / "other.zarr", stack + 2, "tyx")
    order.attrs["series"] = ["../other.zarr"]
    assert np.array_equal(read_image(path).data, stack)


def test_labels_in_a_store_are_left_alone(v04, stack):
    labels = zarr.open_group(v04 / "labels", mode="w", zarr_format=2)
    labels.attrs["labels"] = ["cells"]
    write_v04(v04 / "labels" / "cells", (stack > 100).astype("i4"), "tyx")
    assert np.array_equal(read_image(v04).data, stack)
    assert np.array_equal(read_image(v04 / "labels" / "cells").data, stack > 100)


def test_a_packed_store_is_to_be_unpacked(tmp_path, v04):
    shutil.make_archive(str(tmp_path / "packed"), "zip", v04)
    path = (tmp_path / "packed.zip").rename(tmp_path / "packed.zarr")
    assert not can_read(path)
    with pytest.raises(FileError, match="packed into one file.*Unpack it first"):
        read_image(path)
