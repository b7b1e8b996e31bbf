from napari_mpi._napari import pace as pace_module
from napari_mpi._napari.pace import Pace


def test_a_look_is_due_after_the_interval_and_what_is_left_follows_the_speed(
    monkeypatch,
):
    now = [100.0]
    monkeypatch.setattr(pace_module.time, "monotonic", lambda: now[0])
    pace = Pace(0.5)
    assert pace.due()
    assert not pace.due()
    now[0] += 0.5
    assert pace.due()

    # What was done before tells nothing of the speed.
    assert pace.left(0.2) is None
    now[0] += 10
    assert pace.left(0.6) == 10
    pace.restart()
    now[0] += 1000
    pace.left(0.6)
    now[0] += 10
    assert round(pace.left(0.7)) == 30
