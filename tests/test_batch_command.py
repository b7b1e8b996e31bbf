import io
import sys

import numpy as np
import pytest
import tifffile
from image_files import write_spread

from napari_mpi import denoise_files
from napari_mpi.cli import main

QUICK = ["--preset", "fast", "--noise", "correlated", "--n-passes", "2"]


@pytest.fixture
def folder(image_folder):
    return image_folder


def batch(*arguments):
    return main(["batch", *map(str, arguments), *QUICK, "--workers", "0"])


def test_a_folder_is_denoised_and_the_results_are_listed(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert batch(folder, "-o", out, "--noise-map") == 0
    said = capsys.readouterr()
    results = [out / "a_denoised.ome.tif", out / "day1" / "b_denoised.ome.tif"]
    assert said.out.split() == [str(path) for path in results]
    assert "2 done; see" in said.err
    assert sorted(path.name for path in out.iterdir()) == [
        ".napari-mpi",
        "a_denoised.ome.tif",
        "a_noise.ome.tif",
        "batch.csv",
        "batch.html",
        "day1",
    ]


def test_a_name_that_the_terminal_cannot_show_costs_nothing(
    folder, tmp_path, monkeypatch
):
    (folder / "a.tif").rename(folder / "細胞.tif")
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="cp1252"))
    assert batch(folder, "-o", tmp_path / "out") == 0
    sys.stdout.flush()
    assert rb"\u7d30\u80de_denoised.ome.tif" in terminal.getvalue()
    assert b"b_denoised.ome.tif" in terminal.getvalue()


def test_a_failure_is_told_and_gives_exit_code_1(folder, tmp_path, capsys):
    (folder / "empty.tif").touch()
    assert batch(folder, "-o", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.count("empty.tif is empty") == 1
    assert "2 done, 1 failed" in said
    assert batch(folder, "-o", tmp_path / "out") == 1
    assert "a.tif: already done" in capsys.readouterr().err


def test_a_dry_run_forecasts_and_writes_nothing(folder, tmp_path, capsys):
    (folder / "empty.tif").touch()
    out = tmp_path / "out"
    assert batch(folder, "-o", out, "--dry-run") == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("a.tif: about ")
    assert "MiB of free memory" in lines[0]
    assert lines[0].endswith(str(out / "a_denoised.ome.tif"))
    assert lines[-1].startswith("2 of 3: about ")
    assert said.err.count("empty.tif is empty") == 1
    assert not out.exists()
    batch(folder / "a.tif", "-o", out)
    capsys.readouterr()
    batch(folder, "-o", out, "--dry-run")
    assert "a.tif: already done" in capsys.readouterr().out


def test_results_in_the_folder_itself_are_left_out(folder, capsys):
    assert batch(folder, "-o", folder) == 0
    assert batch(folder, "-o", folder) == 0
    assert "2 files are named as results are" in capsys.readouterr().err
    assert len(list(folder.rglob("*_denoised*.tif"))) == 2


def test_files_of_one_image_are_told_and_denoised_once(tmp_path, rng, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    write_spread(folder, rng.poisson(30, (2, 16, 18)).astype(np.uint16))
    assert batch(folder, "-o", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "out" / "z0_denoised.ome.tif")]
    assert "z0.ome.tif is one image together with z1.ome.tif" in said.err
    with pytest.warns(UserWarning, match=r"together with z1\.ome\.tif"):
        assert (
            len(denoise_files(folder, tmp_path / "out", noise="correlated", n_passes=2))
            == 1
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "threads is 0"),
        (["--weights", "best"], "No weights named 'best'"),
        (["--mask-ratio", "2"], "mask_ratio is 2.0"),
        (["--device", "tpu"], "'tpu' is not available"),
        (["--scheduler", "tcp://a:1"], "napari-mpi[cluster]"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(
    folder, tmp_path, capsys, arguments, message, monkeypatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert batch(folder, "-o", tmp_path / "out", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_a_dry_run_refuses_what_a_run_could_not_write(tmp_path, capsys, rng):
    folder = tmp_path / "data"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", rng.integers(0, 2**40, (32, 32), np.int64))
    assert batch(folder, "-o", tmp_path / "out", "--dry-run") == 1
    assert "a.tif: the format of the result cannot hold" in capsys.readouterr().err


def test_a_result_s_name_is_refused_where_a_folder_is_expected(
    folder, tmp_path, capsys
):
    taken = tmp_path / "taken"
    taken.touch()
    for output in (tmp_path / "out.ome.tif", taken):
        assert batch(folder, "-o", output) == 1
        assert "expected a folder" in capsys.readouterr().err
    assert not (tmp_path / "out.ome.tif").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "tiff"}, "choose one of ome-tiff, ome-zarr"),
        ({"rgb": False}, "rgb is taken from each file"),
        ({"channel_axis": 0}, "channel_axis is taken from each file"),
        ({"workers": -1}, "workers is -1: expected 0 or more"),
    ],
)
def test_what_a_batch_cannot_take_is_named(options, said, folder, tmp_path):
    with pytest.raises(ValueError, match=said):
        denoise_files(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
