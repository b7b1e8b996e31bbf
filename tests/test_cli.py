import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

import napari_mpi
from napari_mpi.cli import main
from napari_mpi.io.files import read_image
from napari_mpi.pipeline.stack_denoising import StackDenoising


@pytest.fixture
def image_file(noisy, tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(
        path,
        np.stack([noisy, noisy]),
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "TYX", "unit": "um", "finterval": 2.0},
    )
    return path


def test_denoise_writes_ome_tiffs_with_axes_and_record(image_file, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["denoise", str(image_file), "-o", str(out), "--noise-map"]
    assert main([*command, "--n-iter", "2", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "cells_denoised.ome.tif")
    noisy = read_image(image_file)
    denoised = read_image(out / "cells_denoised.ome.tif")
    noise_map = read_image(out / "cells_noise.ome.tif")
    assert denoised.axes == "TYX"
    assert denoised.scale == pytest.approx((2.0, 0.1, 0.1))
    assert denoised.units == ("s", "µm", "µm")
    assert denoised.data.dtype == noisy.data.dtype
    assert noise_map.data.dtype == np.float32
    assert np.array_equal(denoised.data + noise_map.data, noisy.data.astype("f4"))
    assert json.loads(denoised.description)["napari_mpi"]["seed"] == 3
    assert sorted(path.name for path in out.iterdir()) == [
        "cells_denoised.ome.tif",
        "cells_noise.ome.tif",
    ]


def test_the_uncertainty_is_written_too(image_file, tmp_path):
    command = ["denoise", str(image_file), "-o", str(tmp_path), "--uncertainty"]
    assert main([*command, "--n-iter", "1", "--n-passes", "2"]) == 0
    written = read_image(tmp_path / "cells_uncertainty.ome.tif")
    assert written.axes == "TYX"
    assert written.scale == pytest.approx((2.0, 0.1, 0.1))
    assert written.data.dtype == np.float32
    assert not (tmp_path / "cells_noise.ome.tif").exists()


def test_denoise_takes_an_output_file(image_file, tmp_path):
    target = tmp_path / "new" / "result.tif"
    assert main(["denoise", str(image_file), "-o", str(target), "--n-iter", "1"]) == 0
    assert read_image(target).axes == "TYX"


def test_a_folder_is_one_stack(noisy, tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    for name in ("1", "10", "2"):
        tifffile.imwrite(folder / f"{name}.tif", noisy)
    assert main(["denoise", str(folder), "-o", str(tmp_path), "--n-iter", "1"]) == 0
    assert read_image(tmp_path / "series_denoised.ome.tif").data.shape[0] == 3


def test_a_bad_file_costs_only_itself(image_file, tmp_path, capsys):
    bad = tmp_path / "broken.tif"
    bad.write_bytes(image_file.read_bytes()[:300])
    out = tmp_path / "out"
    command = ["denoise", str(bad), str(image_file), "-o", str(out)]
    assert main([*command, "--n-iter", "1"]) == 1
    message = capsys.readouterr().err
    assert message.count("broken.tif") == 1
    assert "1 of 2 inputs failed" in message
    assert [path.name for path in out.iterdir()] == ["cells_denoised.ome.tif"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tif"], "There is no file"),
        (["cells.tif", "--weights", "best"], "No weights named 'best'"),
        (["cells.tif", "--device", "tpu"], "'tpu' is not available"),
        (["cells.tif", "--mask-ratio", "2"], "mask_ratio is 2.0"),
        (["cells.tif", "cells/../cells.tif"], "would both be written"),
    ],
)
def test_errors_are_one_plain_line(
    image_file, tmp_path, capsys, arguments, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells").mkdir()
    out = tmp_path / "out"
    assert main(["denoise", *arguments, "-o", str(out), "--n-iter", "1"]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not out.exists() or not list(out.iterdir())


def test_a_wrong_command_is_a_usage_error(capsys):
    for arguments in (
        [],
        ["denoise"],
        ["denoise", "a.tif", "-o", "b", "--preset", "best"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    assert "paper-fast" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_said_at_once(image_file, tmp_path, capsys):
    blocker = tmp_path / "blocker"
    blocker.write_text("a file, not a folder")
    assert main(["denoise", str(image_file), "-o", str(blocker / "out")]) == 1
    assert "blocker" in capsys.readouterr().err
    assert main(["denoise", str(image_file), "-o", str(blocker)]) == 1
    assert "blocker is a file: expected a folder" in capsys.readouterr().err


def test_missing_permission_is_said_in_words(image_file, tmp_path, capsys, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tifffile.imwrite", refuse)
    assert main(["denoise", str(image_file), "-o", str(tmp_path), "--n-iter", "1"]) == 1
    message = capsys.readouterr().err
    assert f"Not allowed to write {tmp_path / 'cells_denoised.ome.tif'}" in message
    assert "choose another folder" in message


def test_a_folder_that_takes_no_file_is_told_before_the_work(
    image_file, tmp_path, capsys, monkeypatch
):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    out = tmp_path / "out"
    # It would take for ever.
    command = ["denoise", str(image_file), "-o", str(out), "--n-iter", "1000000"]
    assert main(command) == 1
    assert f"no permission for {out}: choose a folder" in capsys.readouterr().err


def test_bad_pixels_are_refused_with_nothing_written(noisy, tmp_path, capsys):
    image = noisy.astype(np.float32)
    image[0, 0] = np.inf
    path, out = tmp_path / "inf.tif", tmp_path / "out"
    tifffile.imwrite(path, image)
    assert main(["denoise", str(path), "-o", str(out)]) == 1
    assert "1 of 1920 pixels" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("names", "output", "lost"),
    [
        (["cells.ome.tif", "cells_noise.ome.tif"], ".", "cells_noise.ome.tif"),
        (["raw_noise.ome.tif"], "raw_denoised.ome.tif", "raw_noise.ome.tif"),
        (["a.ome.tif", "a_denoised.ome.tif"], ".", "a_denoised.ome.tif"),
        (["a.ome.tif"], "a.ome.tif", "a.ome.tif"),
    ],
)
def test_no_input_is_written_over(names, output, lost, noisy, tmp_path, capsys):
    paths = [tmp_path / name for name in names]
    for path in paths:
        tifffile.imwrite(path, noisy)
    before = [path.read_bytes() for path in paths]
    command = ["denoise", *map(str, paths), "-o", str(tmp_path / output)]
    assert main([*command, "--noise-map", "--n-iter", "1"]) == 1
    assert f"written over the input {tmp_path / lost}" in capsys.readouterr().err
    assert [path.read_bytes() for path in paths] == before
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_noise_map_that_has_no_place_is_told_before_the_work(noisy, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "r.tif", noisy)
    (tmp_path / "r_noise.ome.zarr").mkdir()
    command = ["denoise", str(tmp_path / "r.tif"), "-o", str(tmp_path / "r.ome.zarr")]
    # It would take for ever.
    assert main([*command, "--noise-map", "--n-iter", "1000000"]) == 1
    assert "was not written by napari-mpi" in capsys.readouterr().err


def test_a_name_with_dots_keeps_them(noisy, tmp_path):
    path, out = tmp_path / "cells.v2.tif", tmp_path / "out"
    tifffile.imwrite(path, noisy)
    command = ["denoise", str(path), "-o", str(out), "--noise-map", "--n-iter", "1"]
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "cells.v2_denoised.ome.tif",
        "cells.v2_noise.ome.tif",
    ]


def test_pixels_that_the_output_cannot_hold_are_refused_before_the_work(
    noisy, tmp_path, capsys
):
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, noisy.astype(np.int64))
    command = ["denoise", str(path), "-o", str(tmp_path), "--n-iter", "100000"]
    command += ["--pixel-type", "input"]
    assert main(command) == 1
    assert "cannot hold int64 pixels: name a .tif" in capsys.readouterr().err


def test_demo_prints_the_gain_and_writes_files_to_look_at(tmp_path, capsys):
    command = ["demo", "-o", str(tmp_path), "--planes", "1", "--size", "64"]
    assert main([*command, "--n-iter", "30", "--averaging", "0.8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    before, after = (float(line.split()[2]) for line in lines[:2])
    assert after > before + 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "demo.png",
        "demo_noisy.ome.tif",
        "demo_denoised.ome.tif",
        "demo_noise.ome.tif",
        "demo_truth.ome.tif",
    }


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--planes", "0"], "--planes is 0: expected at least 1."),
        (["--size", "15"], "--size is 15: expected at least 16."),
    ],
)
def test_a_demo_of_nothing_is_refused(tmp_path, capsys, option, said):
    assert main(["demo", "-o", str(tmp_path / "out"), *option]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("default")
def test_warnings_name_the_image_that_they_are_about(tmp_path, capsys):
    paths = [tmp_path / f"{name}.tif" for name in "ab"]
    for path in paths:
        tifffile.imwrite(path, np.full((32, 32), 7, np.uint16))
    assert main(["denoise", *map(str, paths), "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    for path in paths:
        assert f"warning: {path.name}: The image is constant" in said


def test_info_names_versions_devices_and_weights(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("napari-mpi", "torch", "cpu (", "universal"):
        assert word in text
    assert "universal: for gray images" in text


def test_pretrain_makes_weights_that_denoise_takes(image_file, tmp_path, rng, capsys):
    folder, weights = tmp_path / "clean", tmp_path / "lab.safetensors"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", rng.integers(0, 999, (2, 70, 80)).astype("u2"))
    command = ["pretrain", str(folder), "-o", str(weights), "--init", "bundled"]
    assert main([*command, "--steps", "2", "--batch-size", "2"]) == 0
    assert "not compared with any other weights" in capsys.readouterr().err
    for suffix in (".safetensors", ".loss.csv", ".loss.png"):
        assert weights.with_suffix(suffix).stat().st_size > 0
    command = ["denoise", str(image_file), "-o", str(tmp_path), "--n-iter", "1"]
    assert main([*command, "--weights", str(weights)]) == 0


def test_pretrain_says_how_the_weights_do_on_held_out_images(tmp_path, rng, capsys):
    folder = tmp_path / "clean"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", rng.integers(0, 999, (64, 128)).astype("u2"))
    command = ["pretrain", str(folder), "-o", str(tmp_path / "lab.safetensors")]
    assert main([*command, "--steps", "1", "--batch-size", "1"]) == 0
    assert "Not better than universal: keep those" in capsys.readouterr().err


def test_pretrain_names_what_is_wrong_with_a_folder(tmp_path, capsys):
    output = ["-o", str(tmp_path / "lab.safetensors"), "--steps", "1"]
    assert main(["pretrain", str(tmp_path), *output]) == 1
    assert "holds no image to train on" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "tiny.tif", np.zeros((20, 20), np.uint8))
    assert main(["pretrain", str(tmp_path), *output]) == 1
    assert "tiny.tif: 20x20 is smaller than the crop" in capsys.readouterr().err
    assert not (tmp_path / "lab.safetensors").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_stops_cleanly(image_file, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "napari_mpi", "denoise", str(image_file),
            "-o", str(out), "--n-iter", "100000",
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    # Where the signal meets code that Python compiles at run time, as during a lazy
    # import, Python itself ends by the signal; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "stopped" in errors
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []


def test_a_forecast_says_what_a_run_takes_and_writes_nothing(
    image_file, tmp_path, capsys
):
    out = tmp_path / "out"
    assert main(["denoise", str(image_file), "-o", str(out), "--forecast"]) == 0
    said = capsys.readouterr().out
    assert "cells.tif: about " in said
    assert "MiB of free memory" in said
    assert not out.exists()


def test_a_failure_of_torch_costs_one_input_only(
    image_folder, tmp_path, capsys, monkeypatch
):
    def fail(self, n_planes=None):
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(StackDenoising, "forecast", fail)
    images = [str(path) for path in image_folder.rglob("*.tif")]
    out = tmp_path / "out"
    assert main(["denoise", *images, "-o", str(out), "--forecast"]) == 1
    assert capsys.readouterr().err.count("the driver is gone") == len(images) == 2


def test_results_cannot_be_named_as_what_is_not_written(image_folder, tmp_path, capsys):
    image = next(image_folder.iterdir())
    assert main(["denoise", str(image), "-o", str(tmp_path / "out.png")]) == 1
    assert "results are written as .ome.tif" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == napari_mpi.__version__


def test_a_mask_is_refused_for_what_it_is(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "mask.tif", np.eye(32, dtype=bool))
    assert main(["denoise", str(tmp_path / "mask.tif"), "-o", str(tmp_path / "o")]) == 1
    assert "A mask has no noise to remove" in capsys.readouterr().err
