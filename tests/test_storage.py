import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest

from napari_mpi.arrays import storage


def test_arrays_on_disk_behave_like_arrays():
    array = storage.allocate((3, 4), np.uint16, on_disk=True)
    assert array.shape == (3, 4)
    assert not array.any()
    array[1] = 7
    storage.let_go(array)
    assert (array[1] == 7).all()
    assert (array[0] == 0).all()


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch):
    usage = SimpleNamespace(free=10)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"4 MiB of pixels .* Free some space.*TMPDIR"):
        storage.allocate((2, 1024, 1024), np.uint16, on_disk=True)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not on this system")
def test_a_disk_that_refuses_the_space_is_said_too(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match=r"No space left on device.*TMPDIR"):
        storage.allocate((16, 16), np.uint16, on_disk=True)


def test_what_is_let_go_of_a_file_is_still_there(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100_000))
    for mode in ("r", "r+", "c"):
        array = np.load(path, mmap_mode=mode)
        if mode == "c":
            array[3] = -1  # a private change has no other place than memory
        storage.let_go(array)
        assert array[3] == (-1 if mode == "c" else 3)
    storage.let_go(np.zeros(3))
