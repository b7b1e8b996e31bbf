import numpy as np
import pytest
from napari.layers import Image, Labels

import napari_mpi
from napari_mpi._napari.layers import denoise_layer, noise_map_layer
from napari_mpi.pipeline.api import Denoised


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
    image = np.zeros((20, 20), np.uint8)
    result = Denoised(image, np.zeros((20, 20), np.float32), {})
    noise_map = noise_map_layer(Image(image), result)
    assert noise_map.contrast_limits == [-1, 1]
