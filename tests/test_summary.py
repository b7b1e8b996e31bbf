import csv
import re

import numpy as np
import pytest
import tifffile

from napari_mpi.batch.api import checked_settings, iter_batch
from napari_mpi.batch.inputs import Inputs, find_inputs
from napari_mpi.batch.job import run_job
from napari_mpi.batch.summary import Summary

SETTINGS = checked_settings({"preset": "fast", "noise": "correlated", "n_passes": 2})


@pytest.fixture
def found(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "b", "<b>"):
        tifffile.imwrite(folder / f"{name}.tif", rng.poisson(30, (16, 18)).astype("u2"))
    (folder / "b.tif").write_bytes(b"")
    return find_inputs([folder], tmp_path / "out")


def rows_of(output):
    with (output / "batch.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_both_summaries_are_complete_from_the_first_image_on(found, tmp_path):
    out = tmp_path / "out"
    seen = []
    for _ in iter_batch(found, out, SETTINGS):
        seen.append(sorted(row["status"] for row in rows_of(out).values()))
        page = (out / "batch.html").read_text(encoding="utf-8")
        assert page.endswith("</html>\n")
    assert seen[0] == ["done", "waiting", "waiting"]
    rows = rows_of(out)
    assert rows["a.tif"]["status"] == rows["<b>.tif"]["status"] == "done"
    assert rows["b.tif"]["status"] == "failed"
    assert "is empty" in rows["b.tif"]["reason"]
    assert rows["a.tif"]["planes"] == "1/1"
    assert float(rows["a.tif"]["noise"]) == pytest.approx(np.sqrt(30), rel=0.5)
    assert re.fullmatch("[0-9a-f]{64}", rows["a.tif"]["output_sha256"])


def test_the_page_stands_alone_and_shows_the_pictures(found, tmp_path):
    list(iter_batch(found, tmp_path / "out", SETTINGS))
    page = (tmp_path / "out" / "batch.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    assert "http" not in page
    assert "&lt;b&gt;.tif" in page
    assert "<b>" not in page
    assert "1 failed, 2 done" in page or "2 done, 1 failed" in page


def test_an_image_that_is_refused_is_named_beside_the_one_that_has_its_name(
    rng, tmp_path
):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        image = rng.poisson(30, (16, 18)).astype("u2")
        tifffile.imwrite(tmp_path / folder / "a.tif", image)
    found = find_inputs([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    list(iter_batch(found, tmp_path / "out", SETTINGS))
    with (tmp_path / "out" / "batch.csv").open(encoding="utf-8-sig") as file:
        status = {row["source"]: row["status"] for row in csv.DictReader(file)}
    assert status == {
        str(tmp_path / "one" / "a.tif"): "done",
        str(tmp_path / "two" / "a.tif"): "failed",
    }


def test_what_another_run_finishes_meanwhile_is_seen(found, tmp_path):
    summary = Summary(tmp_path / "out", found.jobs)
    run_job(found.jobs[0], SETTINGS)
    summary.write()
    assert rows_of(tmp_path / "out")[found.jobs[0].name]["status"] == "done"


def test_what_was_done_earlier_stays_in_the_summary(found, tmp_path):
    list(iter_batch(Inputs(found.jobs[:1]), tmp_path / "out", SETTINGS))
    list(iter_batch(Inputs(found.jobs[1:]), tmp_path / "out", SETTINGS))
    assert len(rows_of(tmp_path / "out")) == 3


def test_what_failed_earlier_stays_in_the_summary_while_its_image_is_there(
    found, tmp_path
):
    broken = next(job for job in found.jobs if job.name == "b.tif")
    good = [job for job in found.jobs if job is not broken]
    list(iter_batch(Inputs([broken]), tmp_path / "out", SETTINGS))
    list(iter_batch(Inputs(good), tmp_path / "out", SETTINGS))
    rows = rows_of(tmp_path / "out")
    assert rows["b.tif"]["status"] == "failed"
    assert "is empty" in rows["b.tif"]["reason"]
    broken.source.unlink()
    list(iter_batch(Inputs(good), tmp_path / "out", SETTINGS))
    assert "b.tif" not in rows_of(tmp_path / "out")


def test_results_that_were_moved_have_one_line_each(found, tmp_path):
    good = Inputs([job for job in found.jobs if job.name == "a.tif"])
    list(iter_batch(good, tmp_path / "out", SETTINGS))
    moved = tmp_path / "moved"
    (tmp_path / "data").rename(moved)
    found = find_inputs([moved / "a.tif"], tmp_path / "out")
    list(iter_batch(found, tmp_path / "out", SETTINGS))
    [row] = rows_of(tmp_path / "out").values()
    assert (row["status"], row["source"]) == ("done", str(moved / "a.tif"))
    table = (tmp_path / "out" / "batch.csv").read_text(encoding="utf-8-sig")
    assert len(table.splitlines()) == 2
