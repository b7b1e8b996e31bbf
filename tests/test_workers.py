import os
import signal
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import tifffile
import torch

from napari_mpi.batch.api import checked_settings, denoise_files
from napari_mpi.batch.inputs import find_inputs
from napari_mpi.batch.workers import in_processes, sensible_workers

OPTIONS = {"preset": "fast", "noise": "correlated", "n_passes": 2}


@pytest.fixture
def folder(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abcd":
        # More than a little work for each thread, so that threads would differ.
        image = rng.poisson(30, (2, 48, 52)).astype(np.float32)
        tifffile.imwrite(folder / f"{name}.tif", image + 0.1)
    (folder / "bad.tif").write_bytes(b"")
    return folder


def workers_of_this_process():
    return [
        child
        for child in psutil.Process().children()
        if "spawn_main" in " ".join(child.cmdline())
    ]


def test_results_do_not_depend_on_the_number_of_workers(folder, tmp_path):
    def hashes(output, workers):
        records = denoise_files(folder, tmp_path / output, workers=workers, **OPTIONS)
        assert sorted(record.status for record in records) == ["done"] * 4 + ["failed"]
        return {record.name: record.output_sha256 for record in records}

    assert hashes("two", 2) == hashes("none", 0)
    assert not workers_of_this_process()


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_a_worker_that_is_killed_costs_a_retry_and_no_image(folder, tmp_path):
    killed = []

    def kill_the_first():
        while not killed:
            for worker in workers_of_this_process():
                # It has begun to work once it has a lock.
                if (tmp_path / "out" / ".napari-mpi" / "jobs").exists():
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.append(worker.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill_the_first)
    thread.start()
    records = denoise_files(folder, tmp_path / "out", workers=1, **OPTIONS)
    thread.join()
    assert killed
    assert sorted(record.status for record in records) == ["done"] * 4 + ["failed"]


def test_an_image_that_kills_every_worker_is_given_up(folder, tmp_path, monkeypatch):
    def fail(self):
        from concurrent.futures.process import BrokenProcessPool

        raise BrokenProcessPool

    monkeypatch.setattr("napari_mpi.batch.workers._Worker._start", fail)
    jobs = find_inputs([folder], tmp_path / "out").jobs
    records = dict(in_processes(jobs, checked_settings(OPTIONS), 2))
    assert [record.status for record in records.values()] == ["failed"] * 5
    assert "try fewer workers" in records[jobs[0]].reason


def test_a_batch_that_is_given_up_leaves_no_process(folder, tmp_path):
    jobs = find_inputs([folder], tmp_path / "out").jobs
    records = in_processes(jobs, checked_settings(OPTIONS), 1)
    next(records)
    assert len(workers_of_this_process()) == 1
    records.close()
    assert not workers_of_this_process()


def test_the_number_of_workers_fits_the_machine(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 12)
    allowed = set(range(24))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed, raising=False)
    memory = psutil.virtual_memory()

    def workers(threads=1, gigabytes=64, device="cpu"):
        monkeypatch.setattr(
            psutil, "virtual_memory", lambda: memory._replace(available=gigabytes << 30)
        )
        return sensible_workers(torch.device(device), threads)

    assert workers() == 12
    assert workers(threads=4) == 3
    assert workers(gigabytes=8) == 4
    assert workers(gigabytes=1) == 1
    allowed = {3, 4}  # as a cluster's job may be
    assert workers() == 2
    allowed = set(range(24))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert workers(device="cuda") == 2
    assert workers(device="cuda:1") == 1
