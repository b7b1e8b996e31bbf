import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import tifffile

from napari_mpi.batch.api import denoise_files

distributed = pytest.importorskip("distributed")

OPTIONS = {"preset": "fast", "noise": "correlated", "n_passes": 2}
# Closing a cluster whose worker was killed leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows"),
]


@pytest.fixture
def folder(rng, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abcd":
        image = rng.poisson(30, (2, 20, 22)).astype(np.uint16)
        tifffile.imwrite(folder / f"{name}.tif", image)
    return folder


def a_cluster(n_workers, tmp_path):
    return distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    )


def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(folder, tmp_path):
    alone = denoise_files(folder, tmp_path / "alone", **OPTIONS)
    with a_cluster(2, tmp_path) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]

        def kill_one_at_work():
            jobs = tmp_path / "out" / ".napari-mpi" / "jobs"
            while not jobs.exists():
                time.sleep(0.01)
            os.kill(pids[0], signal.SIGKILL)

        thread = threading.Thread(target=kill_one_at_work)
        thread.start()
        records = denoise_files(
            folder, tmp_path / "out", scheduler=cluster.scheduler_address, **OPTIONS
        )
        thread.join()
    assert {r.name: r.output_sha256 for r in records} == {
        r.name: r.output_sha256 for r in alone
    }
    assert {record.status for record in records} == {"done"}


def test_each_worker_chooses_its_device(folder, tmp_path, monkeypatch):
    with a_cluster(1, tmp_path) as cluster:
        # Only the machine that gives the command has a card.
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        [record] = denoise_files(
            folder / "a.tif",
            tmp_path / "out",
            scheduler=cluster.scheduler_address,
            **OPTIONS,
        )
    assert record.status == "done"
    assert record.settings["options"]["device"] == "cpu"


def test_a_device_that_only_workers_have_is_theirs_to_find(folder, tmp_path):
    with a_cluster(1, tmp_path) as cluster:
        [record] = denoise_files(
            folder / "a.tif",
            tmp_path / "out",
            scheduler=cluster.scheduler_address,
            **{**OPTIONS, "device": "cuda:7"},
        )
    assert record.status == "failed"
    assert "'cuda:7' is not available" in record.reason


def test_an_address_without_a_scheduler_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_mpi.batch.cluster._TIMEOUT", 0.5)
    with pytest.raises(OSError, match="No scheduler answers at tcp://127.0.0.1:9"):
        denoise_files(
            folder, tmp_path / "out", scheduler="tcp://127.0.0.1:9", **OPTIONS
        )


def test_without_the_package_the_extra_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"napari-mpi\[cluster\]"):
        denoise_files(folder, tmp_path / "out", scheduler="tcp://a:1", **OPTIONS)
