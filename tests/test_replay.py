import shlex
import shutil

import numpy as np
import pytest
import tifffile

from napari_mpi import FillConfig, denoise
from napari_mpi.cli import main
from napari_mpi.io.files import read_image
from napari_mpi.pipeline.replay import as_command, as_python
from napari_mpi.weights.folder import BUNDLED


def repeated(report, image):
    names = {"image": image}
    exec(as_python(report), names)
    return names["result"]


@pytest.mark.parametrize(
    "options",
    [
        {"n_iter": 2, "n_passes": 2, "seed": 7},
        {"preset": "paper-fast", "noise": "correlated", "n_iter": 2},
        {"preset": FillConfig(n_iter=2, averaging=0.5), "mask_ratio": 0.4},
        {"preset": "fast", "n_iter": 1, "keep_mean": False},
    ],
)
def test_python_lines_give_the_same_bits(noisy, options):
    result = denoise(noisy, **options)
    again = repeated(result.report, noisy)
    assert np.array_equal(again.image, result.image)
    assert again.report["config"] == result.report["config"]


def test_python_lines_know_colour(rng):
    image = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
    result = denoise(image, rgb=True, n_iter=1, n_passes=2)
    assert np.array_equal(repeated(result.report, image).image, result.image)


def test_both_lines_ask_for_the_uncertainty_if_the_run_did(noisy):
    result = denoise(noisy, uncertainty=True, n_iter=1, n_passes=4)
    again = repeated(result.report, noisy)
    assert np.array_equal(again.uncertainty, result.uncertainty)
    assert as_command(result.report).endswith(" --uncertainty")
    assert "uncertainty" not in as_command(denoise(noisy, n_iter=1, n_passes=2).report)


def test_the_command_gives_the_same_bits(noisy, tmp_path):
    path = tmp_path / "my cells.tif"
    tifffile.imwrite(path, noisy)
    result = denoise(noisy, preset="fast", n_iter=2, n_passes=2, seed=4)
    command = as_command(result.report, str(path), str(tmp_path / "out"))
    program, *arguments = shlex.split(command)
    assert program == "napari-mpi"
    assert main(arguments) == 0
    written = read_image(tmp_path / "out" / "my cells_denoised.ome.tif")
    assert np.array_equal(written.data, result.image)


def test_what_the_command_has_no_option_for_is_named(noisy):
    report = denoise(noisy, n_iter=1, n_passes=2, own_pixel=False).report
    with pytest.raises(ValueError, match="no option for own_pixel: .* Python"):
        as_command(report)
    report = denoise(noisy, preset=FillConfig(n_iter=1)).report
    with pytest.raises(ValueError, match="a configuration of its own"):
        as_command(report)


def test_weights_from_a_file_are_found_again(noisy, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy(BUNDLED["universal"], "lab.safetensors")
    result = denoise(noisy, weights="lab.safetensors", n_iter=1, n_passes=2)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(repeated(result.report, noisy).image, result.image)
    assert str(tmp_path / "here" / "lab.safetensors") in as_command(result.report)


def test_channels_and_chosen_planes_are_repeated(noisy):
    stack = np.stack([noisy, noisy // 4, noisy // 2])
    result = denoise(stack[1:3], channel_axis=0, n_iter=1, n_passes=2)
    report = {**result.report, "planes": "1:3"}
    assert np.array_equal(repeated(report, stack).image, result.image)
    with pytest.raises(ValueError, match=r"the planes \[1:3\] only"):
        as_command(report)


def test_a_command_treats_the_channels_of_a_file_in_the_same_way(noisy, tmp_path):
    source = tmp_path / "two.ome.tif"
    stack = np.stack([noisy, noisy // 8])
    tifffile.imwrite(source, stack, metadata={"axes": "CYX"})
    result = denoise(stack, channel_axis=0, n_iter=1, n_passes=2, device="cpu")
    words = shlex.split(as_command(result.report, str(source), str(tmp_path)))
    assert main(words[1:]) == 0
    written = read_image(tmp_path / "two_denoised.ome.tif").data
    assert np.array_equal(written, result.image)
