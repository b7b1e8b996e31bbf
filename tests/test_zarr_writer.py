import json

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_mpi.cli import main
from napari_mpi.io import zarr_reader, zarr_writer
from napari_mpi.io.files import FileError, ImageData, read_image, write_image
from napari_mpi.io.record import join_record, split_record


def an_image(data, axes, **more):
    return ImageData(data, axes, (1.0,) * data.ndim, ("pixel",) * data.ndim, **more)


def attributes(path):
    return json.loads((path / "zarr.json").read_text())["attributes"]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (40, 48)),
        ("ZYX", (3, 40, 48)),
        ("TZCYX", (2, 3, 2, 40, 48)),
        ("ZTYX", (2, 3, 40, 48)),
        ("IYX", (2, 40, 48)),
        ("YXS", (40, 48, 3)),
        ("TYXS", (2, 40, 48, 4)),
    ],
)
def test_an_image_comes_back_whole(tmp_path, rng, axes, shape):
    known = {"T": (2.0, "s"), "Z": (0.3, "µm"), "Y": (0.1, "nm"), "X": (0.2, "Å")}
    scale, units = zip(*(known.get(a, (1.0, "pixel")) for a in axes), strict=True)
    data = rng.integers(0, 255, shape, dtype=np.uint8)
    names = ("DAPI", "GFP") if "C" in axes else ()
    image = ImageData(
        data, axes, scale, units, "a", "text\nof two lines", channel_names=names
    )
    write_image(tmp_path / "a.ome.zarr", image)
    back = read_image(tmp_path / "a.ome.zarr")
    assert np.array_equal(back.data, data)
    assert (back.axes, back.name, back.description) == (axes, "a", image.description)
    assert back.scale == pytest.approx(scale)
    assert back.units == units
    assert back.channel_names == names
    assert back.rgb == image.rgb


@pytest.mark.parametrize(
    "dtype", ["u1", ">u2", "i2", "u4", "i8", "q", "Q", "f2", "f4", ">f8"]
)
def test_every_pixel_type_comes_back(tmp_path, rng, dtype):
    data = rng.integers(0, 100, (20, 24)).astype(dtype)
    write_image(tmp_path / "a.zarr", an_image(data, "YX"))
    back = read_image(tmp_path / "a.zarr").data
    assert np.array_equal(back, data)
    assert back.dtype == data.dtype.newbyteorder("=")


def test_what_is_written_is_valid_for_others(tmp_path, rng):
    data = rng.integers(0, 999, (2, 2, 300, 520), dtype=np.uint16)
    path = tmp_path / "a.ome.zarr"
    image = ImageData(
        data, "TCYX", (2, 1, 0.1, 0.1), ("s", "pixel", "µm", "µm"), "cells",
        channel_names=("DAPI", "GFP"),
    )  # fmt: skip
    write_image(path, image)
    ome = yaozarrs.validate_ome_json((path / "zarr.json").read_bytes()).attributes.ome
    (multiscale,) = ome.multiscales
    assert [axis.unit for axis in multiscale.axes] == [
        "second", None, "micrometer", "micrometer",
    ]  # fmt: skip
    assert [channel.label for channel in ome.omero.channels] == ["DAPI", "GFP"]
    shapes = [zarr.open_array(path / d.path).shape for d in multiscale.datasets]
    assert shapes == [(2, 2, 300, 520), (2, 2, 150, 260), (2, 2, 75, 130)]


def test_smaller_copies_are_means_in_the_same_place(tmp_path):
    rows, columns = np.mgrid[:512, :600]
    data = (rows + 2 * columns).astype(np.float32)
    path = tmp_path / "a.zarr"
    image = ImageData(data, "YX", (0.5, 0.25), ("µm", "µm"))
    write_image(path, image)
    dataset = attributes(path)["ome"]["multiscales"][0]["datasets"][2]
    scale, shift = dataset["coordinateTransformations"]
    small = zarr.open_array(path / dataset["path"])[:]
    # Where the transform puts a pixel, the ramp has its value.
    y = (np.arange(small.shape[0]) * scale["scale"][0] + shift["translation"][0]) / 0.5
    x = (np.arange(small.shape[1]) * scale["scale"][1] + shift["translation"][1]) / 0.25
    assert np.allclose(small, y[:, None] + 2 * x)


def test_integers_are_rounded_in_smaller_copies(tmp_path):
    data = np.tile(np.array([[0, 1], [1, 1]], np.uint8), (150, 150))
    write_image(tmp_path / "a.zarr", an_image(data, "YX"))
    assert (zarr.open_array(tmp_path / "a.zarr" / "1")[:] == 1).all()


def test_a_mapped_array_is_read_plane_by_plane(tmp_path, rng):
    class Planes:
        """An array that refuses to be read whole."""

        def __init__(self, data):
            self.data, self.shape, self.ndim = data, data.shape, data.ndim
            self.dtype, self.asked = data.dtype, []

        def transpose(self, order):
            assert list(order) == [0, 1, 2]
            return self

        def __getitem__(self, index):
            self.asked.append(index)
            return self.data[index]

        def __array__(self, *args, **kwargs):
            raise AssertionError("read whole")

    planes = Planes(rng.integers(0, 9, (4, 300, 40), dtype=np.uint8))
    write_image(tmp_path / "a.zarr", an_image(planes, "TYX"))
    assert planes.asked == [(0,), (1,), (2,), (3,)]
    assert np.array_equal(read_image(tmp_path / "a.zarr").data, planes.data)


def test_black_planes_are_written_too(tmp_path):
    write_image(tmp_path / "a.zarr", an_image(np.zeros((2, 20, 20), "u2"), "TYX"))
    assert not read_image(tmp_path / "a.zarr").data.any()  # without a warning


def test_the_record_of_a_run_stands_in_the_attributes(tmp_path, noisy):
    from napari_mpi import denoise

    report = denoise(noisy, n_iter=1, n_passes=2).report | {"odd": float("nan")}
    description = join_record("HeLa", report)
    path = tmp_path / "a.zarr"
    write_image(path, an_image(noisy, "YX", description=description))
    own = attributes(path)["napari_mpi"]
    assert own["description"] == "HeLa"
    assert own["record"]["seed"] == 0
    assert "NaN" not in (path / "zarr.json").read_text()
    text, record = split_record(read_image(path).description)
    assert text == "HeLa"
    assert record["config"] == report["config"]


def test_only_what_we_wrote_is_replaced(tmp_path, noisy):
    path = tmp_path / "a.zarr"
    write_image(path, an_image(noisy, "YX"))
    write_image(path, an_image(noisy + 1, "YX"))
    assert np.array_equal(read_image(path).data, noisy + 1)
    for name, make in {
        "folder.zarr": lambda one: one.mkdir(),
        "file.zarr": lambda one: one.write_text("words"),
        "other.zarr": lambda one: zarr.save_array(str(one), noisy),
        "link.zarr": lambda one: one.symlink_to("nowhere"),
    }.items():
        make(tmp_path / name)
        with pytest.raises(FileError, match="was not written by napari-mpi"):
            write_image(tmp_path / name, an_image(noisy, "YX"))
    assert np.array_equal(zarr.load(str(tmp_path / "other.zarr")), noisy)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path, noisy, monkeypatch, there):
    path = tmp_path / "a.zarr"
    if there:
        write_image(path, an_image(noisy, "YX"))

    def fail(plane):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr_writer, "_halved", fail)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, an_image(np.zeros((300, 300)), "YX"))
    assert [one.name for one in tmp_path.iterdir()] == (["a.zarr"] if there else [])
    if there:
        assert np.array_equal(read_image(path).data, noisy)


@pytest.mark.parametrize(
    ("data", "axes", "message"),
    [
        (np.zeros((1, 1, 1, 1, 20, 20), "u1"), "TIZCYX", "are more than OME-Zarr"),
        (np.zeros((2, 20, 20, 3), "u1"), "CYXS", "are more than OME-Zarr"),
        (np.zeros((20, 20), bool), "YX", "cannot hold bool"),
        (np.zeros((20, 20), complex), "YX", "cannot hold complex128"),
    ],
)
def test_what_the_format_cannot_hold_is_said(tmp_path, data, axes, message):
    with pytest.raises(FileError, match=message):
        write_image(tmp_path / "a.zarr", an_image(data, axes))
    assert not list(tmp_path.iterdir())


def test_the_command_reads_and_writes_stores(tmp_path, noisy, capsys):
    source = tmp_path / "cells.ome.zarr"
    image = ImageData(
        np.stack([noisy] * 2), "TYX", (2, 0.1, 0.1), ("s", "µm", "µm"), "cells"
    )
    write_image(source, image)
    few = ["--n-iter", "1", "--n-passes", "2", "--noise-map"]
    out = tmp_path / "out"
    assert main(["denoise", str(source), "-o", str(out), *few]) == 0
    target = tmp_path / "out" / "result.ome.zarr"
    assert main(["denoise", str(source), "-o", str(target), *few]) == 0
    assert sorted(one.name for one in out.iterdir()) == [
        "cells_denoised.ome.tif",
        "cells_noise.ome.tif",
        "result.ome.zarr",
        "result_noise.ome.zarr",
    ]
    tif, store = read_image(out / "cells_denoised.ome.tif"), read_image(target)
    assert np.array_equal(tif.data, store.data)
    for one in (tif, store):
        assert (one.axes, one.units) == ("TYX", ("s", "µm", "µm"))
        assert one.scale == pytest.approx((2, 0.1, 0.1))
        assert split_record(one.description)[1]["seed"] == 0
    capsys.readouterr()
    assert main(["denoise", str(source), "-o", str(source), *few]) == 1
    assert f"written over the input {source}" in capsys.readouterr().err


def test_the_command_takes_a_large_store_plane_by_plane(
    tmp_path, noisy, monkeypatch, capsys
):
    source = tmp_path / "cells.ome.zarr"
    write_image(source, an_image(np.stack([noisy, noisy + 3]), "TYX"))
    few = ["--n-iter", "1", "--n-passes", "2"]
    for name, limit in (("small.ome.zarr", 2**20), ("large.ome.zarr", 1000)):
        monkeypatch.setattr(zarr_reader, "MAX_IN_MEMORY", limit)
        assert main(["denoise", str(source), "-o", str(tmp_path / name), *few]) == 0
    small, large = (
        np.asarray(read_image(tmp_path / name).data)
        for name in ("small.ome.zarr", "large.ome.zarr")
    )
    assert np.array_equal(small, large)
    piece = source / "0" / "c" / "1" / "0" / "0"
    piece.write_bytes(piece.read_bytes()[:-1])
    capsys.readouterr()
    target = tmp_path / "damaged.ome.zarr"
    assert main(["denoise", str(source), "-o", str(target), *few]) == 1
    assert "a piece of its pixels is damaged" in capsys.readouterr().err
    assert not target.exists()
