"""'Use these settings' takes over the planes of a run, where the image has them."""

import numpy as np
import pytest

from napari_mpi import denoise


@pytest.fixture
def report(noisy):
    return denoise(noisy, n_iter=1, n_passes=2).report


@pytest.fixture
def use(viewer, widget, report):
    """Use the settings of a run of some planes, whose result is open."""

    def use_settings(**facts):
        facts = {"channel_axis": None, **report, **facts}
        result = np.zeros((1, 20, 20))
        earlier = viewer.add_image(
            result, name="earlier", metadata={"napari_mpi": facts}
        )
        widget.form.image.value = earlier
        widget.replay.use_button.clicked.emit(True)

    return use_settings


@pytest.fixture
def choose(viewer, widget):
    """Choose a stack of this shape in the form."""

    def choose_stack(*leading, name="cells", **options):
        layer = viewer.add_image(np.zeros((*leading, 20, 20)), name=name, **options)
        widget.form.image.value = layer
        return layer

    return choose_stack


def planes(dock, layer):
    return dock.form.planes.part(layer, dock._viewer).planes


def test_a_range_is_chosen_in_the_image_that_has_it(widget, use, choose):
    use(planes="1:3")
    assert "planes 1 to 2 only of the image" in widget.status.value
    assert "choose that image" in widget.status.value
    cells = choose(5)
    assert widget.form.planes.which.value == "range"
    assert planes(widget, cells) == "1:3"
    assert "planes 1 to 2 only will be denoised" in widget.status.value


def test_an_image_without_these_planes_is_told_and_taken_whole(widget, use, choose):
    use(planes="3:4")
    small = choose(3, name="small")
    assert "plane 3 only, which small does not have" in widget.status.value
    assert planes(widget, small) == ""
    single = choose(name="single")
    assert "which single does not have" in widget.status.value
    assert planes(widget, single) == ""
    assert planes(widget, choose(4)) == "3:4"


def test_the_last_run_is_repeated_on_its_own_input(viewer, widget, noisy, qtbot):
    cells = viewer.add_image(np.stack([noisy] * 3), name="cells")
    form = widget.form
    form.advanced.n_iter.value, form.advanced.n_passes.value = 1, 2
    viewer.dims.set_current_step(0, 2)
    form.planes.which.value = "current"
    widget.run()
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)
    form.planes.which.value = "all"
    viewer.dims.set_current_step(0, 0)
    widget.use_settings()
    assert planes(widget, cells) == "2:3"


def test_a_run_of_all_planes_lets_all_be_chosen(widget, use, choose):
    cells = choose(5)
    widget.form.planes.which.value = "range"
    widget.form.planes.first.value = 3
    use()
    assert widget.status.value == "The form holds these settings now."
    widget.form.image.value = cells
    assert planes(widget, cells) == ""


def test_a_single_plane_among_several_axes_is_shown_and_chosen(
    viewer, widget, use, choose
):
    use(planes="1:2, 3:4")
    cells = choose(3, 5, scale=(2, 0.5, 1, 1))
    assert widget.form.planes.which.value == "current"
    assert viewer.dims.current_step[:2] == (1, 3)
    assert planes(widget, cells) == "1:2, 3:4"
    assert "the planes [1:2, 3:4] only" in widget.status.value


def test_planes_of_other_axes_are_told_and_nothing_is_moved(
    viewer, widget, use, choose
):
    use(planes="1:3, 2:4")
    cells = choose(3, 5)
    assert "which cells does not have" in widget.status.value
    assert planes(widget, cells) == ""
    before = viewer.dims.point
    use(planes="1:2, 1:2, 1:2, 1:2")
    widget.form.image.value = cells
    assert "which cells does not have" in widget.status.value
    assert viewer.dims.point == before


def test_what_is_chosen_by_hand_afterwards_lasts(widget, use, choose):
    use(planes="1:3")
    choose(5)
    widget.form.planes.which.value = "all"
    other = choose(6, name="other")
    assert planes(widget, other) == ""


def test_channels_that_are_taken_otherwise_are_told(widget, use, choose):
    use(channel_axis=0)
    choose(2, name="plain")
    assert "axis 0 of plain is not labelled" in widget.status.value
    widget.status.value = ""
    choose(2, name="labelled", axis_labels=("c", "y", "x"))
    assert widget.status.value == ""
    use()
    choose(2, name="two", axis_labels=("channel", "y", "x"))
    assert "two has channels" in widget.status.value
