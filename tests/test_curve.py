import pytest

from napari_mpi._napari.curve import LossCurve


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def curve(viewer, qtbot):
    curve = LossCurve(viewer)
    qtbot.addWidget(curve)
    return curve


def test_a_few_losses_are_shown_one_by_one(curve):
    curve.show_losses([0.1, 0.05, 0.02])
    assert list(curve.line.get_xdata()) == [1, 2, 3]
    assert list(curve.line.get_ydata()) == pytest.approx([0.1, 0.05, 0.02])


def test_many_losses_are_averaged_to_what_the_eye_can_follow(curve):
    curve.show_losses([0.25, 0.75] * 5000)
    assert len(curve.line.get_xdata()) == 100
    assert curve.line.get_xdata()[-1] == 10_000
    assert set(curve.line.get_ydata()) == {0.5}


def test_no_losses_and_losses_of_nothing_can_be_drawn(curve):
    curve.show_losses([])
    assert len(curve.line.get_xdata()) == 0
    curve.show_losses([0.0, 0.0])
    curve.draw()


def test_the_curve_takes_on_the_colours_of_the_theme(viewer, curve):
    def ground():
        return curve.grab().toImage().pixelColor(2, 2).lightness()

    viewer.theme = "dark"
    curve.draw()
    assert ground() < 100
    viewer.theme = "light"
    curve.draw()
    assert ground() > 150
