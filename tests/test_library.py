"""Weights that lie here: imported, listed, deleted."""

import pytest
import torch

from napari_mpi.cli import main
from napari_mpi.engine.network import Hourglass
from napari_mpi.weights.download import download_weights
from napari_mpi.weights.folder import BUNDLED
from napari_mpi.weights.library import (
    delete_weights,
    files_of_weights,
    import_weights,
    installed_weights,
    weights_facts,
)
from napari_mpi.weights.loading import load_weights, save_weights
from napari_mpi.weights.tensors import WeightsError

pytestmark = pytest.mark.usefixtures("own_weights")


@pytest.fixture
def lab_file(tmp_path):
    path = tmp_path / "our-lab.safetensors"
    save_weights(path, Hourglass(), {"steps": 7})
    return path


def test_an_import_is_then_known_by_its_name(lab_file, own_weights):
    assert import_weights(lab_file) == own_weights / "our-lab.safetensors"
    assert load_weights("our-lab").card["steps"] == 7
    assert import_weights(lab_file) == own_weights / "our-lab.safetensors"


def test_an_import_never_replaces_other_weights(lab_file, tmp_path):
    import_weights(lab_file)
    save_weights(lab_file, Hourglass(), {"steps": 8})
    with pytest.raises(WeightsError, match="other weights named 'our-lab'"):
        import_weights(lab_file)
    universal = tmp_path / "universal.safetensors"
    lab_file.rename(universal)
    with pytest.raises(WeightsError, match="Rename the file"):
        import_weights(universal)


def test_a_file_that_is_no_weights_is_not_imported(tmp_path, own_weights):
    bad = tmp_path / "bad.pth"
    torch.save({"params": {"x": torch.zeros(1)}}, bad)
    with pytest.raises(WeightsError, match="does not describe"):
        import_weights(bad)
    with pytest.raises(FileNotFoundError, match="no file"):
        import_weights(tmp_path / "none.pth")
    assert not own_weights.exists()


def test_a_name_cannot_lead_out_of_the_folder(own_weights, lab_file):
    own_weights.mkdir()
    with pytest.raises(FileNotFoundError):
        load_weights("../our-lab")


def test_deleting_takes_along_what_the_training_left(lab_file, own_weights):
    import_weights(lab_file)
    for suffix in (".ckpt", ".loss.csv", ".loss.png"):
        (own_weights / "our-lab").with_suffix(suffix).touch()
    (own_weights / "our-lab-2.csv").touch()
    assert len(files_of_weights("our-lab")) == 4
    assert len(delete_weights("our-lab")) == 4
    assert [path.name for path in own_weights.iterdir()] == ["our-lab-2.csv"]
    assert installed_weights() == {}


def test_bundled_and_unknown_weights_are_not_deleted():
    with pytest.raises(ValueError, match="part of napari-mpi"):
        delete_weights("universal")
    assert BUNDLED["universal"].is_file()
    with pytest.raises(ValueError, match="none are here"):
        delete_weights("../universal")


def test_the_facts_tell_where_weights_came_from(server, lab_file, own_weights):
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
    save_weights(own_weights / "trained.safetensors", Hourglass(), card)
    (own_weights / "broken.pth").write_bytes(b"x")
    by_name = {facts.name: facts for facts in weights_facts()}
    assert by_name["lab"].place == "installed"
    assert "127.0.0.1" in by_name["lab"].origin
    assert by_name["our-lab"].origin == "a file that was imported"
    trained = by_name["trained"]
    assert trained.origin == "trained with napari-mpi, from nothing"
    assert trained.verdict == "better than universal on held-out images (+0.50 dB)"
    assert trained.steps == 7
    assert "not opened" in by_name["broken"].origin


def test_a_link_that_leads_nowhere_is_no_weights(own_weights):
    own_weights.mkdir()
    (own_weights / "gone.safetensors").symlink_to(own_weights / "nowhere")
    assert "gone" not in [facts.name for facts in weights_facts()]


@pytest.mark.parametrize("held_out", [None, 3, {}, {"gain_db": "much"}])
def test_a_card_from_anywhere_cannot_break_the_list(held_out, own_weights):
    own_weights.mkdir()
    card = {"config": 1, "steps": "many", "held_out": held_out}
    save_weights(own_weights / "odd.safetensors", Hourglass(), card)
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
