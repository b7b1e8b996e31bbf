import shutil

import numpy as np
import pytest
from docks import finish
from napari.components import ViewerModel

from napari_mpi import FillConfig, denoise
from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.form import DenoiseForm
from napari_mpi._napari.preferences import Preferences
from napari_mpi.config import fill_config
from napari_mpi.weights.folder import BUNDLED


@pytest.fixture
def form(qtbot):
    form = DenoiseForm(ViewerModel(), Preferences())
    qtbot.addWidget(form.native)
    return form


def report_of(noisy, **options):
    return denoise(noisy, **{"n_iter": 1, "n_passes": 2} | options).report


def test_a_run_from_the_settings_of_another_gives_the_same_bits(
    make_napari_viewer, noisy, qtbot
):
    viewer = make_napari_viewer()
    layer = viewer.add_image(noisy, name="cells")
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert not widget.replay.use_button.enabled
    result = denoise(
        noisy, preset="fast", noise="independent", n_iter=3, n_passes=2, seed=11,
        learning_rate=1e-3, mask_ratio=0.123456,
    )  # fmt: skip
    earlier = viewer.add_image(
        result.image, name="earlier", metadata={"napari_mpi": result.report}
    )
    widget.form.preset.value = "paper"
    widget.form.advanced.seed.value = 3
    widget.form.image.value = earlier
    widget.replay.use_button.clicked.emit(True)
    assert widget.form.preset.value == "fast"
    assert widget.form.noise.value == "independent"
    assert (widget.form.advanced.seed.value, widget.form.advanced.n_iter.value) == (
        11,
        3,
    )
    assert widget.form.device.value == "cpu"
    assert "learning_rate 0.001" in widget.status.value
    widget.form.image.value = layer
    widget.run()
    finish(widget, qtbot)
    again = viewer.layers["cells denoised"]
    assert np.array_equal(again.data, result.image)
    assert again.metadata["napari_mpi"]["config"] == result.report["config"]


def test_what_was_asked_for_counts_even_where_the_preset_stands_for_it(form, noisy):
    n_iter = form.advanced.n_iter.value
    report = report_of(noisy) | {"settings": {"n_iter": n_iter}}
    assert form.use(report) == []
    assert form.options()["n_iter"] == n_iter
    form.use(report | {"settings": {}})
    assert "n_iter" not in form.options()


def test_uncertainty_is_asked_for_again(form, noisy):
    report = report_of(noisy, uncertainty=True)
    form.use(report)
    assert form.options()["uncertainty"] is True
    form.use(report | {"uncertainty": False})
    assert form.options()["uncertainty"] is False


def test_settings_without_a_field_last_until_another_choice(form, noisy):
    form.use(report_of(noisy / 255, own_pixel=False, scaling="none"))
    assert form.options()["own_pixel"] is False
    assert form.options()["scaling"] == "none"
    form.advanced.scaling.value = "range"
    assert form.options()["scaling"] == "range"
    form.preset.value = "paper"
    assert "own_pixel" not in form.options()


def test_what_the_user_changes_afterwards_counts(form, noisy):
    form.use(report_of(noisy, mask_ratio=0.123456))
    assert form.options()["mask_ratio"] == 0.123456
    form.advanced.mask_ratio.value = 0.4
    form.advanced.n_iter.value = 9
    assert form.options()["mask_ratio"] == pytest.approx(0.4)
    assert form.options()["n_iter"] == 9


def test_what_was_set_by_hand_outlasts_another_preset_and_noise_kind(form):
    form.advanced.n_iter.value = 33
    form.advanced.neighbours.value = 0
    form.preset.value = "paper"
    form.noise.value = "correlated"
    assert (form.options()["n_iter"], form.options()["neighbours"]) == (33, 0)
    assert "mask_ratio" not in form.options()
    form.preset.value = "fast"
    expected = fill_config("fast", "correlated")
    assert form.advanced.n_passes.value == expected.n_passes
    assert form.options()["n_iter"] == 33


def test_a_preset_that_does_not_measure_promises_no_measuring(form):
    assert form.noise.current_choice == "measured"
    form.preset.value = "paper"
    assert form.noise.current_choice == "pixel by pixel (not measured)"
    assert form.options()["noise"] is None
    form.preset.value = "fast"
    assert form.noise.current_choice == "measured"
    form.noise.value = "correlated"
    form.preset.value = "paper-fast"
    assert form.options()["noise"] == "correlated"


def test_weights_from_a_file_are_found_again_or_said_to_be_missing(
    form, noisy, tmp_path
):
    own = tmp_path / "lab.safetensors"
    shutil.copy(BUNDLED["universal"], own)
    report = report_of(noisy, weights=own)
    assert form.use(report) == []
    assert form.options()["weights"] == own
    (said,) = form.use(report | {"weights_sha256": "0"})
    assert "have changed since then" in said
    own.unlink()
    form.weights.value = "universal"
    (said,) = form.use(report)
    assert "lab.safetensors, are not on this computer" in said
    assert form.options()["weights"] == "universal"


def test_imported_weights_are_chosen_by_their_name(form, noisy, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MPI_WEIGHTS", str(tmp_path))
    shutil.copy(BUNDLED["universal"], tmp_path / "lab.safetensors")
    assert form.use(report_of(noisy, weights="lab")) == []
    assert form.options()["weights"] == "lab"


def test_what_cannot_be_had_here_is_said(form, noisy):
    report = report_of(noisy)
    (said,) = form.use(report | {"device": "mps:0"})
    assert "was computed on mps, which is not here" in said
    assert form.options()["device"] == "auto"
    (said,) = form.use(report | {"seed": 2**40})
    assert "larger than this form can hold" in said
    custom = denoise(noisy, preset=FillConfig(n_iter=1)).report
    (said,) = form.use(custom)
    assert "Copy as Python" in said
