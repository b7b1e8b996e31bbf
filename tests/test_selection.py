import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_mpi._napari.roles import ROLE
from napari_mpi._napari.selection import LayerPart, PlaneChoice, chosen_layers


@pytest.fixture
def choice(qtbot):
    choice = PlaneChoice()
    choice.show()
    yield choice
    choice.close()


@pytest.fixture
def model():
    """A viewer without a window."""
    return ViewerModel()


@pytest.fixture
def stack(rng):
    return Image(
        rng.normal(size=(5, 20, 24)),
        scale=(2, 0.5, 0.5),
        translate=(10, 0, 0),
        axis_labels=("t", "y", "x"),
    )


def test_a_single_plane_leaves_nothing_to_choose(choice, model):
    for shape in [(20, 24), (1, 20, 24)]:
        layer = Image(np.zeros(shape))
        choice.follow(layer)
        assert not choice.visible
        assert choice.part(layer, model) == LayerPart(layer)


def test_all_planes_are_taken_as_they_are(choice, stack, model):
    choice.follow(stack)
    assert choice.visible
    part = choice.part(stack, model)
    assert part.array() is stack.data
    assert not any(part.offset)
    assert part.planes == ""


def test_the_plane_you_see_is_where_the_sliders_stand(choice, stack, model):
    choice.follow(stack)
    choice.which.value = "current"
    model.add_layer(stack)
    model.dims.set_point(0, 16)  # the first plane lies at 10, the next at 12
    part = choice.part(stack, model)
    assert part.planes == "3:4"
    assert part.offset == (3, 0, 0)
    np.testing.assert_array_equal(part.array(), stack.data[3:4])


def test_a_range_counts_as_the_slider_does_and_takes_either_order(choice, stack, model):
    choice.follow(stack)
    assert not choice.range.visible
    choice.which.value = "range"
    assert choice.range.visible
    assert (choice.first.max, choice.last.max) == (4, 4)
    choice.first.value, choice.last.value = 3, 1
    part = choice.part(stack, model)
    np.testing.assert_array_equal(part.array(), stack.data[1:4])


def test_a_range_that_another_layer_does_not_have_is_refused(choice, stack, rng, model):
    choice.follow(stack)
    choice.which.value = "range"
    choice.first.value, choice.last.value = 3, 4
    short = Image(rng.normal(size=(2, 20, 24)), name="short")
    with pytest.raises(ValueError, match="short has the planes 0 to 1 only"):
        choice.part(short, model)


def test_a_part_knows_which_of_its_planes_is_one_of_the_layer(stack):
    assert LayerPart(stack).place_of((4,)) == (4,)
    part = LayerPart(stack, (slice(1, 3),))
    assert part.place_of((2,)) == (1,)
    assert part.place_of((3,)) is None


def test_the_range_is_named_after_its_axis(choice, stack):
    choice.which.value = "range"
    choice.follow(stack)
    assert choice.which.current_choice == "t from … to …"
    choice.follow(Image(stack.data))
    assert choice.which.current_choice == "from … to …"


def test_the_range_is_of_the_first_axis_that_has_several_planes(choice, rng):
    layer = Image(rng.normal(size=(1, 6, 20, 24)))
    choice.follow(layer)
    choice.which.value = "range"
    choice.first.value, choice.last.value = 2, 3
    part = choice.part(layer, (0.0,) * 4)
    assert part.array().shape == (1, 2, 20, 24)
    assert part.offset == (0, 2, 0, 0)


def test_what_was_chosen_outlasts_a_look_at_another_layer(choice, stack):
    choice.follow(stack)
    choice.which.value = "current"
    choice.follow(Image(np.zeros((20, 24))))
    choice.follow(stack)
    assert choice.which.value == "current"


def test_a_range_outlasts_a_look_at_a_shorter_stack(choice, rng):
    long, short = (Image(rng.normal(size=(n, 20, 24))) for n in (10, 5))
    choice.follow(long)
    choice.first.value, choice.last.value = 3, 7
    choice.follow(short)
    assert (choice.first.value, choice.last.value) == (3, 4)
    choice.follow(long)
    assert (choice.first.value, choice.last.value) == (3, 7)


def test_the_last_plane_is_that_of_each_stack_until_another_is_asked_for(choice, rng):
    for length in (5, 10, 4):
        choice.follow(Image(rng.normal(size=(length, 20, 24))))
        assert (choice.first.value, choice.last.value) == (0, length - 1)


def test_a_plane_that_is_not_to_be_seen_is_not_taken(choice, stack, model):
    choice.follow(stack)
    model.add_layer(stack)
    model.dims.ndisplay = 3
    assert choice.part(stack, model) == LayerPart(stack)
    choice.which.value = "current"
    with pytest.raises(ValueError, match="show Y and X in 2-D first"):
        choice.part(stack, model)


def test_colours_are_no_planes(choice, rng):
    layer = Image(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8), rgb=True)
    choice.follow(layer)
    assert not choice.visible


def test_several_selected_image_layers_are_all_meant(make_napari_viewer, noisy):
    viewer = make_napari_viewer()
    a, b = viewer.add_image(noisy), viewer.add_image(noisy)
    labels = viewer.add_labels(np.zeros((20, 20), int))
    assert isinstance(labels, Labels)
    viewer.layers.selection = {a, labels}
    assert chosen_layers(viewer, b) == [b]
    viewer.layers.selection = {b, a, labels}
    assert chosen_layers(viewer, a) == [a, b]
    assert chosen_layers(make_napari_viewer(), None) == []


def test_the_image_of_the_form_comes_before_others_that_are_selected(viewer, noisy):
    a, b, chosen = (viewer.add_image(noisy) for _ in range(3))
    viewer.layers.selection = {a, b}
    assert chosen_layers(viewer, chosen) == [chosen]


def test_results_that_are_selected_with_images_are_not_denoised_again(viewer, noisy):
    a, b = viewer.add_image(noisy), viewer.add_image(noisy)
    denoised = viewer.add_image(noisy, metadata={ROLE: "denoised"})
    noise_map = viewer.add_image(noisy, metadata={ROLE: "noise map"})
    viewer.layers.selection = {a, denoised, noise_map}
    assert chosen_layers(viewer, a) == [a]
    viewer.layers.selection = {a, b, denoised}
    assert chosen_layers(viewer, b) == [a, b]
    # They are meant where they were chosen on purpose.
    assert chosen_layers(viewer, denoised) == [denoised]
    viewer.layers.selection = {denoised, noise_map}
    assert chosen_layers(viewer, denoised) == [denoised, noise_map]
