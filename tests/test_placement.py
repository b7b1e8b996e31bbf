import numpy as np
import pytest
import tifffile
from image_files import an_image, round_trip

from napari_mpi.batch.results import write_result
from napari_mpi.io.files import read_image, write_image
from napari_mpi.pipeline.api import Denoised

NAMES = ["a.tif", "a.ome.tif", "a.ome.zarr"]
TURNED = {"rotate": [[0.0, -1.0], [1.0, 0.0]]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (20, 24)),
        ("ZYX", (1, 20, 24)),
        ("TZYX", (1, 1, 20, 24)),
        ("TZCYX", (2, 1, 1, 20, 24)),
        ("ZTYX", (3, 1, 20, 24)),
        ("TYXS", (1, 20, 24, 3)),
        ("ZYX", (1, 1, 24)),
    ],
)
def test_a_placed_image_keeps_its_axes_and_its_place(tmp_path, rng, name, axes, shape):
    data = rng.integers(0, 250, shape, dtype=np.uint8)
    scale = tuple(1.0 if axis == "S" else 1.5 + n for n, axis in enumerate(axes))
    units = tuple("s" if axis == "T" else "pixel" for axis in axes)
    translate = tuple(0.0 if axis == "S" else -3.25 * n for n, axis in enumerate(axes))
    image = an_image(data, axes, scale, units, translate=translate, layer=TURNED)
    back = round_trip(tmp_path / name, image)
    assert (back.axes, back.units, back.layer) == (axes, units, TURNED)
    assert back.description == ""
    assert back.scale == pytest.approx(scale)
    assert back.translate == translate
    assert np.array_equal(back.data, data)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_a_place_is_written_as_ever(tmp_path, stack, name):
    back = round_trip(tmp_path / name, an_image(stack, "ZYX", description="cells"))
    assert (back.translate, back.layer, back.description) == ((), {}, "cells")
    if name.endswith("tif"):
        assert b"napari_mpi_layer" not in (tmp_path / name).read_bytes()
        assert b"PositionX" not in (tmp_path / name).read_bytes()


def test_the_place_of_an_image_that_was_cut_since_then_is_left_out(tmp_path, stack):
    image = an_image(
        stack, "ZYX", description="cells", translate=(1, 2, 3), layer=TURNED
    )
    write_image(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        description = read_description(tif.ome_metadata)
    for cut in (stack[1:], stack[0], stack[..., 1:], stack.transpose(0, 2, 1)):
        axes = "ZYX"[-cut.ndim :]
        tifffile.imwrite(
            tmp_path / "b.ome.tif",
            cut,
            metadata={"axes": axes, "Description": description},
        )
        back = read_image(tmp_path / "b.ome.tif")
        assert np.array_equal(back.data, cut)
        assert (back.axes, back.translate, back.layer) == (axes, (), {})
        assert back.description == "cells"


def read_description(xml):
    from defusedxml.ElementTree import fromstring

    return fromstring(xml).findtext("{*}Image/{*}Description")


@pytest.mark.parametrize(
    "told",
    [
        "[" * 100_000,
        "3}",
        '{"axes": "ZYX"}}',
        '{"axes": 3, "shape": [5, 40, 48]}}',
        '{"axes": "ZYX", "shape": [5, 40, 1e999]}}',
        '{"axes": "XYZ", "shape": [48, 40, 5]}}',
        '{"axes": "ZZYX", "shape": [5, 5, 40, 48]}}',
        '{"axes": "ZYX", "shape": "abc"}}',
        '{"axes": "ZYX", "shape": [5, 40, 48], "translate": [1], "layer": 3}}',
        '{"axes": "ZYX", "shape": [5, 40, 48], "scale": [0, -1, 2], "units": [1]}}',
        '{"axes": "ZYX", "shape": [5, 40, 48], "scale": [0, 1, 2], "units": "abc"}}',
        '{"axes": "ZYX", "shape": [5, 40, 48], "translate": [NaN, 1, 2]}}',
        '{"axes": "ZYX", "shape": [5, 40.5, 48]}}',
        '{"axes": "ZYX", "shape": [true, 40, 48]}}',
    ],
)
def test_a_place_that_makes_no_sense_is_left_out(tmp_path, stack, told):
    told = f'cells\n{{"napari_mpi_layer": {told}'
    for name in NAMES[:2]:
        image = an_image(stack, "ZYX", description=told)
        back = round_trip(tmp_path / name, image)
        assert np.array_equal(back.data, stack)
        assert (back.axes, back.scale) == ("ZYX", (1.0,) * 3)
        assert (back.translate, back.layer) == ((), {})
        assert back.description.startswith("cells")


def test_a_step_that_was_changed_in_the_file_counts(tmp_path, stack):
    image = an_image(
        stack, "ZYX", (3.0, 0.5, 0.5), ("µm", "µm", "µm"), translate=(0, 1, 0)
    )
    write_image(tmp_path / "a.ome.tif", image)
    xml = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    xml = xml.replace('PhysicalSizeZ="3.0"', 'PhysicalSizeZ="4.0"')
    tifffile.tiffcomment(tmp_path / "a.ome.tif", xml.encode())
    assert read_image(tmp_path / "a.ome.tif").scale == (4.0, 0.5, 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_results_of_a_file_lie_in_its_place_and_say_what_they_are(
    tmp_path, stack, name
):
    image = an_image(
        stack, "ZYX", translate=(1, 2, 3), layer={**TURNED, "colormap": "red"}
    )
    noise = stack.astype(np.float32)
    result = Denoised(stack, noise, {}, noise)
    found = {}
    for path in write_result(tmp_path / name, image, result, with_noise_map=True):
        back = read_image(path)
        assert back.translate == (1, 2, 3)
        found[back.layer["role"]] = back.layer
    assert found == {
        "denoised": {**TURNED, "colormap": "red", "role": "denoised"},
        "noise map": {**TURNED, "role": "noise map"},
        "uncertainty": {**TURNED, "role": "uncertainty"},
    }


def test_the_place_of_another_programs_store_is_read(tmp_path, stack):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=stack.shape, dtype="u2")[:] = stack
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    first = [
        {"type": "scale", "scale": [2, 1, 1]},
        {"type": "translation", "translation": [10, 20, 30]},
    ]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [{"path": "0", "coordinateTransformations": first}],
            "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}],
        }
    ]
    image = read_image(tmp_path / "a.zarr")
    assert image.scale == (2, 0.5, 0.5)
    assert image.translate == (10, 10, 15)


@pytest.mark.parametrize("translate", [(1,), (1, 2, np.nan)])
def test_a_place_is_finite_along_each_axis(stack, translate):
    with pytest.raises(ValueError, match="a finite place along each of 3"):
        an_image(stack, "ZYX", translate=translate)
