import shutil
from pathlib import Path

import npe2
import pytest
import yaml
from napari.layers import Image

import napari_mpi
from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.preferences import Preferences
from napari_mpi._napari.train_dock import TrainWidget
from napari_mpi._napari.weights_dock import WeightsWidget
from napari_mpi.config import PRESETS
from napari_mpi.weights.folder import BUNDLED, prefer_weights_folder, weights_folder

try:
    from napari.settings import get_plugin_settings
except ImportError:
    get_plugin_settings = None

MANIFEST = Path(napari_mpi.__file__).with_name("napari.yaml")
DECLARED = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["contributions"][
    "configurations"
]["denoising"]["properties"]


@pytest.fixture
def kept(request):
    """What napari keeps for the plugin, in files of this test alone."""
    if get_plugin_settings is None:
        pytest.skip("napari keeps preferences of plugins from version 0.9 on")
    manager = request.getfixturevalue("npe2pm")
    request.getfixturevalue("plugin_settings")
    manager.register(npe2.PluginManifest.from_file(MANIFEST))
    return get_plugin_settings("napari-mpi").denoising


@pytest.fixture(autouse=True)
def _usual_folder(monkeypatch):
    monkeypatch.delenv("NAPARI_MPI_WEIGHTS", raising=False)
    yield
    prefer_weights_folder(None)


def test_the_manifest_declares_each_with_the_same_default():
    defaults = {name: one["default"] for name, one in DECLARED.items()}
    assert Preferences(**defaults) == Preferences()


def test_the_manifest_offers_every_preset():
    assert DECLARED["preset"]["enum"] == list(PRESETS)


def test_every_preference_is_explained():
    assert all(one["title"] and one["description"] for one in DECLARED.values())


def test_the_manifest_is_valid_with_its_preferences():
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()


def test_what_was_never_set_is_the_default(kept):
    assert Preferences.load() == Preferences()


def test_what_napari_keeps_is_read(kept):
    kept.preset = "fast"
    kept.live_preview = False
    assert Preferences.load() == Preferences(preset="fast", live_preview=False)


def test_without_napari_keeping_them_there_are_the_defaults(npe2pm):
    """The plugin is not known to napari here, as when it is disabled."""
    assert Preferences.load() == Preferences()


def test_a_new_dock_follows_the_preferences(kept, make_napari_viewer, tmp_path):
    (tmp_path / "lab.safetensors").touch()
    kept.preset = "fast"
    kept.device = "cpu"
    kept.weights_folder = str(tmp_path)
    widget = DenoiseWidget(make_napari_viewer())
    assert widget.form.preset.value == "fast"
    assert widget.form.device.value == "cpu"
    assert weights_folder() == tmp_path
    assert "lab" in widget.form.weights.choices


def test_a_device_that_is_not_there_becomes_auto(kept, make_napari_viewer):
    from napari_mpi.engine.devices import available_devices

    absent = next(one for one in ("mps", "cuda") if one not in available_devices())
    kept.device = absent
    assert DenoiseWidget(make_napari_viewer()).form.device.value == "auto"


def test_the_preferences_stand_in_the_dialog(kept, make_napari_viewer):
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    viewer = make_napari_viewer()
    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    pages = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    assert "napari-mpi" in pages
    dialog.close()


def test_the_environment_comes_before_the_preferred_folder(monkeypatch, tmp_path):
    usual = weights_folder()
    prefer_weights_folder(tmp_path / "own")
    assert weights_folder() == tmp_path / "own"
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(tmp_path / "shared"))
    assert weights_folder() == tmp_path / "shared"
    monkeypatch.delenv("NAPARI_MPI_WEIGHTS")
    prefer_weights_folder("")
    assert weights_folder() == usual


@pytest.fixture
def group_folder(kept, tmp_path):
    """A preferred folder that holds weights named "lab"."""
    shutil.copy(BUNDLED["universal"], tmp_path / "lab.safetensors")
    kept.weights_folder = str(tmp_path)
    return tmp_path


def test_every_dock_looks_for_weights_in_the_preferred_folder(
    group_folder, make_napari_viewer
):
    listed = WeightsWidget()
    assert "lab" in listed._facts
    prefer_weights_folder(None)
    train = TrainWidget(make_napari_viewer())
    assert "lab" in train.form.start.choices
    assert weights_folder() == group_folder


def test_scripts_look_for_weights_in_the_preferred_folder(group_folder, noisy):
    options = {"weights": "lab", "n_iter": 1, "n_passes": 2}
    denoised, _ = napari_mpi.denoise_layer(Image(noisy), **options)
    assert denoised.metadata["napari_mpi"]["weights"] == "lab.safetensors"


def test_a_folder_that_is_preferred_later_is_told_to_open_docks(
    kept, make_napari_viewer, tmp_path
):
    widget = DenoiseWidget(make_napari_viewer())
    shutil.copy(BUNDLED["universal"], tmp_path / "lab.safetensors")
    kept.weights_folder = str(tmp_path)
    Preferences.apply(widget.form.weights)
    assert "lab" in widget.form.weights.choices


def test_weights_that_another_folder_lacks_are_not_replaced_silently(
    group_folder, make_napari_viewer, kept, noisy
):
    viewer = make_napari_viewer()
    viewer.add_image(noisy)
    widget = DenoiseWidget(viewer)
    widget.form.weights.value = "lab"
    kept.weights_folder = str(group_folder / "empty")
    widget.run()
    assert not widget.running
    assert "The weights lab are not in the folder" in widget.status.value
