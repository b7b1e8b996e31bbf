import json
import os
import shutil
import warnings
from threading import Thread

import numpy as np
import pytest
import tifffile
from filelock import FileLock
from image_files import write_spread
from microscope_files import write_lif

from napari_mpi import denoise_files
from napari_mpi.batch.api import checked_settings
from napari_mpi.batch.inputs import find_inputs
from napari_mpi.batch.job import finished, run_job
from napari_mpi.engine.network import Hourglass
from napari_mpi.io.files import read_image, write_image
from napari_mpi.training.synthetic import fluorescence_image
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.loading import save_weights

OPTIONS = {"preset": "fast", "noise": "correlated", "n_passes": 2}


@pytest.fixture
def images(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    stack = rng.poisson(30, (2, 16, 18)).astype(np.uint16)
    metadata = {"axes": "TYX", "unit": "um", "finterval": 2.0}
    tifffile.imwrite(
        folder / "a.tif", stack, imagej=True, resolution=(10, 10), metadata=metadata
    )
    return folder


@pytest.fixture
def job(images, tmp_path):
    return find_inputs([images], tmp_path / "out").jobs[0]


@pytest.fixture
def settings():
    return checked_settings(OPTIONS)


class Interrupted(BaseException):
    """Ends a run as a signal does."""


def interrupt_in_plane(number):
    def tell(progress):
        if progress.plane == number and progress.phase == "filling":
            raise Interrupted

    return tell


def test_a_result_has_the_axes_and_units_of_its_input_and_the_record(job, settings):
    record = run_job(job, settings)
    assert record.status == "done"
    source, result = read_image(job.source), read_image(job.target)
    assert result.data.dtype == source.data.dtype
    assert (result.axes, result.units) == (source.axes, source.units)
    assert result.scale == pytest.approx(source.scale)
    report = json.loads(result.description)["napari_mpi"]
    assert report["n_planes"] == 2
    assert report["threads"] == 1
    # It would differ from run to run.
    assert "seconds" not in report


def test_the_record_tells_what_was_found_and_done(rng, images, tmp_path):
    clean = 100 + 300 * fluorescence_image((64, 64), rng)
    stack = rng.poisson(np.stack([clean] * 3)).astype(np.uint16)
    stack[:, ::9, ::7] = 65535
    tifffile.imwrite(images / "hot.tif", stack, photometric="minisblack")
    job = find_inputs([images / "hot.tif"], tmp_path / "out").jobs[0]
    record = run_job(job, checked_settings({"preset": "fast", "n_iter": 2}))
    assert "pixels are stuck" in record.found
    assert "Planes were joined" in record.found
    assert "independent from pixel to pixel" in record.found


def test_a_finished_image_is_left_alone(job, settings):
    first = run_job(job, settings)
    written = job.target.stat().st_mtime_ns
    again = run_job(job, settings)
    assert again.earlier
    assert again.output_sha256 == first.output_sha256
    assert job.target.stat().st_mtime_ns == written


def test_unfinished_work_takes_no_place_once_it_is_finished(job, settings):
    run_job(job, settings)
    names = sorted(path.name for path in job.work_folder.iterdir())
    assert names == ["record.json", "thumbnail.jpg"]


def change_pixels(job, settings):
    image = tifffile.imread(job.source)
    tifffile.imwrite(job.source, image[:, ::-1])
    return settings


def remove_result(job, settings):
    job.target.unlink()
    return settings


def cut_result(job, settings):
    job.target.write_bytes(job.target.read_bytes()[:-100])
    return settings


def change(**options):
    def changed(job, settings):
        return checked_settings(OPTIONS | options)

    changed.__name__ = str(options)
    return changed


def want_noise_map(job, settings):
    return checked_settings(OPTIONS, noise_map=True)


def use_more_threads(job, settings):
    return checked_settings(OPTIONS, threads=2)


@pytest.mark.parametrize(
    "changed",
    [
        change_pixels,
        remove_result,
        cut_result,
        change(seed=1),
        change(n_passes=4),
        want_noise_map,
        use_more_threads,
    ],
)
def test_a_change_is_noticed_and_the_image_done_again(job, settings, changed):
    run_job(job, settings)
    settings = changed(job, settings)
    assert finished(job, settings.facts()) is None
    record = run_job(job, settings)
    assert record.status == "done"
    assert not record.earlier
    assert run_job(job, settings).earlier


def test_a_change_in_another_part_of_the_image_is_noticed(rng, settings, tmp_path):
    stack = rng.poisson(30, (3, 16, 18)).astype(np.uint16)
    files = write_spread(tmp_path, stack)
    [job] = find_inputs([tmp_path], tmp_path / "out").jobs
    run_job(job, settings)
    assert run_job(job, settings).earlier
    newest = files[0].stat().st_mtime_ns
    files[1].write_bytes(files[1].read_bytes()[:-8] + bytes(8))
    os.utime(files[1], ns=(newest - 10**9, newest - 10**9))  # as a copy keeps it
    assert not run_job(job, settings).earlier


def test_weights_under_another_name_are_the_same_and_others_are_not(job, tmp_path):
    first, moved = tmp_path / "lab.safetensors", tmp_path / "lab-2026.safetensors"
    shutil.copy(BUNDLED["universal"], first)
    run_job(job, checked_settings(OPTIONS | {"weights": first}))
    first.rename(moved)
    again = checked_settings(OPTIONS | {"weights": moved})
    assert run_job(job, again).earlier
    save_weights(moved, Hourglass(1, 1))
    assert not run_job(job, again).earlier


@pytest.mark.parametrize("package", ["napari_mpi", "torch"])
def test_another_version_does_it_again(job, settings, package, monkeypatch):
    run_job(job, settings)
    monkeypatch.setattr(f"{package}.__version__", "99.0")
    assert not run_job(job, settings).earlier


def test_results_that_were_moved_are_told_where_they_are(images, settings, tmp_path):
    run_job(find_inputs([images], images / "out").jobs[0], settings)
    moved = tmp_path / "moved"
    images.rename(moved)
    job = find_inputs([moved], moved / "out").jobs[0]
    record = run_job(job, settings)
    assert record.earlier
    assert (record.source, record.target) == (str(job.source), str(job.target))


def test_an_image_that_is_returned_as_it_is_was_not_judged(job, settings):
    tifffile.imwrite(job.source, np.full((16, 18), 7, np.uint8))
    assert "there is nothing to judge" in run_job(job, settings).verdict


def test_numbers_of_numpy_are_settings_too(job):
    options = {**OPTIONS, "n_passes": np.int64(2), "seed": np.int64(1)}
    assert run_job(job, checked_settings(options)).status == "done"


def test_warnings_of_other_threads_are_not_those_of_the_image(job, settings):
    def warn_elsewhere(progress):
        def warn():
            warnings.warn("of the window", stacklevel=1)

        thread = Thread(target=warn)
        thread.start()
        thread.join()

    with pytest.warns(UserWarning, match="of the window"):
        record = run_job(job, settings, warn_elsewhere)
    assert record.reason == ""


def test_a_file_that_was_only_touched_is_not_done_again(job, settings):
    run_job(job, settings)
    os.utime(job.source, (1, 1))
    assert run_job(job, settings).earlier


def test_an_interrupted_image_goes_on_with_the_next_plane(job):
    # Joined with the next one, the first plane would not be finished yet.
    settings = checked_settings(OPTIONS | {"neighbours": 0})
    expected = run_job(job, settings).output_sha256
    job.target.unlink()
    with pytest.raises(Interrupted):
        run_job(job, settings, interrupt_in_plane(1))
    assert not job.target.exists()
    planes = []
    record = run_job(job, settings, lambda progress: planes.append(progress.plane))
    assert set(planes) == {1}
    assert record.output_sha256 == expected


@pytest.mark.parametrize("changed", [change_pixels, change(seed=1)])
def test_unfinished_work_of_another_image_or_setting_is_not_used(
    job, settings, changed, tmp_path
):
    with pytest.raises(Interrupted):
        run_job(job, settings, interrupt_in_plane(1))
    settings = changed(job, settings)
    planes = []
    record = run_job(job, settings, lambda progress: planes.append(progress.plane))
    assert set(planes) == {0, 1}
    fresh = find_inputs([job.source], tmp_path / "fresh").jobs[0]
    assert record.output_sha256 == run_job(fresh, settings).output_sha256


def test_unfinished_work_that_cannot_be_removed_is_not_used(job, tmp_path, monkeypatch):
    settings = checked_settings(OPTIONS | {"neighbours": 0})
    with pytest.raises(Interrupted):
        run_job(job, settings, interrupt_in_plane(1))
    # As where another program has one of the files open.
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)
    settings = change_pixels(job, settings)
    record = run_job(job, settings)
    fresh = find_inputs([job.source], tmp_path / "fresh").jobs[0]
    assert record.output_sha256 == run_job(fresh, settings).output_sha256


def test_an_image_that_another_run_holds_is_left_to_it(job, settings):
    locks = job.output / ".napari-mpi" / "locks"
    locks.mkdir(parents=True)
    with FileLock(locks / f"{job.id}.lock"):
        assert run_job(job, settings).status == "in work elsewhere"
        assert not job.target.exists()
    assert run_job(job, settings).status == "done"


def test_extras_of_another_run_do_not_stay(job):
    extras = [job.target.with_name(f"a_{e}.ome.tif") for e in ("noise", "uncertainty")]
    run_job(job, checked_settings(OPTIONS | {"uncertainty": True}, noise_map=True))
    assert all(extra.exists() for extra in extras)
    run_job(job, checked_settings(OPTIONS))
    assert not any(extra.exists() for extra in extras)


def test_what_a_run_warns_of_is_in_the_record(job, settings):
    tifffile.imwrite(job.source, np.full((20, 20), 7, np.uint16))
    record = run_job(job, settings)
    assert record.status == "done"
    assert "constant" in record.reason


def test_the_number_of_threads_of_the_program_comes_back(job, settings):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run_job(job, settings)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_ome_zarr_goes_in_and_comes_out_the_same_each_time(job, tmp_path):
    pytest.importorskip("zarr")
    source = read_image(job.source)
    (tmp_path / "stores").mkdir()
    write_image(tmp_path / "stores" / "a.ome.zarr", source)

    def run(output):
        out = tmp_path / output
        options = OPTIONS | {"format": "ome-zarr", "noise_map": True}
        [record] = denoise_files(tmp_path / "stores", out, **options)
        assert record.status == "done", record.reason
        assert record.target == str(out / "a_denoised.ome.zarr")
        assert read_image(out / "a_noise.ome.zarr").data.dtype == np.float32
        return record

    first, second = run("out1"), run("out2")
    result = read_image(first.target)
    assert (result.axes, result.units) == (source.axes, source.units)
    assert first.output_sha256 == second.output_sha256
    assert run("out1").earlier
    [as_tiff] = denoise_files(job.source, tmp_path / "tiff", **OPTIONS)
    assert np.array_equal(result.data, read_image(as_tiff.target).data)


def test_results_do_not_depend_on_order_or_company(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        tifffile.imwrite(folder / f"{name}.tif", rng.poisson(30, (16, 18)).astype("u2"))
    files = sorted(folder.iterdir())

    def hashes(inputs, output):
        records = denoise_files(inputs, tmp_path / output, **OPTIONS)
        return {record.name: record.output_sha256 for record in records}

    together = hashes(files, "together")
    assert len(set(together.values())) == 3
    assert hashes(reversed(files), "reversed") == together
    assert hashes(files[1], "alone") == {"b.tif": together["b.tif"]}


def test_total_intensity_stays_and_no_plane_flickers_more_than_its_input(tmp_path, rng):
    rows, columns = np.mgrid[:64, :64]
    disc = np.hypot(rows - 32, columns - 32) < 16
    lamp = 1 + 0.1 * np.sin(np.arange(5))
    movie = rng.poisson(lamp[:, None, None] * (50 + 200 * disc)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "movie.tif", movie, photometric="minisblack")
    [record] = denoise_files(
        tmp_path / "movie.tif", tmp_path / "out", preset="fast", n_iter=2, n_passes=4
    )
    denoised = tifffile.imread(record.target).astype(float)
    assert denoised.sum() == pytest.approx(float(movie.sum()), rel=0.005)
    before, after = movie.mean((1, 2)), denoised.mean((1, 2))
    assert np.abs(np.diff(after)).sum() <= 1.02 * np.abs(np.diff(before)).sum()
    assert after == pytest.approx(before, rel=0.005)


def test_each_image_of_a_microscope_file_has_a_result(rng, tmp_path):
    pytest.importorskip("bioio_lif")
    images = {
        name: ("TYX", rng.poisson(light, (2, 16, 18)).astype(np.uint16))
        for name, light in (("one", 30), ("two", 90))
    }
    write_lif(tmp_path / "cells.lif", images, 0.25)
    records = denoise_files(tmp_path / "cells.lif", tmp_path / "out", **OPTIONS)
    assert [record.name for record in records] == [
        "cells.lif [one]",
        "cells.lif [two]",
    ]
    for record, (axes, data) in zip(records, images.values(), strict=True):
        assert record.status == "done"
        assert not record.reason
        result = read_image(record.target)
        assert result.axes == axes
        assert result.scale == pytest.approx((2.0, 0.25, 0.25))
        assert result.units == ("s", "µm", "µm")
        assert result.data.mean() == pytest.approx(data.mean(), rel=0.02)
    again = denoise_files(tmp_path / "cells.lif", tmp_path / "out", **OPTIONS)
    assert all(record.earlier for record in again)
