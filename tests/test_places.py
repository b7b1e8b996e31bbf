import json
import os

import numpy as np
import pytest
import tifffile

from napari_mpi import denoise_files
from napari_mpi.batch.api import checked_settings
from napari_mpi.batch.inputs import find_inputs
from napari_mpi.batch.plan import iter_plan

OPTIONS = {"preset": "fast", "noise": "correlated", "n_passes": 2}


@pytest.fixture
def folder(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    tifffile.imwrite(folder / "cell.tif", rng.poisson(30, (16, 18)).astype("u2"))
    return folder


@pytest.fixture
def days(rng, tmp_path):
    """Two folders that hold different images of one name."""
    days = [tmp_path / "data" / day for day in ("day1", "day2")]
    for day in days:
        day.mkdir(parents=True)
        tifffile.imwrite(day / "pos1.tif", rng.poisson(30, (16, 18)).astype("u2"))
    return days


def write_another(path):
    tifffile.imwrite(path, np.arange(256, dtype=np.uint8).reshape(16, 16))
    return path.read_bytes()


def test_files_that_are_called_as_extras_are_not_removed(folder):
    paths = [folder / f"cell_{what}.ome.tif" for what in ("noise", "uncertainty")]
    before = [write_another(path) for path in paths]
    [record] = denoise_files(folder / "cell.tif", folder, **OPTIONS)
    assert record.status == "done"
    assert [path.read_bytes() for path in paths] == before


def test_a_folder_that_is_called_as_an_extra_is_not_removed(folder):
    pytest.importorskip("zarr")
    notes = folder / "cell_noise.ome.zarr" / "my_notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    options = OPTIONS | {"format": "ome-zarr"}
    [record] = denoise_files(folder / "cell.tif", folder, **options)
    assert record.status == "done"
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("what", ["denoised", "noise", "uncertainty"])
def test_a_result_is_not_written_over_a_file_of_another_program(folder, what):
    path = folder / f"cell_{what}.ome.tif"
    before = write_another(path)
    options = OPTIONS | {"noise_map": True, "uncertainty": True}
    [record] = denoise_files(folder / "cell.tif", folder, **options)
    assert record.status == "failed"
    assert f"{path} is there already and was not written by" in record.reason
    assert [one.name for one in folder.glob("*_*")] == [path.name]
    assert path.read_bytes() == before


def test_a_result_of_ours_is_replaced_though_its_record_of_the_batch_is_gone(folder):
    [first] = denoise_files(folder, folder, **OPTIONS)
    for path in (folder / ".napari-mpi").rglob("record.json"):
        path.unlink()
    [second] = denoise_files(folder, folder, **OPTIONS)
    assert not second.earlier
    assert second.output_sha256 == first.output_sha256


def test_a_damaged_result_is_replaced_after_a_failure_too(folder):
    image = folder / "cell.tif"
    [first] = denoise_files(folder, folder, **OPTIONS)
    good = image.read_bytes()
    (folder / "cell_denoised.ome.tif").write_bytes(b"damaged")
    image.write_bytes(b"")
    [failed] = denoise_files(folder, folder, **OPTIONS)
    assert failed.status == "failed"
    image.write_bytes(good)
    [second] = denoise_files(folder, folder, **OPTIONS)
    assert second.output_sha256 == first.output_sha256


def test_the_result_of_another_folder_is_not_replaced(days, tmp_path):
    out = tmp_path / "out"
    [first] = denoise_files(days[0], out, **OPTIONS)
    [second] = denoise_files(days[1], out, **OPTIONS)
    assert second.status == "failed"
    assert f"is the result of {days[0] / 'pos1.tif'}" in second.reason
    assert "the folder above both" in second.reason
    [again] = denoise_files(days[0], out, **OPTIONS)
    assert again.earlier
    assert again.output_sha256 == first.output_sha256
    [planned] = iter_plan(find_inputs([days[1]], out), checked_settings(OPTIONS))
    assert planned.reason == second.reason


def test_an_image_as_large_and_as_old_as_another_is_not_taken_for_it(days, tmp_path):
    for day in days:
        os.utime(day / "pos1.tif", (1, 1))
    out = tmp_path / "out"
    denoise_files(days[0], out, **OPTIONS)
    [second] = denoise_files(days[1], out, **OPTIONS)
    assert second.status == "failed"
    (days[0] / "pos1.tif").unlink()
    [second] = denoise_files(days[1], out, **OPTIONS)
    assert (second.status, second.earlier) == ("done", False)


def test_the_result_of_another_folder_is_not_replaced_after_a_failure(days, tmp_path):
    out = tmp_path / "out"
    denoise_files(days[0], out, **OPTIONS)
    before = (out / "pos1_denoised.ome.tif").read_bytes()
    image = days[0] / "pos1.tif"
    whole = image.read_bytes()
    image.write_bytes(whole[:-10])
    [failed] = denoise_files(days[0], out, **OPTIONS)
    assert failed.status == "failed"
    [second] = denoise_files(days[1], out, **OPTIONS)
    assert second.status == "failed"
    assert f"is the result of {days[0] / 'pos1.tif'}" in second.reason
    assert (out / "pos1_denoised.ome.tif").read_bytes() == before


def test_the_summary_tells_of_both_images_that_want_one_place(days, tmp_path):
    for day in days:
        denoise_files(day, tmp_path / "out", **OPTIONS)
    table = (tmp_path / "out" / "batch.csv").read_text(encoding="utf-8-sig")
    assert table.count("pos1.tif,done") == table.count("pos1.tif,failed") == 1
    page = (tmp_path / "out" / "batch.html").read_text(encoding="utf-8")
    assert page.count("<img") == 1


def test_both_folders_given_together_keep_their_results_apart(days, tmp_path):
    records = denoise_files(days[0].parent, tmp_path / "out", **OPTIONS)
    assert [record.status for record in records] == ["done", "done"]


def test_the_place_of_an_image_that_is_gone_is_free(days, tmp_path):
    denoise_files(days[0], tmp_path / "out", **OPTIONS)
    (days[0] / "pos1.tif").unlink()
    [record] = denoise_files(days[1], tmp_path / "out", **OPTIONS)
    assert record.status == "done"
    [stored] = (tmp_path / "out").rglob("record.json")
    assert json.loads(stored.read_text())["source"] == str(days[1] / "pos1.tif")
