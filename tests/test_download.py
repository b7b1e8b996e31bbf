"""Weights by name from a public address, here from a server of the tests' own."""

import hashlib
from dataclasses import replace

import pytest

from napari_mpi.cli import main
from napari_mpi.weights.download import ONLINE, DownloadCancelledError, download_weights
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import load_weights
from napari_mpi.weights.tensors import WeightsError

pytestmark = pytest.mark.usefixtures("own_weights")

CONTENT = BUNDLED["universal"].read_bytes()


def test_a_download_is_then_known_by_its_name(server, own_weights):
    path = download_weights("lab")
    assert path == own_weights / "lab.safetensors"
    assert load_weights("lab").sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert installed_weights() == {"lab": path}


def test_what_is_there_is_not_fetched_again(server):
    assert download_weights("lab") == download_weights("lab")
    assert server.requests == 1


def test_a_file_with_another_hash_is_discarded(server, own_weights, monkeypatch):
    wrong = replace(ONLINE["lab"], sha256="0" * 64)
    monkeypatch.setitem(ONLINE, "lab", wrong)
    with pytest.raises(WeightsError, match="sha256 differs"):
        download_weights("lab")
    assert list(own_weights.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [("broken", "the transfer broke off"), ("missing", "the server answered 404")],
)
def test_a_failed_transfer_leaves_nothing(fault, said, server, own_weights):
    server.fault = fault
    with pytest.raises(WeightsError, match=f"could not be fetched.*: {said}"):
        download_weights("lab")
    assert list(own_weights.iterdir()) == []
    server.fault = None
    assert download_weights("lab").is_file()


def test_an_unreachable_server_is_named(server, monkeypatch):
    nowhere = replace(ONLINE["lab"], url="http://127.0.0.1:9/x.pth")
    monkeypatch.setitem(ONLINE, "lab", nowhere)
    with pytest.raises(
        WeightsError,
        match=r"x\.pth: there is no connection to the server\. Check the net",
    ):
        download_weights("lab")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="choose one of .*mpi-imagenet-30"):
        download_weights("mpi")


def test_the_authors_files_are_pinned():
    for online in ONLINE.values():
        assert online.url.startswith("https://")
        assert len(online.sha256) == 64
        assert online.size > 3_000_000


def test_the_authors_files_in_the_shared_data_have_these_hashes(shared_data):
    for online in ONLINE.values():
        path = shared_data / "weights" / online.url.rsplit("/", 1)[-1]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == online.sha256
        assert path.stat().st_size == online.size


def test_a_download_tells_how_far_it_is(server):
    told = []
    download_weights("lab", lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert all(total == len(CONTENT) for _, total in told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_download_can_be_cancelled_and_leaves_nothing(server, own_weights):
    def cancel(done, total):
        raise DownloadCancelledError

    with pytest.raises(DownloadCancelledError):
        download_weights("lab", cancel)
    assert list(own_weights.iterdir()) == []


def test_the_command_says_why_a_download_failed(server, capsys):
    server.fault = "missing"
    assert main(["weights", "download", "lab"]) == 1
    assert "error: lab could not be fetched" in capsys.readouterr().err
