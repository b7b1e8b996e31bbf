import pytest

from napari_mpi.pipeline.forecast import Forecast


@pytest.mark.parametrize(
    ("seconds", "memory", "said"),
    [
        (12.3, 150 * 2**20, "about 12 s and 150 MiB of memory beside the program"),
        (119, 2**30, "about 119 s and 1.0 GiB of memory beside the program"),
        (600, 2.5 * 2**30, "about 10 min and 2.5 GiB of memory beside the program"),
        (5 * 3600, 2**30, "about 5 h and 1.0 GiB of memory beside the program"),
    ],
)
def test_a_forecast_is_said_in_words(seconds, memory, said):
    assert str(Forecast(seconds, int(memory))) == said
