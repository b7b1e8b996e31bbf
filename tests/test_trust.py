import time

import numpy as np
import pytest
from docks import TIMEOUT, finish
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QColor

from napari_mpi._napari.course import CoursePanel
from napari_mpi._napari.last_run import LastRun
from napari_mpi._napari.layers import denoised_layer, picture_layer, pictures
from napari_mpi._napari.result_layers import result_layers
from napari_mpi._napari.shown_plane import show_plane
from napari_mpi._napari.trust import TrustPanel
from napari_mpi.engine.adapt import Adaptation
from napari_mpi.pipeline.api import Progress, denoise


@pytest.fixture
def widget(widget):
    widget.form.advanced.n_iter.value = 4
    widget.form.advanced.n_passes.value = 2
    return widget


def delete(widget):
    """Delete the Qt object, and keep Python's."""
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not isalive(widget)


def run(widget, qtbot):
    widget.run()
    finish(widget, qtbot)


def a_step(step, loss=0.1, validation=None, plane=0):
    return Progress("adapting", plane, 1, step, 9, 0.0, loss, validation)


def add_result(viewer, image, **layer_options):
    """Denoise a layer without the dock, and add both results."""
    layer = viewer.add_image(image, **layer_options)
    result = denoise(image, rgb=layer.rgb, n_iter=1, n_passes=2, noise="independent")
    denoised = viewer.add_layer(denoised_layer(layer, result.image, result.report))
    (picture,) = pictures(result, layer.rgb)
    noise_map = viewer.add_layer(picture_layer(layer, picture))
    return result, denoised, noise_map


# Why it stopped


def test_after_a_run_the_course_and_the_networks_in_use_are_plotted(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(noisy, name="cells")
    course = widget.trust.course
    assert not course.isExpanded()
    run(widget, qtbot)
    course.expand()
    report = viewer.layers["cells denoised"].metadata["napari_mpi"]
    (adaptation,) = report["adaptations"]
    losses = adaptation["losses"]
    assert course.loss_plot.points(0) == (list(range(1, len(losses) + 1)), losses)
    steps, errors = course.validation_plot.points(0)
    assert steps[0] == 0  # before the network learnt
    assert errors[0] == adaptation["initial_validation"]
    used, _ = course.validation_plot.points(1)
    assert used == [step for step in adaptation["kept_at"] if step in steps]
    assert "4 iterations" in course.words.text()


def test_the_course_is_plotted_while_the_run_goes_on(
    viewer, widget, noisy, qtbot, monkeypatch
):
    real = Adaptation._drawn

    def slowly(self, step):
        time.sleep(0.02)
        return real(self, step)

    monkeypatch.setattr(Adaptation, "_drawn", slowly)
    viewer.add_image(noisy, name="cells")
    widget.form.advanced.n_iter.value = 100_000
    widget.trust.course.expand()
    widget.run()
    plot = widget.trust.course.loss_plot
    qtbot.waitUntil(lambda: len(plot.points(0)[0]) > 2, timeout=TIMEOUT)
    assert widget.running
    assert widget.trust.course.words.text() == "The run goes on."
    # The record of an earlier result does not take its place.
    other = viewer.add_image(noisy)
    widget._last = LastRun(other, {"verdict": None, "adaptations": []})
    widget.form.image.value = other
    assert widget.trust.course.words.text() == "The run goes on."
    widget.cancel()
    finish(widget, qtbot)
    assert widget.trust.course.words.text() != "The run goes on."


def test_many_iterations_are_drawn_once(viewer, qtbot, monkeypatch):
    panel = CoursePanel(viewer)
    qtbot.addWidget(panel)
    drawn = []
    real = panel.draw
    monkeypatch.setattr(panel, "draw", lambda: (drawn.append(1), real()))
    for step in range(1, 500):
        panel.follow(a_step(step))
    assert not drawn  # folded, it costs nothing
    panel.expand()
    del drawn[:]
    for step in range(500, 1000):
        panel.follow(a_step(step))
    qtbot.waitUntil(lambda: bool(drawn), timeout=TIMEOUT)
    assert len(drawn) == 1
    assert len(panel.loss_plot.points(0)[0]) == 999


def test_another_plane_begins_another_curve(viewer, qtbot):
    panel = CoursePanel(viewer)
    qtbot.addWidget(panel)
    panel.expand()
    for plane in (0, 1):
        for step in (1, 2, 3):
            panel.follow(a_step(step, loss=1.0 + plane, plane=plane))
    panel.now()
    assert panel.loss_plot.points(0) == ([1, 2, 3], [2, 2, 2])


def test_without_learning_there_is_no_plot_but_a_sentence(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy)
    widget.form.noise.value = "correlated"
    widget.form.advanced.n_iter.value = 0
    run(widget, qtbot)
    widget.trust.course.expand()
    assert widget.trust.course.loss_plot.isHidden()
    assert "did not learn" in widget.trust.course.words.text()


def test_the_published_presets_have_a_course_too(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy)
    widget.form.preset.value = "paper-fast"
    widget.form.advanced.n_iter.value = 5
    run(widget, qtbot)
    widget.trust.course.expand()
    assert len(widget.trust.course.loss_plot.points(0)[0]) == 5
    assert widget.trust.course.loss_plot.points(1)[0] == [5]
    assert widget.trust.course.validation_plot.isHidden()


def test_plots_follow_the_theme(viewer, qtbot):
    panel = CoursePanel(viewer)
    qtbot.addWidget(panel)
    for theme in ("light", "dark"):
        viewer.theme = theme
        expected = QColor(get_theme(theme).background.as_hex())
        assert panel.loss_plot._plot.backgroundBrush().color() == expected
        text = QColor(get_theme(theme).text.as_hex())
        assert panel.loss_plot._plot.getAxis("left").textPen().color() == text


# Words and figures


def test_words_come_first_and_figures_when_asked_for(viewer, widget, noisy, qtbot):
    viewer.add_image(noisy, name="cells")
    trust = widget.trust
    assert trust.words.isHidden()
    run(widget, qtbot)
    report = viewer.layers["cells denoised"].metadata["napari_mpi"]
    verdict = " ".join(report["verdict"]["warnings"])
    assert trust.words.text().startswith(verdict or "Nothing suspicious")
    assert report["choice"] in trust.words.text()
    assert not trust.words.isHidden()
    folds = [trust.course, trust.figures, trust.profile, trust.photon_transfer]
    assert not any(fold.isExpanded() for fold in folds)
    assert trust.figures.table.rowCount() == 15


def test_a_viewer_that_outlives_the_dock_is_not_disturbed(viewer, rng):
    viewer.add_image(rng.normal(size=(3, 20, 20)))
    trust = TrustPanel(viewer)
    trust.profile.expand()
    delete(trust)
    viewer.theme = "light"
    viewer.dims.set_current_step(0, 2)
    viewer.add_shapes()


def test_one_fold_is_open_at_a_time(viewer, qtbot):
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.course.toggleButton().click()
    assert trust.course.isExpanded()
    trust.figures.toggleButton().click()
    assert trust.figures.isExpanded()
    assert not trust.course.isExpanded()


def test_a_layer_with_a_record_is_explained_when_chosen(viewer, widget, noisy):
    result, denoised, _ = add_result(viewer, noisy, name="cells")
    assert widget.trust.words.isHidden()
    widget.form.image.value = denoised
    assert result.report["choice"] is None
    assert not widget.trust.words.isHidden()
    widget.trust.profile.expand()
    assert np.array_equal(widget.trust.profile.plot.points(1)[1], result.image[19])


# Line profile, noise and intensity


def test_the_profile_shows_input_and_denoised_of_the_shown_slice(viewer, rng, qtbot):
    stack = rng.poisson(50, (3, 24, 32)).astype(np.uint16)
    result, denoised, _ = add_result(
        viewer, stack, scale=(1, 0.5, 0.5), units=("pixel", "µm", "µm")
    )
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    panel = trust.profile
    panel.show_report(result.report, denoised)
    panel.expand()
    viewer.dims.set_current_step(0, 2)
    panel.now()
    distance, before = panel.plot.points(0)
    assert np.allclose(before, stack[2, 11])
    assert np.array_equal(panel.plot.points(1)[1], result.image[2, 11])
    assert distance[-1] == pytest.approx(0.5 * 31)
    assert panel.plot._plot.getAxis("bottom").labelText == "distance in µm"
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(
        lambda: np.allclose(panel.plot.points(0)[1], stack[0, 11]), timeout=TIMEOUT
    )


# napari 0.6 itself, where it draws shapes.
@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")
def test_the_profile_follows_a_drawn_line(viewer, rng, qtbot):
    image = rng.poisson(50, (24, 32)).astype(np.uint16)
    result, denoised, _ = add_result(
        viewer, image, scale=(0.5, 0.25), translate=(10, 20)
    )
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.profile.show_report(result.report, denoised)
    trust.profile.expand()
    trust.profile.draw_button.click()
    shapes = viewer.layers["profile line"]
    assert viewer.layers.selection.active is shapes
    # There is a line to be moved, across the middle.
    assert (shapes.mode, shapes.nshapes, shapes.selected_data) == ("select", 1, {0})
    plot = trust.profile.plot
    qtbot.waitUntil(lambda: len(plot.points(0)[0]) == 26, timeout=TIMEOUT)
    shapes.add_lines([[2, 5], [20, 5]])  # down a column
    qtbot.waitUntil(lambda: len(plot.points(0)[0]) == 19, timeout=TIMEOUT)
    assert np.allclose(plot.points(0)[1], image[2:21, 5])
    assert plot.points(0)[0][-1] == pytest.approx(18 * 0.5)
    # A third line takes over, and the layer is used again.
    trust.profile.draw_button.click()
    assert (shapes.nshapes, shapes.selected_data) == (2, {1})
    shapes.add_lines([[3, 0], [3, 31]])
    qtbot.waitUntil(lambda: len(plot.points(0)[0]) == 32, timeout=TIMEOUT)
    assert np.allclose(plot.points(0)[1], image[3])
    viewer.layers.remove(shapes)
    qtbot.waitUntil(lambda: np.allclose(plot.points(0)[1], image[11]), timeout=TIMEOUT)


@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")
@pytest.mark.parametrize(
    "geometry",
    [
        {"scale": (2, 0.5, 0.25), "translate": (1, 0, 20), "rotate": (30, 0, 0)},
        {"affine": [[2, 0, 0, 5], [3, 0, 1, 6], [0, -1, 0.5, 7], [0, 0, 0, 1]]},
        {"scale": (1, 0.1, 0.1), "units": ("um",) * 3},
    ],
    ids=["turned", "sheared", "other units"],
)
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
def test_a_line_is_put_on_the_image_however_it_lies(viewer, rng, qtbot, geometry):
    viewer.add_image(np.zeros((3, 9, 9)), units=geometry.get("units") and ("nm",) * 3)
    stack = rng.poisson(50, (3, 25, 31)).astype(np.uint16)
    result, denoised, _ = add_result(viewer, stack, **geometry)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.profile.show_report(result.report, denoised)
    trust.profile.expand()
    show_plane(denoised, (1,), viewer)
    trust.profile.now()
    trust.profile.draw_button.click()
    line = viewer.layers["profile line"]
    # An image's pixel is drawn from 0 to 1, and its middle is where the line runs.
    assert np.allclose(drawn(viewer, line), drawn(viewer, denoised, 0.5))
    trust.profile.now()
    assert trust.profile.words.text() == "Along the line that is drawn."
    assert np.allclose(trust.profile.plot.points(0)[1], stack[1, 12, 3:28])


def drawn(viewer, layer, within_pixel=0.0):
    """Where napari draws three places of a plane."""
    canvas = viewer.window._qt_viewer.canvas
    if hasattr(canvas, "_update_world_units"):  # waits for the next time it draws
        canvas._update_world_units()
    places = np.array([[0, 0, 0, 1], [0, 9, 0, 1], [7, 0, 0, 1]], float)
    places[:, :2] += within_pixel
    return places @ canvas.layer_to_visual[layer]._master_transform.matrix


@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")
def test_only_what_a_line_crosses_of_the_image_is_plotted(viewer, rng, qtbot):
    image = rng.poisson(50, (24, 32)).astype(np.uint16)
    result, denoised, _ = add_result(viewer, image)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.profile.show_report(result.report, denoised)
    trust.profile.expand()
    lines = viewer.add_shapes([[5, -10], [5, 20]], shape_type="line")
    trust.profile.now()
    distance, before = trust.profile.plot.points(0)
    assert np.array_equal(before, image[5, :21])
    assert distance == list(range(10, 31))
    lines.add_lines([[-5, 0], [-5, 31]])
    trust.profile.now()
    assert trust.profile.words.text() == "The line lies outside the image."
    assert trust.profile.plot.points(0) == ([], [])


def test_nothing_is_plotted_where_the_slider_stands_outside_the_result(
    viewer, rng, qtbot
):
    viewer.add_image(np.zeros((9, 24, 32)))
    stack = rng.poisson(50, (3, 24, 32)).astype(np.uint16)
    result, denoised, _ = add_result(viewer, stack)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.show_report(result.report, denoised)
    viewer.dims.set_point(0, 7)
    for panel in (trust.profile, trust.photon_transfer):
        panel.expand()
        assert "outside" in panel.words.text()
        assert panel.plot.isHidden()
        viewer.dims.set_point(0, 2)
        panel.now()
        assert not panel.plot.isHidden()
        viewer.dims.set_point(0, 7)


def test_without_the_noise_map_it_is_said_what_is_needed(viewer, noisy, qtbot):
    result, denoised, noise_map = add_result(viewer, noisy)
    viewer.layers.remove(noise_map)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.show_report(result.report, denoised)
    for panel in (trust.profile, trust.photon_transfer):
        panel.expand()
        assert "needs the denoised layer and its noise map" in panel.words.text()
        assert panel.plot.isHidden()
    assert not trust.profile.draw_button.isEnabled()


def test_noise_is_plotted_over_intensity_with_the_estimate(viewer, noisy, qtbot):
    result, denoised, _ = add_result(viewer, noisy)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.show_report(result.report, denoised)
    trust.photon_transfer.expand()
    plot = trust.photon_transfer.plot
    intensity, variance = plot.points(0)
    assert len(intensity) >= 2
    assert min(variance) > 0
    line, expected = plot.points(1)
    assert line[0] == intensity[0]
    noise = result.report["noise_estimate"]
    above = max(line[-1] - noise["offset"], 0)
    grown = noise["gain"] * above + (noise["speckle"] * above) ** 2
    assert expected[-1] == pytest.approx(noise["read_noise"] ** 2 + grown)


def test_colours_are_averaged(viewer, rng, qtbot):
    image = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
    result, denoised, _ = add_result(viewer, image, rgb=True)
    trust = TrustPanel(viewer)
    qtbot.addWidget(trust)
    trust.show_report(result.report, denoised)
    trust.profile.expand()
    assert np.allclose(trust.profile.plot.points(0)[1], image[9].mean(axis=-1))
    trust.photon_transfer.expand()
    assert trust.photon_transfer.plot.points(0)[0]


def test_results_are_found_by_their_record_and_not_by_their_name(viewer, noisy):
    first, denoised, noise_map = add_result(viewer, noisy, name="cells")
    second, *_ = add_result(viewer, noisy[::-1], name="cells")
    denoised.name = "my favourite"
    found = result_layers(viewer, first.report)
    assert found.denoised is denoised
    assert found.noise_map is noise_map
    assert result_layers(viewer, second.report).denoised is not denoised
    assert result_layers(viewer, None) is None


# Uncertainty


def test_the_uncertainty_is_a_third_layer_when_asked_for(viewer, widget, noisy, qtbot):
    layer = viewer.add_image(noisy, name="cells", scale=(0.5, 0.25))
    assert not widget.form.advanced.uncertainty.value
    widget.form.advanced.uncertainty.value = True
    run(widget, qtbot)
    assert [one.name for one in viewer.layers] == [
        "cells",
        "cells noise map",
        "cells uncertainty",
        "cells denoised",
    ]
    uncertainty = viewer.layers["cells uncertainty"]
    assert uncertainty.data.dtype == np.float32
    assert not uncertainty.visible
    assert np.array_equal(uncertainty.scale, layer.scale)
    assert widget.form.image.value is layer


def test_colours_share_one_uncertainty(viewer, rng):
    image = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
    layer = viewer.add_image(image, rgb=True)
    result = denoise(image, rgb=True, n_iter=1, n_passes=2, uncertainty=True)
    _, uncertainty = pictures(result, rgb=True)
    assert picture_layer(layer, uncertainty).data.shape == (20, 24)
