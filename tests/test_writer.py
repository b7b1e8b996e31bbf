import json

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.layers import CHANNEL_LABELS, channel_axis, denoise_layer
from napari_mpi._napari.reader import get_reader
from napari_mpi._napari.writer import NotSavedError, write_layer
from napari_mpi.cli import main
from napari_mpi.io import tiff, zarr_writer
from napari_mpi.io.files import read_image

PLUGIN = "napari-mpi"
ENDINGS = [".ome.tif", ".ome.tiff", ".ome.zarr"]


def saved(layer, path):
    data, options, _ = layer.as_layer_data_tuple()
    return write_layer(str(path), data, options)


def opened(path):
    return [
        Image(data, **options) for data, options, _ in get_reader(str(path))(str(path))
    ]


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_denoised_layer_survives_saving_and_opening(
    viewer, make_napari_viewer, noisy, tmp_path, ending
):
    stack = np.stack([noisy] * 3)
    layer = viewer.add_image(
        stack,
        name="cells",
        scale=(2, 0.1, 0.25),
        units=("s", "µm", "µm"),
        axis_labels=("t", "y", "x"),
    )
    denoised, _ = denoise_layer(layer, n_iter=1, n_passes=2, seed=7)
    path = tmp_path / f"result{ending}"
    viewer.layers.selection = {denoised}
    assert viewer.layers.save(str(path), selected=True, plugin=PLUGIN) == [str(path)]

    second = make_napari_viewer()
    (back,) = second.open(path, plugin=PLUGIN)
    assert np.array_equal(back.data, denoised.data)
    assert back.data.dtype == denoised.data.dtype
    assert back.scale == pytest.approx(denoised.scale)
    assert back.units == denoised.units
    assert back.axis_labels == denoised.axis_labels
    record = back.metadata["napari_mpi"]
    assert record == json.loads(json.dumps(denoised.metadata["napari_mpi"]))

    widget = DenoiseWidget(second)
    second.window.add_dock_widget(widget)
    widget.form.image.value = back
    widget.replay.python_button.clicked.emit(True)
    names = {"image": stack}
    exec(QApplication.clipboard().text(), names)
    assert np.array_equal(names["result"].image, back.data)


def test_what_the_command_writes_opens_with_its_record(tmp_path, noisy):
    import tifffile

    tifffile.imwrite(tmp_path / "cells.tif", noisy)
    few = ["--n-iter", "1", "--n-passes", "2", "--seed", "3"]
    for target in ("a.ome.tif", "b.tif", "c.ome.zarr"):
        out = tmp_path / target
        assert main(["denoise", str(tmp_path / "cells.tif"), "-o", str(out), *few]) == 0
        (layer,) = opened(out)
        assert layer.metadata["napari_mpi"]["seed"] == 3
        assert layer.metadata["description"] == ""


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ((40, 48), ("y", "x")),
        ((3, 40, 48), ("z", "y", "x")),
        ((2, 3, 40, 48), ("t", "z", "y", "x")),
        ((2, 3, 40, 48), ("z", "t", "y", "x")),
    ],
)
def test_layers_of_several_dimensions_come_back(tmp_path, rng, ending, shape, labels):
    data = rng.integers(0, 999, shape, dtype=np.uint16)
    scale = (3.0, 0.5, 0.2, 0.1)[-len(shape) :]
    units = tuple("s" if label == "t" else "nm" for label in labels)
    layer = Image(data, scale=scale, units=units, axis_labels=labels, name="a")
    saved(layer, tmp_path / f"a{ending}")
    (back,) = opened(tmp_path / f"a{ending}")
    assert np.array_equal(back.data, data)
    assert back.scale == pytest.approx(scale)
    assert (back.units, back.axis_labels) == (layer.units, labels)
    assert "napari_mpi" not in back.metadata


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("shape", [(40, 48, 3), (2, 40, 48, 4)])
def test_colour_comes_back_as_colour(tmp_path, rng, ending, shape):
    layer = Image(rng.integers(0, 255, shape, dtype=np.uint8), rgb=True)
    saved(layer, tmp_path / f"a{ending}")
    (back,) = opened(tmp_path / f"a{ending}")
    assert back.rgb
    assert np.array_equal(back.data, layer.data)


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("-4", "-3", "-2", "-1"), "TZYX"),
        (("time", "depth", "Y", "X"), "TZYX"),
        (("t", "t ", "y", "x"), "TZYX"),
        (("phase", "z", "y", "x"), "TZYX"),
        (("c", "z", "y", "x"), "CZYX"),
        (("y", "x", "z", "t"), "ZTYX"),
        (("x", "x", "x", "x"), "TZYX"),
    ],
)
def test_axes_are_named_by_their_labels_or_their_places(tmp_path, rng, labels, axes):
    data = rng.integers(0, 999, (2, 3, 40, 48), dtype=np.uint16)
    options = {"axis_labels": labels, "scale": [1, 2, 3, 4], "units": ["pixel"] * 4}
    write_layer(str(tmp_path / "a.ome.zarr"), data, options)
    image = read_image(tmp_path / "a.ome.zarr")
    assert image.axes == axes
    expected = data.transpose(2, 3, 0, 1) if labels[0] == "y" else data
    assert np.array_equal(image.data, expected)


@pytest.mark.parametrize("label", CHANNEL_LABELS)
def test_what_is_denoised_as_channels_is_saved_as_channels(tmp_path, rng, label):
    data = rng.poisson(9, (2, 16, 16)).astype(np.uint16)
    layer = Image(data, axis_labels=(label, "y", "x"))
    assert channel_axis(layer) == 0
    path = str(tmp_path / "a.ome.tif")
    write_layer(path, *layer.as_layer_data_tuple()[:2])
    assert read_image(path).channel_axis == 0


def test_of_several_resolutions_the_full_one_is_saved(tmp_path, noisy):
    layer = Image([noisy, noisy[::2, ::2]], multiscale=True)
    saved(layer, tmp_path / "a.ome.tif")
    assert np.array_equal(read_image(tmp_path / "a.ome.tif").data, noisy)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_lazy_layer_is_saved_plane_by_plane(tmp_path, rng, ending):
    import dask.array as da

    data = rng.integers(0, 999, (4, 40, 48), dtype=np.uint16)
    sizes = []

    def watched(block):
        sizes.append(block.shape)
        return block

    lazy = da.from_array(data, chunks=(1, 40, 48)).map_blocks(watched, meta=data[:0])
    layer = Image(lazy, contrast_limits=(0, 999))
    sizes.clear()  # napari looks at a slice
    saved(layer, tmp_path / f"a{ending}")
    assert np.array_equal(read_image(tmp_path / f"a{ending}").data, data)
    assert set(sizes) == {(1, 40, 48)}
    assert len(sizes) == 4


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_a_failed_save_leaves_nothing_behind(
    viewer, noisy, tmp_path, monkeypatch, ending
):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiff.tifffile.TiffWriter, "write", fail)
    monkeypatch.setattr(zarr_writer, "_create_array", fail)
    viewer.add_image(noisy)
    with pytest.raises(OSError, match="No space left"):
        viewer.layers.save(str(tmp_path / f"a{ending}"), plugin=PLUGIN)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved_is_said(tmp_path):
    layer = Image(np.zeros((1, 1, 1, 1, 20, 20)), contrast_limits=(0, 1))
    with pytest.raises(NotSavedError, match="are more than a TIFF describes"):
        saved(layer, tmp_path / "a.ome.tif")
    with pytest.raises(NotSavedError, match="are more than OME-Zarr"):
        saved(layer, tmp_path / "a.ome.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("int64", "save it as .ome.zarr, or convert the layer to float32"),
        ("uint64", "save it as .ome.zarr, or convert the layer to float32"),
        ("float16", "save it as .ome.zarr, or convert the layer to float32"),
        ("bool", "convert the layer to float32"),
    ],
)
def test_napari_hears_why_a_pixel_type_is_not_saved(viewer, tmp_path, dtype, advice):
    viewer.add_image(np.zeros((20, 20), dtype), contrast_limits=(0, 1))
    with pytest.raises(NotSavedError, match=f"cannot hold {dtype} pixels: {advice}"):
        viewer.layers.save(str(tmp_path / "a.ome.tif"), plugin=PLUGIN)
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_none_does_not_travel_back(tmp_path, noisy):
    layer = Image(noisy, metadata={"napari_mpi": {"preset": "__import__('os')"}})
    saved(layer, tmp_path / "a.ome.tif")
    (back,) = opened(tmp_path / "a.ome.tif")
    assert "napari_mpi" not in back.metadata


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("kind", ["zarr", "torch"])
def test_arrays_of_other_libraries_are_saved(tmp_path, rng, kind, ending):
    data = rng.integers(0, 999, (3, 40, 48), dtype=np.int32)
    if kind == "zarr":
        array = pytest.importorskip("zarr").array(data)
    else:
        array = pytest.importorskip("torch").from_numpy(data)
    options = {"axis_labels": ("y", "x", "z")}
    write_layer(str(tmp_path / f"a{ending}"), array, options)
    image = read_image(tmp_path / f"a{ending}")
    assert np.array_equal(image.data, data.transpose(2, 0, 1))
