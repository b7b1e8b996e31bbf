import os
import signal
import sys

import pytest

from napari_mpi.cli import main
from napari_mpi.training.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("few_held_out_crops")


@pytest.fixture
def train(clean_images, output):
    """Run the command, which begins a short training."""

    def run(*options, steps=1):
        command = ["pretrain", str(clean_images), "-o", str(output)]
        size = ["--steps", str(steps), "--batch-size", "1", "--device", "cpu"]
        return main([*command, *size, *options])

    return run


@pytest.mark.parametrize(
    ("left", "advice"),
    [("lab.ckpt", "carry on with --resume"), ("lab.safetensors", "another name")],
)
def test_what_an_earlier_training_left_is_not_trained_over(
    train, output, capsys, left, advice
):
    path = output.with_name(left)
    path.write_bytes(b"hours of work")
    assert train() == 1
    said = capsys.readouterr().err
    assert f"{path} is there already" in said
    assert advice in said
    assert "--overwrite" in said
    assert path.read_bytes() == b"hours of work"
    assert train("--overwrite") == 0
    assert path.read_bytes() != b"hours of work"


def test_a_training_that_ended_can_be_carried_on(train, output):
    assert train() == 0
    output.unlink()
    assert train("--resume", str(output.with_suffix(".ckpt"))) == 0
    assert output.is_file()


def test_files_of_your_own_beside_the_weights_stay(train, output):
    own = [output.with_suffix(suffix) for suffix in (".csv", ".png")]
    for path in own:
        path.write_text("mine")
    assert train() == 0
    assert [path.read_text() for path in own] == ["mine", "mine"]


def test_without_a_terminal_lines_tell_how_far_it_is(train, capsys, monkeypatch):
    monkeypatch.setattr("napari_mpi.cli.pretrain._TELL_EVERY", 0.0)
    assert train(steps=2) == 0
    said = capsys.readouterr().err
    assert "step 1, loss " in said
    assert "50% done" in said


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_a_training_that_the_system_ends_leaves_a_checkpoint(
    train, output, capsys, monkeypatch
):
    took = Checkpoint.took

    def taking(self, *args):
        took(self, *args)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoint, "took", taking)
    # A process that does not handle the signal would end here, and the tests with it.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert train(steps=5) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    checkpoint = output.with_suffix(".ckpt")
    assert checkpoint.is_file()
    assert f"--resume {checkpoint}" in capsys.readouterr().err
