import json

import numpy as np
import pytest
import tifffile
from defusedxml.ElementTree import fromstring
from napari.layers import Image
from napari.utils import Colormap

from napari_mpi._napari.layers import denoise_layer
from napari_mpi._napari.reader import get_reader
from napari_mpi._napari.roles import ROLE
from napari_mpi._napari.writer import write_layer
from napari_mpi.io.files import ImageData, read_image, write_image

# napari's own word on layers that are turned out of their slices.
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

ENDINGS = [".ome.tif", ".ome.zarr"]
FEW = {"n_iter": 1, "n_passes": 2}
# Of rotated and sheared layers in three dimensions, too.
TURNED = {
    2: {"rotate": 30, "shear": [0.1]},
    3: {"rotate": (10, 20, 30), "shear": [0.1, 0.2, 0.3]},
}


def reopened(layer, path):
    data, options, _ = layer.as_layer_data_tuple()
    write_layer(str(path), data, options)
    return [
        Image(data, **options) for data, options, _ in get_reader(str(path))(str(path))
    ]


def assert_same_place(one, other):
    n_dims = one.ndim
    for corner in (np.zeros(n_dims), np.arange(1.0, n_dims + 1), np.full(n_dims, 7.0)):
        np.testing.assert_allclose(
            one.data_to_world(corner), other.data_to_world(corner), rtol=1e-9
        )


def assert_same_geometry(one, other):
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), atol=1e-12, err_msg=name
        )
    np.testing.assert_allclose(one.affine.affine_matrix, other.affine.affine_matrix)
    assert one.units == other.units
    assert one.axis_labels == other.axis_labels
    assert_same_place(one, other)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "kind", ["plane", "stack", "single plane", "multiscale", "rgb"]
)
def test_a_result_lies_where_its_input_lay_after_it_was_saved_and_opened(
    tmp_path, rng, kind, ending
):
    shape = {"stack": (2, 20, 24), "single plane": (1, 20, 24), "rgb": (20, 24, 3)}
    data = rng.integers(1, 250, shape.get(kind, (20, 24)), dtype=np.uint8)
    n_dims = data.ndim - (kind == "rgb")
    affine = np.eye(n_dims + 1)
    affine[0, 1], affine[:-1, -1] = 0.25, [2.5, 3.0, -4.5][-n_dims:]
    layer = Image(
        [data, data[::2, ::2]] if kind == "multiscale" else data,
        rgb=kind == "rgb",
        multiscale=kind == "multiscale",
        name="cells",
        scale=(0.3, 0.2, 0.1)[-n_dims:],
        translate=(7.25, -5.5, 1234.5)[-n_dims:],
        affine=affine,
        units=("µm",) * n_dims,
        axis_labels=("z", "y", "x")[-n_dims:],
        **TURNED[n_dims],
    )
    for number, result in enumerate(denoise_layer(layer, uncertainty=True, **FEW)):
        assert_same_geometry(result, layer)
        (back,) = reopened(result, tmp_path / f"{number}{ending}")
        assert_same_geometry(back, layer)
        assert np.array_equal(back.data, result.data)
        assert back.metadata[ROLE] == result.metadata[ROLE]
        assert back.colormap.name == result.colormap.name
        assert back.contrast_limits == pytest.approx(result.contrast_limits)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "geometry",
    [
        {"scale": (-2, 0.5, 0.25)},
        {"scale": (2, -0.5, -0.25), "translate": (1, 2, 3), **TURNED[3]},
        {"axis_labels": ("y", "x", "z"), "translate": (1, 2, 3), **TURNED[3]},
        {"axis_labels": ("x", "z", "y"), "scale": (-1, 2, 3)},
        {"affine": np.diag([2.0, -1.0, 3.0, 1.0])},
    ],
)
def test_flipped_and_turned_layers_keep_their_place(tmp_path, rng, ending, geometry):
    layer = Image(rng.integers(0, 250, (9, 10, 12), dtype=np.uint8), **geometry)
    (back,) = reopened(layer, tmp_path / f"a{ending}")
    named = set(layer.axis_labels) == {"z", "y", "x"}
    order = [layer.axis_labels.index(one) for one in "zyx"] if named else [0, 1, 2]
    for corner in np.array([[0, 0, 0], [1, 2, 3], [8, 9, 5]]):
        world = np.asarray(layer.data_to_world(corner))
        np.testing.assert_allclose(
            back.data_to_world(corner[order]), world[order], atol=1e-9
        )
        assert back.data[tuple(corner[order])] == layer.data[tuple(corner)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_layer_comes_back_looking_as_it_did(tmp_path, rng, ending):
    look = {
        "gamma": 0.7,
        "opacity": 0.8,
        "blending": "minimum",
        "contrast_limits": (20.5, 180),
    }
    fire = Colormap([[0, 0, 0, 1], [1, 0.25, 0, 1], [1, 1, 1, 1]], name="my fire")
    for colormap in ("viridis", "bop orange", "PiYG", fire):
        data = rng.integers(0, 250, (20, 24), dtype=np.uint8)
        layer = Image(data, colormap=colormap, **look)
        (back,) = reopened(layer, tmp_path / f"a{ending}")
        for name, value in look.items():
            assert getattr(back, name) == pytest.approx(value) or name == "blending"
        assert back.blending == "minimum"
        assert np.allclose(back.colormap.map(0.3), layer.colormap.map(0.3))
        assert np.allclose(back.colormap.map(0.8), layer.colormap.map(0.8))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("units", ["pixel", "µm", "km", "fs"])
def test_an_axis_without_a_name_keeps_its_step_and_unit(tmp_path, rng, ending, units):
    data = rng.integers(0, 250, (3, 20, 24), dtype=np.uint8)
    layer = Image(data, scale=(3, 0.5, 0.25), units=(units,) * 3)
    (back,) = reopened(layer, tmp_path / f"a{ending}")
    assert_same_geometry(back, layer)
    if units == "µm" and ending == ".ome.tif":  # to others it is a length, too
        assert read_image(tmp_path / "a.ome.tif").axes == "ZYX"


@pytest.mark.parametrize("ending", ENDINGS)
def test_channels_of_a_layer_lie_where_it_lay(tmp_path, rng, ending):
    data = rng.integers(0, 250, (2, 3, 20, 24), dtype=np.uint8)
    affine = np.eye(5)
    affine[1:4, 4], affine[2, 3] = (5, 6, 7), 0.5
    layer = Image(
        data,
        axis_labels=("c", "z", "y", "x"),
        scale=(1, 2, 0.5, 0.25),
        translate=(0, 3, 4, 5),
        affine=affine,
        shear=[0, 0, 0, 0, 0, 0.2],
    )
    layers = reopened(layer, tmp_path / f"a{ending}")
    assert len(layers) == 2
    for number, back in enumerate(layers):
        for corner in ((0, 0, 0), (1, 2, 3)):
            world = layer.data_to_world((number, *corner))
            np.testing.assert_allclose(back.data_to_world(corner), world[1:])
        assert back.axis_labels == ("z", "y", "x")
        assert np.array_equal(back.data, data[number])


def test_a_geometry_that_mixes_channels_with_space_is_left_out_with_a_warning(
    tmp_path, rng
):
    layer = Image(
        rng.integers(0, 250, (2, 20, 24), dtype=np.uint8),
        axis_labels=("c", "y", "x"),
        rotate=(10, 20, 30),
    )
    with pytest.warns(UserWarning, match="rotate .* mixes channels with other axes"):
        layers = reopened(layer, tmp_path / "a.ome.tif")
    assert len(layers) == 2


@pytest.fixture
def placed(tmp_path, rng):
    """The pixels of a layer with a place, and the OME-TIFF that holds it."""
    data = rng.integers(0, 250, (2, 3, 20, 24), dtype=np.uint8)
    layer = Image(
        data,
        axis_labels=("t", "z", "y", "x"),
        scale=(5, 2, 0.5, 0.25),
        translate=(0, 3, -4.5, 1e4),
        units=("s", "µm", "µm", "µm"),
    )
    path = tmp_path / "a.ome.tif"
    reopened(layer, path)
    return data, path


def test_other_programs_find_the_place_in_an_ome_tiff(placed):
    data, path = placed
    assert np.array_equal(tifffile.imread(path), data)
    planes = list(fromstring(tifffile.tiffcomment(path)).iterfind(".//{*}Plane"))
    assert len(planes) == 6
    for plane in planes:
        assert float(plane.get("PositionZ")) == 3 + 2 * int(plane.get("TheZ"))
        assert float(plane.get("PositionY")) == -4.5
        assert float(plane.get("PositionX")) == 1e4
        assert {plane.get(f"Position{axis}Unit") for axis in "XYZ"} == {"µm"}


def test_the_description_of_a_placed_ome_tiff_is_valid(placed):
    ome_types = pytest.importorskip("ome_types")
    pixels = ome_types.from_tiff(placed[1]).images[0].pixels
    assert [plane.position_z for plane in pixels.planes] == [3, 5, 7] * 2
    assert (pixels.size_z, pixels.physical_size_x) == (3, 0.25)


def test_naparis_own_reader_opens_a_placed_ome_tiff(placed, make_napari_viewer):
    data, path = placed
    (layer,) = make_napari_viewer().open(path, plugin="napari")
    assert np.array_equal(layer.data, data)


def test_other_programs_find_the_place_in_an_ome_zarr(tmp_path, rng):
    layer = Image(
        rng.integers(0, 250, (300, 400), dtype=np.uint8),
        scale=(0.5, 0.25),
        translate=(-4.5, 1e4),
        units=("µm", "µm"),
    )
    reopened(layer, tmp_path / "a.ome.zarr")
    document = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_bytes())
    datasets = document["attributes"]["ome"]["multiscales"][0]["datasets"]
    shifts = [one["coordinateTransformations"][1]["translation"] for one in datasets]
    assert shifts == [[-4.5, 1e4], [-4.25, 1e4 + 0.125]]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "state",
    [
        {"rotate": [[0, 0], [0, 0]]},
        {"rotate": "__import__('os')"},
        {"rotate": [[1]]},
        {"shear": [1, 2, 3]},
        {"affine": [[1, 0, 0], [0, 1, 0], [1, 1, 1]]},
        {"affine": [[1e308, 0, 0], [0, 1e-308, 0], [0, 0, 1]]},
    ],
)
def test_a_geometry_that_is_none_is_left_out_with_a_warning(
    tmp_path, noisy, ending, state
):
    path = tmp_path / f"a{ending}"
    image = ImageData(noisy, "YX", (1.0, 1.0), ("pixel",) * 2, layer=state)
    write_image(path, image)
    with pytest.warns(UserWarning, match="is damaged"):
        ((_, options, _),) = get_reader(str(path))(str(path))
    layer = Image(noisy, **options)
    assert_same_place(layer, Image(noisy))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "state",
    [
        {"colormap": "of the moon"},
        {"colormap": [1]},
        {"colormap": {"name": "a", "evil": 3}},
        {"contrast_limits": [5, 1]},
        {"contrast_limits": "ab"},
        {"gamma": -3},
        {"gamma": "x"},
        {"opacity": 7},
        {"blending": "none of them"},
        {"axis_labels": [1, 2]},
        {"axis_labels": "yx"},
        {"units": ["9**9**9", "pixel"]},
        {"units": ["parsecond", "pixel"]},
        {"role": "evil"},
        {"data": "evil"},
    ],
)
def test_a_look_that_napari_does_not_take_is_left_out(tmp_path, noisy, ending, state):
    path = tmp_path / f"a{ending}"
    write_image(path, ImageData(noisy, "YX", (1.0, 1.0), ("pixel",) * 2))
    ((_, expected, _),) = get_reader(str(path))(str(path))
    write_image(path, ImageData(noisy, "YX", (1.0, 1.0), ("pixel",) * 2, layer=state))
    ((data, options, _),) = get_reader(str(path))(str(path))
    assert options == expected
    assert np.array_equal(data, noisy)
