"""Each fault of docs/faults.md: what is said, and that the rest goes on."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_mpi import denoise_files
from napari_mpi.batch import run as run_module
from napari_mpi.batch.api import checked_settings
from napari_mpi.batch.inputs import find_inputs
from napari_mpi.batch.job import run_job
from napari_mpi.batch.summary import Summary

SETTINGS = {"preset": "fast", "noise": "correlated", "n_passes": 2}


@pytest.fixture
def folder(rng, tmp_path):
    """Two good images, before and after the one that will not do."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "bad", "c"):
        tifffile.imwrite(
            folder / f"{name}.tif", rng.poisson(30, (2, 16, 18)).astype(np.uint16)
        )
    return folder


def batch(folder, **options):
    records = denoise_files(folder, folder.parent / "out", **SETTINGS | options)
    return {record.name: record for record in records}


def assert_costs_only_itself(folder, said, **options):
    records = batch(folder, **options)
    assert records["bad.tif"].status == "failed"
    assert said in records["bad.tif"].reason
    assert "Traceback" not in records["bad.tif"].reason
    out = folder.parent / "out"
    for name in ("a", "c"):
        assert records[f"{name}.tif"].status == "done"
        assert tifffile.imread(out / f"{name}_denoised.ome.tif").shape == (2, 16, 18)
    assert not (out / "bad_denoised.ome.tif").exists()
    assert said.split()[0] in (out / "batch.csv").read_text(encoding="utf-8-sig")


def assert_works_again(folder):
    """Once the fault is gone, the same call does what is left."""
    records = batch(folder)
    assert {record.status for record in records.values()} == {"done"}
    assert [records[f"{name}.tif"].earlier for name in ("a", "bad", "c")] == [
        True,
        False,
        True,
    ]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def clear(path):
    path.write_bytes(b"")


def put_text(path):
    path.write_text("Dear diary, today I took an image.")


def put_nan(path):
    image = tifffile.imread(path).astype(np.float32)
    image[1, 3, 4] = np.nan
    tifffile.imwrite(path, image)


def put_mask(path):
    tifffile.imwrite(path, np.eye(16, dtype=bool))


def put_tiny(path):
    tifffile.imwrite(path, np.ones((8, 8), np.uint8))


def put_wide(path):
    tifffile.imwrite(path, 2**40 + np.arange(400).reshape(20, 20).astype(np.int64))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (truncate, "is truncated"),
        (clear, "is empty (0 bytes)"),
        (put_text, "is damaged or not what its ending says"),
        (put_nan, "1 of 576 pixels are NaN or infinite"),
        (put_mask, "got bool"),
        (put_tiny, "at least 16x16 are needed"),
        (put_wide, "cannot hold int64 pixels, and float32 is exact up to 16777216"),
    ],
)
def test_a_file_that_is_no_good_image(folder, spoil, said):
    good = (folder / "bad.tif").read_bytes()
    spoil(folder / "bad.tif")
    assert_costs_only_itself(folder, said)
    (folder / "bad.tif").write_bytes(good)
    assert_works_again(folder)


def test_a_file_that_vanishes_before_its_turn(folder, monkeypatch):
    held = folder.parent / "held.tif"
    read = run_module.read_image

    def vanishing(path, series):
        if path.name == "a.tif":
            shutil.move(folder / "bad.tif", held)
        return read(path, series)

    monkeypatch.setattr(run_module, "read_image", vanishing)
    assert_costs_only_itself(folder, "There is no file")
    shutil.move(held, folder / "bad.tif")
    monkeypatch.undo()
    assert_works_again(folder)


def test_a_file_that_is_changed_while_it_is_at_work(folder, monkeypatch):
    read = run_module.read_image

    def changing(path, series):
        image = read(path, series)
        if path.name == "bad.tif":
            tifffile.imwrite(path, np.asarray(image.data)[:, ::-1])
        return image

    monkeypatch.setattr(run_module, "read_image", changing)
    assert_costs_only_itself(folder, "was changed while it was at work")
    monkeypatch.undo()
    assert_works_again(folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "bad.tif"),
            "no permission",
        ),
        (MemoryError(), "memory ran out"),
        (MemoryError("There is too little free memory."), "too little free memory"),
        (OSError(errno.EIO, "Input/output error", "bad.tif"), "Input/output error"),
        (ZeroDivisionError("a bug of ours"), "ZeroDivisionError: a bug of ours"),
    ],
    ids=["locked", "memory", "memory in words", "medium", "bug"],
)
def test_an_error_while_reading(folder, monkeypatch, error, said):
    read = run_module.read_image

    def failing(path, series):
        if path.name == "bad.tif":
            raise error
        return read(path, series)

    monkeypatch.setattr(run_module, "read_image", failing)
    assert_costs_only_itself(folder, said)
    monkeypatch.undo()
    assert_works_again(folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError("99 requested and 9 written"), "the disk took only a part"),
        (PermissionError(errno.EACCES, "denied", "OUT"), "no permission for OUT"),
    ],
    ids=["full", "full within a file", "permission lost"],
)
@pytest.mark.parametrize("step", ["write_bytes", "write_image", "publish"])
def test_an_error_while_writing(folder, monkeypatch, step, error, said):
    """Of a finished plane, of the result, and of its final name."""
    module = {
        "write_bytes": "napari_mpi.batch.checkpoints",
        "write_image": "napari_mpi.batch.results",
        "publish": "napari_mpi.batch.job",
    }[step]
    write = getattr(sys.modules[module], step)

    def failing(path, *args):
        if "bad" in str(path):
            raise error
        return write(path, *args)

    monkeypatch.setattr(f"{module}.{step}", failing)
    assert_costs_only_itself(folder, said, noise_map=True)
    assert not list((folder.parent / "out").glob("bad*"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small disk")
def test_a_disk_that_is_really_full(folder, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(small)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        records = denoise_files(folder, small / "out", **SETTINGS)
        assert [record.status for record in records] == ["failed"] * 3
        assert all("the disk is full" in record.reason for record in records)
        left = [path for path in (small / "out").rglob("*.part*") if path.is_file()]
        assert left == []
        subprocess.run(["mount", "-o", "remount,size=30m", str(small)], check=True)
        records = denoise_files(folder, small / "out", **SETTINGS)
        assert [record.status for record in records] == ["done"] * 3
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_takes_no_result_is_told_before_the_work(folder, monkeypatch):
    (folder / "day1").mkdir()
    shutil.move(folder / "bad.tif", folder / "day1" / "bad.tif")
    touch = Path.touch

    def refusing(path, *args, **kwargs):
        if path.parent.name == "day1":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        touch(path, *args, **kwargs)

    monkeypatch.setattr(Path, "touch", refusing)
    steps = []
    job = find_inputs([folder / "day1"], folder.parent / "out" / "day1").jobs[0]
    record = run_job(job, checked_settings(SETTINGS), steps.append)
    assert record.status == "failed"
    assert f"no permission for {job.target.parent}" in record.reason
    assert steps == []
    records = batch(folder)
    assert records["day1/bad.tif"].status == "failed"
    assert records["c.tif"].status == "done"


def test_a_folder_of_results_that_is_a_file(folder):
    out = folder.parent / "out"
    out.mkdir()
    (folder / "day1").mkdir()
    shutil.move(folder / "bad.tif", folder / "day1" / "bad.tif")
    (out / "day1").write_text("a file, not a folder")
    records = batch(folder)
    assert records["day1/bad.tif"].status == "failed"
    assert "File exists" in records["day1/bad.tif"].reason
    assert records["c.tif"].status == "done"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes any bytes")
@pytest.mark.parametrize("format", ["ome-tiff", "ome-zarr"])
def test_a_name_that_is_no_text_costs_nothing(folder, format):
    if format == "ome-zarr":
        pytest.importorskip("zarr")
    latin = os.fsdecode(b"caf\xe9.tif")
    shutil.move(folder / "bad.tif", folder / latin)
    records = batch(folder, format=format, workers=1 if format == "ome-tiff" else 0)
    assert {record.status for record in records.values()} == {"done"}
    out = folder.parent / "out"
    ending = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}[format]
    assert (out / f"{latin.removesuffix('.tif')}_denoised{ending}").exists()
    assert r"caf\udce9.tif" in (out / "batch.csv").read_text(encoding="utf-8-sig")
    assert r"caf\udce9.tif" in (out / "batch.html").read_text(encoding="utf-8")
    assert all(record.earlier for record in batch(folder, format=format).values())


def test_a_summary_that_cannot_be_written_costs_no_image(folder):
    out = folder.parent / "out"
    (out / "batch.csv").mkdir(parents=True)
    with pytest.warns(UserWarning, match="There is no summary"):
        records = batch(folder)
    assert {record.status for record in records.values()} == {"done"}


def test_a_record_that_is_damaged_is_made_again(folder):
    batch(folder)
    out = folder.parent / "out"
    for path in out.rglob("record.json"):
        path.write_text('{"name": ')
    assert Summary(out, []).records() == {}
    assert {record.earlier for record in batch(folder).values()} == {False}
