import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.layers import Image
from npe2 import PluginManager, PluginManifest

import napari_mpi
from napari_mpi._napari.reader import get_reader
from napari_mpi.io import zarr_reader
from napari_mpi.io.files import FileError, ImageData, can_hold, write_image


def layers_of(path):
    reader = get_reader(path if isinstance(path, list) else str(path))
    assert reader is not None
    layers = [Image(data, **options) for data, options, kind in reader(str(path))]
    assert layers
    return layers


def write(path, data, axes, scale, units, **more):
    write_image(path, ImageData(data, axes, scale, units, **more))
    return path


def test_a_stack_becomes_a_layer_with_scale_units_and_labels(tmp_path, rng):
    data = rng.integers(0, 999, (4, 20, 24), dtype=np.uint16)
    path = write(
        tmp_path / "cells.ome.tif", data, "TYX", (2.0, 0.1, 0.2), ("s", "µm", "µm")
    )
    (layer,) = layers_of(path)
    assert layer.name == "cells"
    assert layer.scale == pytest.approx((2.0, 0.1, 0.2))
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert layer.axis_labels == ("t", "y", "x")
    assert not layer.rgb
    assert np.array_equal(layer.data, data)


@pytest.mark.parametrize("axes", ["CYX", "TCYX", "CZYX", "TZCYX"])
def test_each_channel_becomes_a_layer(tmp_path, rng, axes):
    sizes = {"T": (2, 5.0, "s"), "Z": (3, 0.4, "µm"), "C": (2, 1.0, "pixel")}
    sizes |= {"Y": (20, 0.1, "µm"), "X": (24, 0.2, "µm")}
    shape, scale, units = zip(*(sizes[axis] for axis in axes), strict=True)
    data = rng.integers(0, 999, shape, dtype=np.uint16)
    path = write(tmp_path / "cells.ome.tif", data, axes, scale, units)
    layers = layers_of(path)
    channel = axes.index("C")
    assert [layer.name for layer in layers] == ["cells channel 1", "cells channel 2"]
    for number, layer in enumerate(layers):
        assert np.array_equal(layer.data, data.take(number, axis=channel))
        assert layer.scale == pytest.approx(scale[:channel] + scale[channel + 1 :])
        assert layer.axis_labels == tuple(axes.replace("C", "").lower())
        assert len(layer.units) == len(axes) - 1
        assert str(layer.units[-1]) == "micrometer"


def test_channels_are_seen_together(tmp_path, rng):
    data = rng.integers(0, 999, (2, 20, 24), dtype=np.uint16)
    path = write(tmp_path / "a.tif", data, "CYX", (1.0,) * 3, ("pixel",) * 3)
    first, second = layers_of(path)
    assert first.blending == second.blending == "additive"
    assert first.colormap.name != second.colormap.name


@pytest.mark.parametrize("axes", ["YXS", "TYXS"])
def test_colour_becomes_one_layer(tmp_path, rng, axes):
    shape = (4, 20, 24, 3)[-len(axes) :]
    scale = (2.0, 0.1, 0.2, 1.0)[-len(axes) :]
    units = ("s", "µm", "µm", "pixel")[-len(axes) :]
    data = rng.integers(0, 255, shape, dtype=np.uint8)
    (layer,) = layers_of(write(tmp_path / "a.ome.tif", data, axes, scale, units))
    assert layer.rgb
    assert layer.name == "a"
    assert layer.scale == pytest.approx(scale[:-1])
    assert layer.axis_labels == tuple(axes[:-1].lower())
    assert str(layer.units[-1]) == "micrometer"
    assert np.array_equal(layer.data, data)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("µm", "micrometer"),
        ("nm", "nanometer"),
        ("Å", "angstrom"),
        ("inch", "inch"),
        ("furlong of the lab", "pixel"),
    ],
)
def test_units_are_those_of_napari(tmp_path, noisy, unit, expected):
    path = write(tmp_path / "a.tif", noisy, "YX", (0.5, 0.5), (unit, unit))
    (layer,) = layers_of(path)
    assert [str(one) for one in layer.units] == [expected, expected]
    assert layer.scale == pytest.approx((0.5, 0.5))


def test_the_description_travels_in_the_metadata(tmp_path, noisy):
    path = write(
        tmp_path / "a.tif", noisy, "YX", (1.0, 1.0), ("pixel",) * 2, description="µ"
    )
    (layer,) = layers_of(path)
    assert layer.metadata == {"axes": "YX", "description": "µ"}


def test_a_folder_becomes_one_layer(tmp_path, noisy):
    for number in range(3):
        iio.imwrite(tmp_path / f"{number}.png", noisy + number)
    (layer,) = layers_of(tmp_path)
    assert layer.name == tmp_path.name
    assert layer.data.shape == (3, *noisy.shape)
    assert layer.axis_labels == ("t", "y", "x")


def test_several_files_become_one_stack(tmp_path, noisy):
    paths = [str(tmp_path / f"{number}.tif") for number in (2, 10)]
    for path in paths:
        tifffile.imwrite(path, noisy)
    reader = get_reader(paths)
    ((data, options, kind),) = reader(paths)
    assert kind == "image"
    assert data.shape == (2, *noisy.shape)
    assert options["name"] == tmp_path.name
    ((data, options, kind),) = reader(paths[:1])
    assert data.shape == noisy.shape
    assert options["name"] == "2"


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tiff", "a.mrc", "a.png", "a.txt"])
def test_what_cannot_be_read_is_left_to_other_readers(tmp_path, name):
    path = tmp_path / name
    assert get_reader(str(path)) is None
    path.touch()
    assert get_reader(str(path)) is None
    path.write_text("Nothing but words.\n" * 100)
    assert get_reader(str(path)) is None
    assert get_reader([str(path)]) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([]) is None


def test_one_unreadable_file_among_several_is_enough_to_leave_them(tmp_path, noisy):
    tifffile.imwrite(tmp_path / "a.tif", noisy)
    (tmp_path / "b.tif").touch()
    assert get_reader([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) is None


def test_damage_behind_a_sound_beginning_is_an_error(tmp_path, noisy):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noisy)
    path.write_bytes(path.read_bytes()[:1000])
    reader = get_reader(str(path))
    with pytest.raises(FileError, match="truncated"):
        reader(str(path))


@pytest.mark.parametrize("ending", [".ome.zarr", ".ome.tif", ".tif"])
@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("DAPI", "GFP"), ["cells DAPI", "cells GFP"]),
        (("", "GFP"), ["cells channel 1", "cells GFP"]),
    ],
)
def test_channels_of_a_file_have_their_names(tmp_path, rng, ending, names, shown):
    path = write(
        tmp_path / f"cells{ending}",
        rng.integers(0, 999, (2, 20, 24), dtype=np.uint16),
        "CYX",
        (1.0, 0.1, 0.1),
        ("pixel", "µm", "µm"),
        channel_names=names,
    )
    assert [layer.name for layer in layers_of(path)] == shown


def test_a_large_store_becomes_layers_that_are_read_when_looked_at(
    tmp_path, rng, monkeypatch
):
    import dask.array as da

    monkeypatch.setattr(zarr_reader, "MAX_IN_MEMORY", 1000)
    data = rng.integers(0, 999, (3, 2, 40, 48), dtype=np.uint16)
    path = write(tmp_path / "a.zarr", data, "TCYX", (1.0,) * 4, ("pixel",) * 4)
    layers = layers_of(path)
    assert all(isinstance(layer.data, da.Array) for layer in layers)
    assert np.array_equal(np.asarray(layers[1].data), data[:, 1])


def test_napari_finds_the_reader(tmp_path, noisy):
    path = write(tmp_path / "a.tif", noisy, "YX", (0.5, 0.5), ("µm", "µm"))
    package = Path(napari_mpi.__file__).parent
    manager = PluginManager()
    manager.register(PluginManifest.from_file(package / "napari.yaml"))
    store = write(tmp_path / "a.ome.zarr", noisy, "YX", (0.5, 0.5), ("µm", "µm"))
    for one in (path, tmp_path, store):
        names = [found.plugin_name for found in manager.iter_compatible_readers(one)]
        assert names == ["napari-mpi"]


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(["YX", "ZYX", "CYX", "TZCYX", "QYX", "YXS", "TYXS"]),
    st.integers(2, 7),
    st.sampled_from(["u1", "u2", ">u2", "i4", "i8", "f2", ">f4", "f8"]),
    st.sampled_from(["a.tif", "a.ome.tif"]),
    st.floats(1e-9, 1e9),
    st.sampled_from(["µm", "s", "pixel", "parsec", ""]) | st.text(max_size=5),
)
def test_layers_hold_every_pixel_with_steps_above_zero(
    axes, side, dtype, name, step, unit
):
    shape = [3 if axis == "S" else side for axis in axes]
    data = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    image = ImageData(data, axes, (step,) * data.ndim, (unit,) * data.ndim)
    assume(can_hold(name, data.dtype))
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder) / name, image)
        layers = layers_of(Path(folder) / name)
    channels = [layer.data for layer in layers]
    expected = np.moveaxis(data, axes.find("C"), 0) if "C" in axes else data[None]
    assert np.array_equal(np.stack(channels), expected)
    for layer in layers:
        assert layer.data.dtype.isnative
        assert layer.rgb == ("S" in axes)
        assert all(0 < scale < np.inf for scale in layer.scale)


def test_complex_pixels_are_refused_in_words(tmp_path, noisy):
    tifffile.imwrite(tmp_path / "a.tif", noisy.astype(np.complex64))
    with pytest.raises(FileError, match="complex numbers .* save their magnitude"):
        layers_of(tmp_path / "a.tif")
