import os
import pickle
import zipfile

import pytest
import torch

from napari_mpi.weights import tensors
from napari_mpi.weights.tensors import WeightsError, read_tensors


def test_a_huge_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "_MAX_BYTES", 10)
    path = tmp_path / "movie.pth"
    path.write_bytes(b"x" * 11)
    with pytest.raises(WeightsError, match="another kind of file"):
        read_tensors(path)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_not_opened(tmp_path, protocol, zipped):
    witness = tmp_path / "witness"

    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {witness}",)

    path = tmp_path / "weights.pth"
    content = {"params": Malicious()}
    if zipped:
        torch.save(content, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(WeightsError, match="could run foreign code"):
        read_tensors(path)
    assert not witness.exists()


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("length", [0, 1, 20, 60, 100, 150, 250])
def test_a_damaged_pickle_is_refused(tmp_path, legacy, length):
    path = tmp_path / "weights.pth"
    torch.save(
        {"params": {"a": torch.zeros(3)}},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"weights\.pth was not opened"):
        read_tensors(path)


def test_a_text_file_under_the_name_of_weights_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_text("hello world")
    with pytest.raises(WeightsError, match=r"weights\.pth was not opened"):
        read_tensors(tmp_path / "weights.pth")


def test_a_little_that_unpacks_into_a_lot_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb/data.pkl", bytes(2**20))
    assert path.stat().st_size < 2**15
    monkeypatch.setattr(tensors, "_MAX_BYTES", 2**15)
    with pytest.raises(WeightsError, match=r"bomb\.pth is 1 MiB large"):
        read_tensors(path)


def test_an_archive_with_names_in_no_encoding_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"params": {}}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"weights/data", b"w\x87ights/data"))
    with pytest.raises(WeightsError, match=r"weights\.pth was not opened"):
        read_tensors(path)
