import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_files import write_spread

from napari_mpi.batch.inputs import find_inputs


@pytest.fixture
def folder(tmp_path):
    """Images in folders, and files that are none."""
    folder = tmp_path / "data"
    for name in (
        "b.tif",
        "day1/a.ome.tif",
        "day1/deep/a.mrc",
        "day2/a.tif",
        "notes.txt",
        ".hidden/a.tif",
        "day1/.a.tif",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def places(found, output):
    return {job.name: job.target.relative_to(output).as_posix() for job in found.jobs}


def test_folders_are_searched_and_results_keep_their_places(folder, tmp_path):
    out = tmp_path / "out"
    assert places(find_inputs([folder], out), out) == {
        "b.tif": "b_denoised.ome.tif",
        "day1/a.ome.tif": "day1/a_denoised.ome.tif",
        "day1/deep/a.mrc": "day1/deep/a_denoised.ome.tif",
        "day2/a.tif": "day2/a_denoised.ome.tif",
    }


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.tif", {"b.tif"}),
        ("day?/*.tif", {"day1/a.ome.tif", "day2/a.tif"}),
        ("**/*.mrc", {"day1/deep/a.mrc"}),
        ("day2/a.tif", {"a.tif"}),
    ],
)
def test_patterns_and_single_files(folder, tmp_path, pattern, names):
    found = find_inputs([folder / pattern], tmp_path / "out")
    assert {job.name for job in found.jobs} == names
    assert not found.refused


def test_the_same_file_given_twice_is_one_job(folder, tmp_path):
    inputs = [folder / "b.tif", folder / "*.tif", folder]
    found = find_inputs(inputs, tmp_path / "out")
    assert sorted(job.name for job in found.jobs).count("b.tif") == 1
    assert len(found.jobs) == 4


@pytest.mark.parametrize("output", ["data", "data/results", "out"])
def test_results_are_never_taken_as_inputs(folder, tmp_path, output):
    output = tmp_path / output
    before = find_inputs([folder], output)
    for job in before.jobs:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        job.target.touch()
        noise_map = job.target.name.replace("_denoised", "_noise")
        job.target.with_name(noise_map).touch()
        (job.work_folder / "staged").mkdir(parents=True)
        (job.work_folder / "staged" / "a.tif").touch()
    assert find_inputs([folder], output).jobs == before.jobs
    assert find_inputs([folder / "**/*.tif"], output).n_results == 8 * (
        output == folder
    )
    assert find_inputs([before.jobs[0].target], output).jobs == []


def test_two_images_never_share_a_result(folder, tmp_path):
    (folder / "b.mrc").touch()
    found = find_inputs([folder], tmp_path / "out")
    targets = [job.target for job in found.jobs]
    assert len(set(targets)) == len(targets) == 4
    [(job, said)] = found.refused
    assert job.name == "b.tif"
    assert "b_denoised.ome.tif" in said
    assert "b.mrc" in said


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["cell.jpg", "cell.tif"], "cell.tif"),
        (["cell.JPEG", "cell.nd2"], "cell.nd2"),
        (["cell.png", "cell.mrc"], "cell.mrc"),
        (["cell.jpg", "cell.png"], "cell.png"),
    ],
)
@pytest.mark.parametrize("given", [list, reversed])
def test_a_picture_of_an_image_is_left_out_for_it(tmp_path, names, taken, given):
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.touch()
    found = find_inputs(given(paths), tmp_path / "out")
    assert [job.name for job in found.jobs] == [taken]
    assert not found.refused
    [picture] = set(names) - {taken}
    [said] = found.left_out
    assert said.startswith(f"{picture} is left out for {taken} beside it")


def test_a_picture_in_another_folder_is_none_of_the_image(tmp_path):
    paths = [tmp_path / "day1" / "cell.jpg", tmp_path / "day2" / "cell.tif"]
    found = find_inputs(paths, tmp_path / "out")
    assert [job.name for job in found.jobs] == ["cell.jpg"]
    assert [job.name for job, _ in found.refused] == ["cell.tif"]


def test_an_image_that_is_spread_over_files_is_one_job(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    files = write_spread(folder, np.zeros((3, 16, 18), np.uint16))
    found = find_inputs([folder], tmp_path / "out")
    [job] = found.jobs
    assert job.source == files[0]
    assert job.files == tuple(files)
    [said] = found.left_out
    assert "z0.ome.tif is one image together with z1.ome.tif, z2.ome.tif" in said
    assert not found.refused


def test_parts_behind_a_link_are_recognised(tmp_path):
    files = write_spread(tmp_path, np.zeros((2, 16, 18), np.uint16))
    links = tmp_path / "links"
    links.mkdir()
    for file in files:
        (links / file.name).symlink_to(file)
    assert len(find_inputs([links], tmp_path / "out").jobs) == 1


def write_store(path):
    """Describe a folder as an OME-Zarr image."""
    path.mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps({"multiscales": [{}]}))


@pytest.mark.parametrize("given", ["", "*", "**/*", "cells"])
def test_an_ome_zarr_folder_of_any_name_is_an_image(tmp_path, given):
    write_store(tmp_path / "data" / "cells")
    write_store(tmp_path / "data" / "cells" / "labels")
    found = find_inputs([tmp_path / "data" / given], tmp_path / "out")
    assert [job.name for job in found.jobs] == ["cells"]
    assert found.jobs[0].target.name == "cells_denoised.ome.tif"
    assert not found.refused


def test_a_linked_folder_is_left_out_and_told(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.tif").touch()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "day2" / "again").symlink_to(folder / "day1")
    found = find_inputs([folder], tmp_path / "out")
    assert "c.tif" not in {job.source.name for job in found.jobs}
    [said] = found.left_out
    assert f"{folder / 'linked'} is a link to a folder" in said
    found = find_inputs([folder / "linked"], tmp_path / "out")
    assert [job.name for job in found.jobs] == ["c.tif"]


def test_what_finds_nothing_is_told(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    found = find_inputs([empty, folder / "*.png"], tmp_path / "out")
    assert not found.jobs
    assert [job.name for job, _ in found.refused] == [str(empty), str(folder / "*.png")]
    assert "holds no image" in found.refused[0][1]
    assert "no image fits" in found.refused[1][1]


def test_a_missing_file_is_a_job_that_will_say_so(tmp_path):
    found = find_inputs([tmp_path / "gone.tif"], tmp_path / "out")
    assert [job.name for job in found.jobs] == ["gone.tif"]


def test_a_folder_that_cannot_be_searched_is_told(folder, tmp_path, monkeypatch):
    walk = find_inputs.__globals__["os"].walk

    def refusing(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(folder / "day1")))
        yield from walk(folder / "day2")

    monkeypatch.setattr("napari_mpi.batch.inputs.os.walk", refusing)
    found = find_inputs([folder], tmp_path / "out")
    assert [job.source.name for job in found.jobs] == ["a.tif"]
    assert "cannot be searched: Permission denied" in found.refused[0][1]


@pytest.mark.parametrize("method", ["is_dir", "glob"])
def test_a_path_that_may_not_be_looked_at_costs_no_other(
    folder, tmp_path, monkeypatch, method
):
    shut = tmp_path / "shut"
    call = getattr(Path, method)

    def refusing(self, *args, **kwargs):
        if self.name == "shut":
            raise PermissionError(13, "Permission denied", str(self))
        return call(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, refusing)
    given = shut if method == "is_dir" else shut / "*.tif"
    found = find_inputs([given, folder / "b.tif"], tmp_path / "out")
    assert [job.name for job in found.jobs] == ["b.tif"]
    [(job, said)] = found.refused
    assert job.name == str(given)
    assert f"no permission for {shut}" in said


def test_work_folders_tell_the_image_and_are_never_shared(folder, tmp_path):
    jobs = find_inputs([folder], tmp_path / "out").jobs
    assert len({job.id for job in jobs}) == len(jobs)
    assert all(Path(job.id).name == job.id for job in jobs)
    assert jobs[1].id.startswith("day1-a-ome-tif-")


def test_images_of_equal_names_in_a_file_are_told_apart(tmp_path):
    names = ("a-2", "a", "a")
    with tifffile.TiffWriter(tmp_path / "cells.ome.tif") as tif:
        for name in names:
            tif.write(np.zeros((40, 48), np.uint8), metadata={"Name": name})
    jobs = find_inputs([tmp_path / "cells.ome.tif"], tmp_path / "out").jobs
    assert [job.name for job in jobs] == [
        f"cells.ome.tif [{label}]" for label in ("a-2", "a", "a-3")
    ]


@pytest.mark.parametrize(("platform", "n_jobs"), [("linux", 2), ("darwin", 1)])
def test_names_that_the_system_takes_for_one_are_not_given_twice(
    tmp_path, monkeypatch, platform, n_jobs
):
    files = [tmp_path / "day1" / "Cell.tif", tmp_path / "day2" / "cell.tif"]
    for file in files:
        file.parent.mkdir()
        file.touch()
    monkeypatch.setattr(sys, "platform", platform)
    found = find_inputs(files, tmp_path / "out")
    assert len(found.jobs) == n_jobs
    assert len(found.refused) == 2 - n_jobs


def test_a_file_of_several_images_is_a_job_for_each(tmp_path):
    pixels = np.zeros((40, 48), np.uint8)
    names = ("Position 1/a", "position-1-a", "", "../../etc")
    with tifffile.TiffWriter(tmp_path / "cells.ome.tif") as tif:
        for name in names:
            tif.write(pixels, metadata={"Name": name})
    out = tmp_path / "out"
    found = find_inputs([tmp_path / "cells.ome.tif"], out)
    assert [job.series for job in found.jobs] == [0, 1, 2, 3]
    labels = ("Position-1-a", "position-1-a-1", "2", "etc")
    assert places(found, out) == {
        f"cells.ome.tif [{label}]": f"cells_{label}_denoised.ome.tif"
        for label in labels
    }
    assert len({job.id for job in found.jobs}) == 4
