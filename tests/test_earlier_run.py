"""'Use these settings' takes over the planes of a run, where the image has them."""

import numpy as np
import pytest

from napari_mpi import denoise


@pytest.fixture
def report(noisy):
    return denoise(noisy, n_iter=1, n_passes=2).report


@pytest.fixture
def use(viewer, denoise_dock, report):
    """Use the settings of a run of some planes, whose result is open."""

    def use_settings(**facts):
        facts = {"channel_axis": None, **report, **facts}
        result = np.zeros((1, 20, 20))
        earlier = viewer.add_image(
            result, name="earlier", metadata={"napari_mpi": facts}
        )
        denoise_dock.form.image.value = earlier
        denoise_dock.replay.use_button.clicked.emit(True)

    return use_settings


@pytest.fixture
def choose(viewer, denoise_dock):
    """Choose a stack of this shape in the form."""

    def choose_stack(*leading, name="cells", **options):
        layer = viewer.add_image(np.zeros((*leading, 20, 20)), name=name, **options)
        denoise_dock.form.image.value = layer
        return layer

    return choose_stack


def planes(dock, layer):
    return dock.form.planes.part(layer, dock._viewer.dims.point).planes


def test_a_range_is_chosen_in_the_image_that_has_it(denoise_dock, use, choose):
    use(planes="1:3")
    assert "planes 1 to 2 only of the image" in denoise_dock.status.value
    assert "choose that image" in denoise_dock.status.value
    cells = choose(5)
    assert denoise_dock.form.planes.which.value == "range"
    assert planes(denoise_dock, cells) == "1:3"
    assert "planes 1 to 2 only will be denoised" in denoise_dock.status.value


def test_an_image_without_these_planes_is_told_and_taken_whole(
    denoise_dock, use, choose
):
    use(planes="3:4")
    small = choose(3, name="small")
    assert "plane 3 only, which small does not have" in denoise_dock.status.value
    assert planes(denoise_dock, small) == ""
    single = choose(name="single")
    assert "which single does not have" in denoise_dock.status.value
    assert planes(denoise_dock, single) == ""
    assert planes(denoise_dock, choose(4)) == "3:4"


def test_the_last_run_is_repeated_on_its_own_input(viewer, denoise_dock, noisy, qtbot):
    cells = viewer.add_image(np.stack([noisy] * 3), name="cells")
    form = denoise_dock.form
    form.advanced.n_iter.value, form.advanced.n_passes.value = 1, 2
    viewer.dims.set_current_step(0, 2)
    form.planes.which.value = "current"
    denoise_dock.run()
    qtbot.waitUntil(lambda: not denoise_dock.running, timeout=60_000)
    form.planes.which.value = "all"
    viewer.dims.set_current_step(0, 0)
    denoise_dock.use_settings()
    assert planes(denoise_dock, cells) == "2:3"


def test_a_run_of_all_planes_lets_all_be_chosen(denoise_dock, use, choose):
    cells = choose(5)
    denoise_dock.form.planes.which.value = "range"
    denoise_dock.form.planes.first.value = 3
    use()
    assert denoise_dock.status.value == "The form holds these settings now."
    denoise_dock.form.image.value = cells
    assert planes(denoise_dock, cells) == ""


def test_a_single_plane_among_several_axes_is_shown_and_chosen(
    viewer, denoise_dock, use, choose
):
    use(planes="1:2, 3:4")
    cells = choose(3, 5, scale=(2, 0.5, 1, 1))
    assert denoise_dock.form.planes.which.value == "current"
    assert viewer.dims.current_step[:2] == (1, 3)
    assert planes(denoise_dock, cells) == "1:2, 3:4"
    assert "the planes [1:2, 3:4] only" in denoise_dock.status.value


def test_planes_of_other_axes_are_told_and_nothing_is_moved(
    viewer, denoise_dock, use, choose
):
    use(planes="1:3, 2:4")
    cells = choose(3, 5)
    assert "which cells does not have" in denoise_dock.status.value
    assert planes(denoise_dock, cells) == ""
    before = viewer.dims.point
    use(planes="1:2, 1:2, 1:2, 1:2")
    denoise_dock.form.image.value = cells
    assert "which cells does not have" in denoise_dock.status.value
    assert viewer.dims.point == before


def test_what_is_chosen_by_hand_afterwards_lasts(denoise_dock, use, choose):
    use(planes="1:3")
    choose(5)
    denoise_dock.form.planes.which.value = "all"
    other = choose(6, name="other")
    assert planes(denoise_dock, other) == ""


def test_channels_that_are_taken_otherwise_are_told(denoise_dock, use, choose):
    use(channel_axis=0)
    choose(2, name="plain")
    assert "axis 0 of plain is not labelled" in denoise_dock.status.value
    denoise_dock.status.value = ""
    choose(2, name="labelled", axis_labels=("c", "y", "x"))
    assert denoise_dock.status.value == ""
    use()
    choose(2, name="two", axis_labels=("channel", "y", "x"))
    assert "two has channels" in denoise_dock.status.value
