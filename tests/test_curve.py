import pytest

from napari_mpi._napari.curve import LossCurve


@pytest.fixture
def curve(make_napari_viewer, qtbot):
    curve = LossCurve(make_napari_viewer())
    qtbot.addWidget(curve)
    return curve


def test_a_few_losses_are_shown_one_by_one(curve):
    curve.show_losses([0.1, 0.05, 0.02])
    steps, losses = curve.points(0)
    assert steps == [1, 2, 3]
    assert losses == pytest.approx([0.1, 0.05, 0.02])


def test_many_losses_are_averaged_to_what_the_eye_can_follow(curve):
    curve.show_losses([0.25, 0.75] * 5000)
    steps, losses = curve.points(0)
    assert len(steps) == 100
    assert steps[-1] == 10_000
    assert set(losses) == {0.5}


def test_no_losses_leave_the_curve_empty(curve):
    curve.show_losses([0.1])
    curve.show_losses([])
    assert curve.points(0) == ([], [])
