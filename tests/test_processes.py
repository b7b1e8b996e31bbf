import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from training_runs import run, settings

from napari_mpi.engine import devices
from napari_mpi.training.gradients import Gradients
from napari_mpi.training.pretrain import iter_pretrain
from napari_mpi.training.processes import Processes, join_processes
from napari_mpi.weights.loading import load_weights

pytest.importorskip("accelerate")

TIMEOUT = 300  # seconds, for tests that hang
LOST = "Another process of this training ended, or did not answer for"
pytestmark = [
    pytest.mark.usefixtures("few_held_out_crops"),
    pytest.mark.skipif(
        sys.platform == "win32", reason="torch has no torchrun on Windows"
    ),
]


@contextmanager
def started(role: str, folder: Path) -> Iterator[list[subprocess.Popen]]:
    """Start two processes without a launcher that would end one with the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(Path(__file__).with_name("training_process.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, script, role, str(folder)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def with_images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for name in "ab":
        image = rng.integers(0, 4000, (70, 80), np.uint16)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which two processes have trained."""
    folder = with_images(tmp_path_factory.mktemp("trained"))
    with started("train", folder) as processes:
        errors = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
    return folder


@pytest.fixture(scope="module")
def reports(trained):
    """What each of the processes saw."""
    return [json.loads((trained / f"report-{i}.json").read_text()) for i in range(2)]


@pytest.fixture(scope="module")
def batches(trained):
    """What each of the processes drew, step by step."""
    return [torch.load(trained / f"batches-{rank}.pt") for rank in range(2)]


def test_all_processes_have_the_same_weights_and_losses(reports):
    first, second = reports
    assert first["losses"] == second["losses"]
    assert len(first["losses"]) == 3
    assert first["network"] == second["network"]


def test_only_the_first_process_compares_and_writes(reports, trained):
    assert [report["compared"] for report in reports] == [True, False]
    first, second = (report["written"] for report in reports)
    assert second == []
    assert {"whole.ckpt", "whole.loss.csv", "whole.safetensors"} <= set(first)
    card = load_weights(trained / "whole.safetensors").card
    assert (card["processes"], card["effective_batch_size"]) == (2, 4)
    assert card["held_out"] is not None


def test_the_first_process_draws_what_it_would_alone_and_the_second_something_else(
    batches, trained, tmp_path, monkeypatch
):
    alone, backward = [], Gradients.backward

    def spy(self, *batch):
        alone.append(batch)
        return backward(self, *batch)

    monkeypatch.setattr(Gradients, "backward", spy)
    run(trained / "images", tmp_path / "alone.safetensors", settings(steps=2))
    first, second = batches
    for step in range(2):
        for own, same, other in zip(
            alone[step], first[step], second[step], strict=True
        ):
            assert torch.equal(own, same)
            assert not torch.equal(own, other)


def test_two_processes_train_as_one_does_on_the_crops_of_both(
    reports, batches, trained, tmp_path, monkeypatch
):
    together = [
        [torch.cat(parts) for parts in zip(*step, strict=True)]
        for step in zip(*batches, strict=True)
    ]
    backward = Gradients.backward
    monkeypatch.setattr(
        Gradients, "backward", lambda self, *_: backward(self, *together.pop(0))
    )
    alone = run(trained / "images", tmp_path / "alone.safetensors", settings())
    losses = [step.loss for step in alone]
    assert losses == pytest.approx(reports[0]["losses"], rel=1e-4)


def test_averaged_gradients_of_halves_are_those_of_the_whole_batch(reports):
    for report in reports:
        own, averaged = report["errors"]
        assert own > 0.1
        assert averaged < 1e-5


def test_a_resumed_training_of_two_equals_an_undisturbed_one(reports, trained):
    for report in reports:
        assert report["resumed losses"] == report["losses"]
        assert report["resumed network"] == report["network"]
    curves = [
        (trained / f"{name}.loss.csv").read_text() for name in ("whole", "resumed")
    ]
    assert curves[0] == curves[1]


def test_one_process_that_is_stopped_stops_all(trained):
    card = load_weights(trained / "stopped.safetensors").card
    assert (card["steps"], card["stopped_early"]) == (1, True)


def test_processes_that_train_on_different_things_are_told(reports):
    for report in reports:
        assert "differ in images. Give all" in report["difference"]


def test_going_on_in_another_number_of_processes_is_told(trained, tmp_path):
    with pytest.warns(UserWarning, match="draws other crops.* processes was 2, now 1"):
        training = iter_pretrain(
            trained / "images",
            tmp_path / "alone.safetensors",
            settings(),
            resume=trained / "interrupted.ckpt",
            device="cpu",
        )
    assert [step.step for step in training] == [2, 3]


def test_torchrun_starts_processes_that_write_one_result(tmp_path):
    with_images(tmp_path)
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node=2", "-m", "napari_mpi", "pretrain", "images",
            "-o", "lab.safetensors", "--steps", "2", "--batch-size", "1",
            "--device", "cpu",
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["lab.safetensors"]
    assert done.stderr.count("universal") == 1
    assert load_weights(tmp_path / "lab.safetensors").card["processes"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images",
        "lab.ckpt",
        "lab.loss.csv",
        "lab.loss.png",
        "lab.safetensors",
    ]


@pytest.mark.parametrize("role", ["out of memory", "hang"])
def test_a_process_that_fails_ends_the_others_which_keep_what_is_reached(
    role, tmp_path
):
    with started(role, with_images(tmp_path)) as (first, second):
        _, stderr = first.communicate(timeout=TIMEOUT)
        assert first.returncode == 1
        assert LOST in stderr
        assert "Traceback" not in stderr
        if role == "out of memory":
            _, stderr = second.communicate(timeout=TIMEOUT)
            assert second.returncode == 1
            assert "no memory left on this card" in stderr
    assert torch.load(tmp_path / "lab.ckpt")["step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "lab.ckpt"]


def test_a_process_that_is_terminated_ends_after_its_step(tmp_path):
    with started("terminated", with_images(tmp_path)) as (first, second):
        _, stderr = first.communicate(timeout=TIMEOUT)
        assert first.returncode == 130
        assert "stopped. Carry on with the same command and --resume" in stderr
        _, stderr = second.communicate(timeout=TIMEOUT)
        assert second.returncode == 1
        assert LOST in stderr
    assert torch.load(tmp_path / "lab.ckpt")["step"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "lab.ckpt"]


def test_a_process_alone_keeps_what_it_is_given():
    alone = Processes(torch.device("cpu"))
    assert alone.is_main
    assert alone.seed(7) == 7
    assert alone.mean(0.1, 2) == [0.1, 2]
    assert alone.any(True)
    assert not alone.any(False)


def test_every_process_has_a_seed_of_its_own():
    seeds = {
        Processes(torch.device("cpu"), rank, 4).seed(seed)
        for rank in range(4)
        for seed in range(3)
    }
    assert len(seeds) == 12


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")


def test_without_the_package_the_extra_is_named(two_processes, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'napari-mpi\[multi-gpu\]'"):
        join_processes("cpu")


def test_processes_that_no_launcher_started_are_told(two_processes, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(ValueError, match=r"WORLD_SIZE is 2.* with torchrun, or unset"):
        join_processes("cpu")


@pytest.mark.parametrize("device", ["mps", "mps:0"])
def test_a_device_for_one_process_is_refused(two_processes, monkeypatch, device):
    monkeypatch.setattr(devices, "available_devices", lambda: ("mps", "cpu"))
    with pytest.raises(ValueError, match=f"'{device}' is for one process: give cuda"):
        join_processes(device)


def test_a_process_without_a_card_of_its_own_is_told(two_processes, monkeypatch):
    monkeypatch.setattr(devices, "available_devices", lambda: ("cuda", "cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match="'cuda:1' is not available"):
        join_processes("auto")
