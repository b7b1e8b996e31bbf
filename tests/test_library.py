"""Downloads from a real local server, and imports of real files."""

import hashlib
from dataclasses import replace

import pytest
import torch

from napari_mpi.cli import main
from napari_mpi.engine.network import Hourglass
from napari_mpi.weights import library as weights_library
from napari_mpi.weights.library import (
    ONLINE,
    DownloadCancelledError,
    delete_weights,
    download_weights,
    files_of_weights,
    import_weights,
    installed_weights,
    weights_facts,
)
from napari_mpi.weights.loading import BUNDLED, WeightsError, load_weights, save_weights

CONTENT = BUNDLED["universal"].read_bytes()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep weights in a folder of the test's own."""
    path = tmp_path / "weights"
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(path))
    return path


def test_a_download_is_then_known_by_its_name(server, folder):
    path = download_weights("lab")
    assert path == folder / "lab.safetensors"
    assert load_weights("lab").sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert installed_weights() == {"lab": path}


def test_what_is_there_is_not_fetched_again(server):
    assert download_weights("lab") == download_weights("lab")
    assert server.requests == 1


def test_a_file_with_another_hash_is_discarded(server, folder, monkeypatch):
    wrong = replace(weights_library.ONLINE["lab"], sha256="0" * 64)
    monkeypatch.setattr(weights_library, "ONLINE", {"lab": wrong})
    with pytest.raises(WeightsError, match="sha256 differs"):
        download_weights("lab")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [("broken", "the transfer broke off"), ("missing", "the server answered 404")],
)
def test_a_failed_transfer_leaves_nothing(fault, said, server, folder):
    server.fault = fault
    with pytest.raises(WeightsError, match=f"could not be fetched.*: {said}"):
        download_weights("lab")
    assert list(folder.iterdir()) == []
    server.fault = None
    assert download_weights("lab").is_file()


def test_an_unreachable_server_is_named(server, monkeypatch):
    nowhere = replace(weights_library.ONLINE["lab"], url="http://127.0.0.1:9/x.pth")
    monkeypatch.setattr(weights_library, "ONLINE", {"lab": nowhere})
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


@pytest.fixture
def lab_file(tmp_path):
    path = tmp_path / "our-lab.safetensors"
    save_weights(path, Hourglass(), {"steps": 7})
    return path


def test_an_import_is_then_known_by_its_name(lab_file, folder):
    assert import_weights(lab_file) == folder / "our-lab.safetensors"
    assert load_weights("our-lab").card["steps"] == 7
    assert import_weights(lab_file) == folder / "our-lab.safetensors"


def test_an_import_never_replaces_other_weights(lab_file, tmp_path):
    import_weights(lab_file)
    save_weights(lab_file, Hourglass(), {"steps": 8})
    with pytest.raises(WeightsError, match="other weights named 'our-lab'"):
        import_weights(lab_file)
    universal = tmp_path / "universal.safetensors"
    lab_file.rename(universal)
    with pytest.raises(WeightsError, match="Rename the file"):
        import_weights(universal)


def test_a_file_that_is_no_weights_is_not_imported(tmp_path, folder):
    bad = tmp_path / "bad.pth"
    torch.save({"params": {"x": torch.zeros(1)}}, bad)
    with pytest.raises(WeightsError, match="does not describe"):
        import_weights(bad)
    with pytest.raises(FileNotFoundError, match="no file"):
        import_weights(tmp_path / "none.pth")
    assert not folder.exists()


def test_a_name_cannot_lead_out_of_the_folder(folder, lab_file):
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        load_weights("../our-lab")


def test_a_download_tells_how_far_it_is(server):
    told = []
    download_weights("lab", lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert all(total == len(CONTENT) for _, total in told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_download_can_be_cancelled_and_leaves_nothing(server, folder):
    def cancel(done, total):
        raise DownloadCancelledError

    with pytest.raises(DownloadCancelledError):
        download_weights("lab", cancel)
    assert list(folder.iterdir()) == []


def test_deleting_takes_along_what_the_training_left(lab_file, folder):
    import_weights(lab_file)
    for suffix in (".ckpt", ".loss.csv", ".loss.png"):
        (folder / "our-lab").with_suffix(suffix).touch()
    (folder / "our-lab-2.csv").touch()
    assert len(files_of_weights("our-lab")) == 4
    assert len(delete_weights("our-lab")) == 4
    assert [path.name for path in folder.iterdir()] == ["our-lab-2.csv"]
    assert installed_weights() == {}


def test_bundled_and_unknown_weights_are_not_deleted():
    with pytest.raises(ValueError, match="part of napari-mpi"):
        delete_weights("universal")
    assert BUNDLED["universal"].is_file()
    with pytest.raises(ValueError, match="none are here"):
        delete_weights("../universal")


def test_the_facts_tell_where_weights_came_from(server, lab_file, folder):
    bundled, rgb, online = weights_facts()
    assert (rgb.name, rgb.place) == ("universal-rgb", "bundled")
    assert (bundled.name, bundled.place) == ("universal", "bundled")
    assert bundled.licence == "BSD-3-Clause"
    assert bundled.steps > 1000
    assert (online.name, online.place, online.path) == ("lab", "online", None)
    assert "127.0.0.1" in online.origin

    download_weights("lab")
    import_weights(lab_file)
    held_out = {"compared_with": "universal", "gain_db": 0.5, "better": True}
    card = {"config": {}, "initial_weights": None, "steps": 7, "held_out": held_out}
    save_weights(folder / "trained.safetensors", Hourglass(), card)
    (folder / "broken.pth").write_bytes(b"x")
    by_name = {facts.name: facts for facts in weights_facts()}
    assert by_name["lab"].place == "installed"
    assert "127.0.0.1" in by_name["lab"].origin
    assert by_name["our-lab"].origin == "a file that was imported"
    trained = by_name["trained"]
    assert trained.origin == "trained with napari-mpi, from nothing"
    assert trained.verdict == "better than universal on held-out images (+0.50 dB)"
    assert trained.steps == 7
    assert "not opened" in by_name["broken"].origin


def test_a_link_that_leads_nowhere_is_no_weights(folder):
    folder.mkdir()
    (folder / "gone.safetensors").symlink_to(folder / "nowhere")
    assert "gone" not in [facts.name for facts in weights_facts()]


@pytest.mark.parametrize("held_out", [None, 3, {}, {"gain_db": "much"}])
def test_a_card_from_anywhere_cannot_break_the_list(held_out, folder):
    folder.mkdir()
    card = {"config": 1, "steps": "many", "held_out": held_out}
    save_weights(folder / "odd.safetensors", Hourglass(), card)
    odd = next(facts for facts in weights_facts() if facts.name == "odd")
    assert (odd.steps, odd.verdict) == (None, "")


def test_the_command_lists_downloads_imports_and_tells(server, lab_file, capsys):
    assert main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    assert "universal" in listed
    assert "online" in listed
    assert main(["weights", "download", "lab"]) == 0
    assert main(["weights", "import", str(lab_file)]) == 0
    assert main(["weights", "info", "our-lab"]) == 0
    told = capsys.readouterr().out
    assert "steps      7" in told
    assert "{" not in told
    assert main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    assert "online:" not in listed
    assert "our-lab" in listed
    assert main(["weights", "delete", "our-lab"]) == 0
    assert "our-lab.safetensors" in capsys.readouterr().out
    assert main(["weights", "delete", "our-lab"]) == 1
    assert "No weights named 'our-lab'" in capsys.readouterr().err


def test_the_command_says_why_a_download_failed(server, capsys):
    server.fault = "missing"
    assert main(["weights", "download", "lab"]) == 1
    assert "error: lab could not be fetched" in capsys.readouterr().err
