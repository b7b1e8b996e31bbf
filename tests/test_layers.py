import numpy as np
import pytest
from napari.layers import Image, Labels

import napari_mpi
from napari_mpi import Denoised
from napari_mpi._napari.layers import (
    channel_axis,
    denoise_layer,
    denoised_layer,
    geometry_of,
    picture_layer,
    pictures,
)


def a_layer(noisy, **kwargs) -> Image:
    return Image(
        noisy,
        name="cells",
        scale=(0.2, 0.1),
        translate=(5, 6),
        rotate=30,
        shear=[0.1],
        affine=[[1, 0, 2], [0, 1, 3], [0, 0, 1]],
        units=("µm", "µm"),
        axis_labels=("y", "x"),
        contrast_limits=(100, 180),
        colormap="magenta",
        **kwargs,
    )


def test_both_layers_lie_exactly_over_the_input(noisy):
    layer = a_layer(noisy)
    for new in denoise_layer(layer, n_iter=1, n_passes=2):
        for attribute in ("scale", "translate", "rotate", "shear"):
            assert np.allclose(getattr(new, attribute), getattr(layer, attribute))
        assert np.allclose(new.affine.affine_matrix, layer.affine.affine_matrix)
        assert new.units == layer.units
        assert new.axis_labels == layer.axis_labels
        corner = (3, 4)
        assert np.allclose(new.data_to_world(corner), layer.data_to_world(corner))


def test_names_looks_and_the_report_are_as_one_expects(noisy):
    denoised, noise_map = denoise_layer(a_layer(noisy), n_iter=1, n_passes=2)
    assert (denoised.name, noise_map.name) == ("cells denoised", "cells noise map")
    assert denoised.colormap.name == "magenta"
    assert list(denoised.contrast_limits) == [100, 180]
    assert noise_map.contrast_limits[0] == -noise_map.contrast_limits[1]
    assert denoised.metadata["napari_mpi"]["config"]["n_iter"] == 1
    assert denoised.data.dtype == noisy.dtype
    assert np.array_equal(denoised.data + noise_map.data, noisy.astype(np.float32))


def test_the_input_layer_is_untouched(noisy):
    layer = a_layer(noisy.copy())
    denoise_layer(layer, n_iter=1, n_passes=2)
    assert np.array_equal(layer.data, noisy)
    assert layer.name == "cells"
    assert layer.metadata == {}


def test_without_a_viewer_the_layers_are_only_returned(noisy):
    assert len(napari_mpi.denoise_layer(Image(noisy), n_iter=1, n_passes=2)) == 2


def test_in_a_viewer_the_layers_are_added(noisy, make_napari_viewer):
    viewer = make_napari_viewer()
    layer = viewer.add_image(noisy, name="cells")
    denoised, noise_map = napari_mpi.denoise_layer(layer, n_iter=1, n_passes=2)
    assert denoised in viewer.layers
    assert noise_map in viewer.layers


def test_of_several_viewers_the_one_that_holds_the_layer_gets_them(
    noisy, make_napari_viewer
):
    viewer = make_napari_viewer()
    layer = viewer.add_image(noisy, name="cells")
    current = make_napari_viewer()
    results = napari_mpi.denoise_layer(layer, n_iter=1, n_passes=2)
    assert list(viewer.layers) == [layer, *results]
    assert not current.layers


def test_a_layer_of_another_kind_is_refused(noisy):
    with pytest.raises(TypeError, match="Expected an image layer, got Labels"):
        denoise_layer(Labels(noisy.astype(int)))


def test_a_colour_layer_keeps_its_colours_and_shows_mean_noise(rng):
    layer = Image(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8), rgb=True)
    denoised, noise_map = denoise_layer(layer, n_iter=1, n_passes=2)
    assert denoised.rgb
    assert not noise_map.rgb
    assert noise_map.data.shape == (20, 24)


def test_of_a_multiscale_layer_the_full_resolution_is_taken(noisy):
    layer = Image([noisy, noisy[::2, ::2]], multiscale=True)
    denoised, _ = denoise_layer(layer, n_iter=1, n_passes=2)
    assert denoised.data.shape == noisy.shape


def test_a_noise_map_of_zeros_can_be_shown():
    zeros = np.zeros((20, 20), np.uint8)
    result = Denoised(zeros, zeros.astype(np.float32), {})
    (picture,) = pictures(result, rgb=False)
    noise_map = picture_layer(Image(zeros), picture)
    assert noise_map.contrast_limits == [-1, 1]


def test_the_way_of_showing_is_carried_over(noisy):
    layer = a_layer(
        noisy,
        gamma=0.7,
        opacity=0.8,
        blending="additive",
        interpolation2d="spline36",
        interpolation3d="nearest",
        rendering="minip",
        attenuation=0.2,
        projection_mode="max",
    )
    layer.contrast_limits_range = (50, 400)
    denoised, _ = denoise_layer(layer, n_iter=1, n_passes=2)
    for attribute in (
        "gamma",
        "opacity",
        "blending",
        "interpolation2d",
        "interpolation3d",
        "rendering",
        "attenuation",
        "projection_mode",
        "contrast_limits_range",
    ):
        assert getattr(denoised, attribute) == getattr(layer, attribute), attribute


@pytest.mark.parametrize(
    ("shape", "labels", "axis"),
    [
        ((2, 20, 24), ("c", "y", "x"), 0),
        ((3, 2, 20, 24), ("t", "Channel", "y", "x"), 1),
        ((2, 20, 24), ("z", "y", "x"), None),
        ((20, 24), ("c", "x"), None),
    ],
)
def test_a_labelled_axis_of_channels_is_found(shape, labels, axis):
    assert channel_axis(Image(np.zeros(shape), axis_labels=labels)) == axis


def test_channels_are_denoised_one_by_one(noisy):
    two = np.stack([noisy, noisy // 8])
    layer = Image(two, axis_labels=("c", "y", "x"))
    denoised, _ = denoise_layer(layer, n_iter=1, n_passes=2)
    alone, _ = denoise_layer(Image(two[1]), n_iter=1, n_passes=2)
    np.testing.assert_array_equal(denoised.data[1], alone.data)
    assert len(denoised.metadata["napari_mpi"]["channels"]) == 2


@pytest.mark.parametrize("geometry", [{}, {"rotate": 30}])
def test_a_part_lies_where_it_was_cut_out(rng, geometry):
    stack = rng.normal(size=(6, 20, 24))
    layer = Image(stack, scale=(3, 0.5, 0.25), translate=(7, 8, 9), **geometry)
    offset = (2, 4, 6)
    part = denoised_layer(layer, stack[2:4, 4:, 6:], {}, geometry_of(layer, offset))
    for place in ((0, 0, 0), (1, 5, 7)):
        np.testing.assert_allclose(
            part.data_to_world(place), layer.data_to_world(np.add(place, offset))
        )


@pytest.mark.parametrize(
    "kind",
    ["dask", "zarr", "big-endian", "memory-mapped", "float16"],
)
def test_arrays_of_every_kind_give_the_same_result(noisy, kind, tmp_path):
    plain = np.stack([noisy, noisy[::-1]])
    if kind == "dask":
        array = pytest.importorskip("dask.array").from_array(plain, chunks=(1, 20, 48))
    elif kind == "zarr":
        array = pytest.importorskip("zarr").array(plain)
    elif kind == "memory-mapped":
        array = np.memmap(tmp_path / "stack", plain.dtype, "w+", shape=plain.shape)
        array[:] = plain
    else:
        if kind == "float16":
            plain = plain.astype(np.float16)
        array = plain.astype(">u2") if kind == "big-endian" else plain
    layer = Image(array, contrast_limits=(100, 200))
    denoised, _ = denoise_layer(layer, n_iter=1, n_passes=2)
    expected, _ = denoise_layer(Image(plain), n_iter=1, n_passes=2)
    np.testing.assert_array_equal(np.asarray(denoised.data), expected.data)
    assert np.asarray(denoised.data).dtype == plain.dtype
