"""The dock on layers of every kind, on chosen planes, and on several layers."""

import numpy as np
import pytest
from docks import TIMEOUT, finish
from napari.utils.notifications import notification_manager

from napari_mpi import denoise

QUICK = {"n_iter": 1, "n_passes": 2}


@pytest.fixture
def widget(widget):
    widget.form.advanced.n_iter.value = QUICK["n_iter"]
    widget.form.advanced.n_passes.value = QUICK["n_passes"]
    return widget


def run(widget, qtbot):
    widget.run_button.clicked.emit(True)
    finish(widget, qtbot)


@pytest.fixture
def stack(noisy):
    return np.stack([noisy, noisy[::-1], noisy[:, ::-1], noisy // 2])


def test_the_plane_you_see_is_denoised_alone_and_in_its_place(
    viewer, widget, stack, qtbot
):
    layer = viewer.add_image(stack, name="cells", scale=(3, 0.5, 0.5))
    viewer.dims.set_current_step(0, 2)
    widget.form.planes.which.value = "current"
    run(widget, qtbot)
    denoised = viewer.layers["cells denoised"]
    assert denoised.data.shape == (1, 40, 48)
    assert np.allclose(
        denoised.data_to_world((0, 1, 2)), layer.data_to_world((2, 1, 2))
    )
    assert np.array_equal(denoised.data, denoise(stack[2:3], **QUICK).image)
    noise_map = viewer.layers["cells noise map"]
    assert np.array_equal(noise_map.translate, denoised.translate)
    assert denoised.metadata["napari_mpi"]["planes"] == "2:3"
    assert widget.form.planes.which.value == "current"
    assert widget.form.image.value is layer


def test_a_plane_that_the_slider_is_beyond_is_not_denoised(viewer, widget, stack):
    viewer.add_image(np.concatenate([stack] * 3), name="long")
    viewer.add_image(stack, name="short")
    viewer.dims.set_point(0, 8)
    widget.form.planes.which.value = "current"
    widget.run_button.clicked.emit(True)
    assert not widget.running
    assert "No single plane of short is to be seen" in widget.status.value


def test_planes_are_offered_of_an_image_that_was_open_before_the_dock(viewer, stack):
    layer = viewer.add_image(stack, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    planes = widget.form.planes
    planes.which.value = "range"
    planes.first.value, planes.last.value = 1, 2
    assert planes.part(layer, viewer).planes == "1:3"


def test_the_layer_that_is_selected_in_the_list_is_chosen(viewer, noisy):
    truth = viewer.add_image(noisy, name="truth")
    cells = viewer.add_image(noisy, name="cells")
    viewer.layers.selection.active = cells
    _, widget = viewer.window.add_plugin_dock_widget("napari-mpi", "MPI denoise")
    assert widget.form.image.value is cells
    viewer.layers.selection.active = truth
    assert widget.form.image.value is truth
    more = viewer.add_image(noisy, name="more")
    assert widget.form.image.value is more
    # What is chosen in the form stays until another layer is selected.
    widget.form.image.value = cells
    viewer.add_points([[1, 1]])
    assert widget.form.image.value is cells
    viewer.layers.selection.active = truth
    assert widget.form.image.value is truth


def test_a_layer_that_is_renamed_stays_the_one_to_denoise(
    viewer, widget, noisy, stack, qtbot
):
    viewer.add_image(noisy, name="control")
    treated = viewer.add_image(stack, name="Image 2")
    planes = widget.form.planes
    planes.which.value = "range"
    planes.first.value, planes.last.value = 1, 2
    treated.name = "treated"
    assert widget.form.image.value is treated
    assert (planes.first.value, planes.last.value) == (1, 2)
    run(widget, qtbot)
    assert "treated denoised" in viewer.layers
    assert "control denoised" not in viewer.layers


def test_the_button_follows_the_image_of_the_form(viewer, widget, noisy):
    layers = [viewer.add_image(noisy) for _ in range(3)]
    viewer.layers.selection = set(layers[1:])
    assert widget.run_button.text == "&Run on 2 layers"
    widget.form.image.value = layers[0]
    assert widget.run_button.text == "&Run"


def test_results_that_are_selected_to_look_at_are_not_chosen(
    viewer, widget, noisy, qtbot
):
    cells = viewer.add_image(noisy, name="cells")
    run(widget, qtbot)
    for name in ("cells denoised", "cells noise map"):
        viewer.layers.selection.active = viewer.layers[name]
        assert widget.form.image.value is cells
    widget.try_button.clicked.emit(True)
    finish(widget, qtbot)
    viewer.layers.selection.active = viewer.layers["cells region fast"]
    assert widget.form.image.value is cells


def test_the_panel_follows_the_layer_list_again_after_a_run(
    viewer, widget, noisy, qtbot
):
    other = viewer.add_image(noisy, name="other")
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    viewer.layers.selection.active = other
    assert widget.form.image.value is cells
    finish(widget, qtbot)
    assert widget.form.image.value is other
    viewer.layers.selection.active = viewer.layers["cells denoised"]
    viewer.layers.selection.active = other
    assert widget.form.image.value is other


def test_a_layer_that_is_selected_again_after_a_run_is_chosen(
    viewer, widget, noisy, qtbot
):
    viewer.add_image(noisy, name="cells")
    other = viewer.add_image(noisy, name="other")
    viewer.layers.selection.active = other
    widget.form.image.value = viewer.layers["cells"]
    widget.run()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers, timeout=TIMEOUT)
    viewer.layers.selection.active = viewer.layers["cells denoised"]
    finish(widget, qtbot)
    viewer.layers.selection.active = other
    assert widget.form.image.value is other


def test_a_run_does_not_take_the_brush_away(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(noisy, name="cells")
    labels = viewer.add_labels(np.zeros(noisy.shape, int), name="mask")
    labels.mode = "paint"
    run(widget, qtbot)
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"
    # Whoever looks on sees the result.
    viewer.layers.selection.active = cells
    run(widget, qtbot)
    assert viewer.layers.selection.active.name.startswith("cells denoised")


def test_the_plane_you_see_is_refused_where_there_is_none(viewer, widget, stack):
    viewer.add_image(stack, name="cells")
    widget.form.planes.which.value = "current"
    viewer.dims.ndisplay = 3
    widget.run()
    assert not widget.running
    assert "show Y and X in 2-D first" in widget.status.value


def test_an_input_that_is_moved_during_a_run_takes_its_results_along(
    viewer, widget, stack, qtbot
):
    cells = viewer.add_image(stack, name="cells")
    widget.form.planes.which.value = "range"
    widget.form.planes.first.value = 1

    def move(event):
        if event.value.name == "cells noise map":  # the run is not complete yet
            cells.scale, cells.translate = (3, 0.1, 0.1), (5, 0, 0)

    viewer.layers.events.inserted.connect(move)
    run(widget, qtbot)
    for name in ("cells denoised", "cells noise map"):
        layer = viewer.layers[name]
        assert np.allclose(
            layer.data_to_world((0, 1, 2)), cells.data_to_world((1, 1, 2))
        )


def during_the_run(viewer, do):
    """Do something when the result is there and is not complete yet."""

    def see(event):
        if event.value.name == "cells noise map":
            do()

    viewer.layers.events.inserted.connect(see)
    return see  # napari keeps a weak reference only


@pytest.mark.parametrize("shape", [(40, 48), (5, 40, 48), (64, 60)])
def test_an_image_that_is_replaced_during_the_run_leaves_the_result_of_the_former(
    viewer, widget, noisy, qtbot, shape
):
    cells = viewer.add_image(noisy, name="cells", scale=(0.5, 0.25), translate=(3, 4))

    def replace():
        cells.data = np.ones(shape, np.uint16)

    keep = during_the_run(viewer, replace)  # noqa: F841
    run(widget, qtbot)
    assert widget.status.value.endswith(
        "The image was replaced during the run: the result is of the former one."
    )
    for name in ("cells denoised", "cells noise map"):
        layer = viewer.layers[name]
        assert layer.data.shape == noisy.shape
        assert tuple(layer.data_to_world((2, 4))) == (4, 5)


def test_an_image_that_gains_an_axis_while_the_network_learns_gives_its_result(
    viewer, widget, noisy, stack, qtbot
):
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    cells.data = stack
    finish(widget, qtbot)
    assert widget.status.value.startswith("Done")
    assert viewer.layers["cells denoised"].data.shape == noisy.shape


def test_a_queued_image_that_is_replaced_is_named_and_not_denoised(
    viewer, widget, noisy, stack, qtbot
):
    first = viewer.add_image(noisy, name="first")
    second = viewer.add_image(stack, name="second")
    viewer.layers.selection = {first, second}
    widget.run()
    second.data = noisy
    finish(widget, qtbot)
    assert "second: It holds another image by now" in widget.status.value
    assert "second denoised" not in viewer.layers


def test_the_choice_of_planes_follows_an_image_that_is_replaced(
    viewer, widget, rng, qtbot
):
    def planes(number):
        return rng.integers(1, 60000, (number, 40, 48), dtype=np.uint16)

    cells = viewer.add_image(planes(10), name="cells")
    choice = widget.form.planes
    choice.which.value = "range"
    choice.first.value, choice.last.value = 5, 9
    cells.data = planes(3)
    assert (choice.first.value, choice.last.value, choice.last.max) == (2, 2, 2)
    cells.data = planes(10)[0]
    assert choice.part(cells, None).planes == ""
    cells.data = planes(4)
    assert choice.part(cells, None).planes == "3:4"


def test_planes_that_an_image_does_not_have_are_not_tried(viewer, widget, stack):
    cells = viewer.add_image(stack, name="cells")
    choice = widget.form.planes
    choice.which.value = "range"
    choice.first.value, choice.last.value = 2, 3
    with cells.events.data.blocker():
        cells.data = stack[:2]
    widget.try_region()
    assert not widget.running
    assert "has the planes 0 to 1 only" in widget.status.value


def test_the_results_have_the_name_that_the_image_had_at_the_start(
    viewer, widget, noisy, qtbot
):
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    cells.name = "renamed"
    finish(widget, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert names == ["renamed", "cells noise map", "cells denoised"]


def test_several_layers_that_are_selected_stay_so_when_a_run_ends(
    viewer, widget, noisy, qtbot
):
    other = viewer.add_image(noisy, name="other")
    cells = viewer.add_image(noisy, name="cells")
    widget.run()
    viewer.layers.selection = {cells, other}
    finish(widget, qtbot)
    assert viewer.layers.selection == {cells, other}


def test_a_range_of_time_points(viewer, widget, stack, qtbot):
    viewer.add_image(stack, name="cells", axis_labels=("t", "y", "x"))
    widget.form.planes.which.value = "range"
    widget.form.planes.first.value, widget.form.planes.last.value = 1, 2
    run(widget, qtbot)
    denoised = viewer.layers["cells denoised"]
    assert np.array_equal(denoised.data, denoise(stack[1:3], **QUICK).image)
    assert tuple(denoised.translate) == (1, 0, 0)
    assert denoised.axis_labels == ("t", "y", "x")


def test_channels_of_a_layer_are_denoised_each_on_its_own(viewer, widget, noisy, qtbot):
    two = np.stack([noisy, noisy // 2])
    viewer.add_image(two, name="cells", axis_labels=("c", "y", "x"))
    run(widget, qtbot)
    shown = viewer.layers["cells denoised"]
    for number, channel in enumerate(two):
        assert np.array_equal(shown.data[number], denoise(channel, **QUICK).image)
    assert shown.metadata["napari_mpi"]["channel_axis"] == 0


def test_the_button_says_how_many_layers_it_is_about(viewer, widget, noisy):
    layers = [viewer.add_image(noisy) for _ in range(3)]
    assert widget.run_button.text == "&Run"
    viewer.layers.selection = set(layers)
    assert widget.run_button.text == "&Run on 3 layers"
    viewer.layers.remove(layers[0])
    assert widget.run_button.text == "&Run on 2 layers"
    viewer.layers.selection = {layers[1]}
    assert widget.run_button.text == "&Run"


def test_several_layers_are_done_in_turn_and_fail_on_their_own(
    viewer, widget, noisy, stack, qtbot
):
    bad = noisy.astype(np.float32)
    bad[3, 4] = np.nan
    viewer.add_image(noisy, name="cells")
    viewer.add_image(bad, name="broken", contrast_limits=(0, 1))
    viewer.add_image(stack[:2], name="stack", colormap="green")
    viewer.layers.selection = set(viewer.layers)
    notification_manager.records.clear()
    run(widget, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert sorted(names) == [
        "broken",
        "cells",
        "cells denoised",
        "cells noise map",
        "stack",
        "stack denoised",
        "stack noise map",
    ]
    assert viewer.layers["stack denoised"].colormap.name == "green"
    alone = denoise(noisy, **QUICK).image
    assert np.array_equal(viewer.layers["cells denoised"].data, alone)
    lines = widget.status.value.splitlines()
    assert lines[0] == "2 of 3 layers are done."
    assert lines[2].startswith("broken: Not done: 1 of 1920 pixels are NaN")
    assert len(notification_manager.records) >= 1
    assert widget.run_button.enabled


def test_cancel_ends_all_and_keeps_what_was_done_before(viewer, widget, noisy, qtbot):
    first = viewer.add_image(noisy, name="first")
    second = viewer.add_image(noisy, name="second")
    third = viewer.add_image(noisy, name="third")
    viewer.layers.selection = {first, second, third}
    widget.run()
    qtbot.waitUntil(lambda: "first denoised" in viewer.layers, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "second (2 of 3" in widget.status.value, timeout=TIMEOUT)
    widget.cancel()
    finish(widget, qtbot)
    names = {layer.name for layer in viewer.layers}
    assert names == {"first", "second", "third", "first denoised", "first noise map"}
    assert widget.status.value == "Cancelled; what was done is kept."


def test_a_layer_that_was_removed_meanwhile_costs_only_itself(
    viewer, widget, noisy, qtbot
):
    first = viewer.add_image(noisy, name="first")
    second = viewer.add_image(noisy, name="second")
    third = viewer.add_image(noisy, name="third")
    viewer.layers.selection = {first, second, third}
    widget.run()
    viewer.layers.remove(second)
    viewer.layers.remove(first)
    finish(widget, qtbot)
    names = {layer.name for layer in viewer.layers}
    assert names == {"third", "third denoised", "third noise map"}
    assert "second: It was removed." in widget.status.value


def test_without_live_preview_nothing_is_shown_before_the_end(
    viewer, widget, stack, qtbot, monkeypatch
):
    from napari_mpi._napari.preferences import Preferences

    monkeypatch.setattr(
        Preferences, "load", classmethod(lambda cls: cls(live_preview=False))
    )
    viewer.add_image(stack, name="cells")
    added = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value.name))
    run(widget, qtbot)
    assert added == ["cells noise map", "cells denoised"]
    denoised = viewer.layers["cells denoised"]
    assert np.array_equal(denoised.data, denoise(stack, **QUICK).image)


def test_a_multiscale_layer_is_denoised_at_full_resolution(
    viewer, widget, noisy, qtbot
):
    layer = viewer.add_image(
        [noisy, noisy[::2, ::2]], multiscale=True, name="cells", scale=(0.5, 0.5)
    )
    run(widget, qtbot)
    denoised = viewer.layers["cells denoised"]
    assert np.array_equal(denoised.data, denoise(noisy, **QUICK).image)
    assert np.allclose(denoised.extent.world, layer.extent.world)
