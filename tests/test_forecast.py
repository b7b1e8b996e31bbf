import pytest

from napari_mpi.pipeline.forecast import Forecast, duration


@pytest.mark.parametrize(
    ("seconds", "memory", "said"),
    [
        (12.3, 150 * 2**20, "about 12 s and 150 MiB of free memory"),
        (119, 2**30, "about 2 min and 1.0 GiB of free memory"),
        (600, 2.5 * 2**30, "about 10 min and 2.5 GiB of free memory"),
        (5 * 3600, 2**30, "about 5.0 h and 1.0 GiB of free memory"),
    ],
)
def test_a_forecast_is_said_in_words(seconds, memory, said):
    assert str(Forecast(seconds, int(memory))) == said


def test_times_are_told_in_fitting_units():
    assert [duration(s) for s in (0.2, 75, 600, 9000)] == [
        "0 s",
        "75 s",
        "10 min",
        "2.5 h",
    ]
