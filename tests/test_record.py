import numpy as np
import pytest

from napari_mpi import FillConfig, denoise
from napari_mpi.io.record import join_record, split_record, valid_record


@pytest.fixture
def report(noisy):
    return denoise(noisy, n_iter=1, n_passes=2, seed=4).report


def test_text_and_record_are_put_together_and_apart(report):
    joined = join_record("HeLa cells,\nday 3", report)
    text, record = split_record(joined)
    assert text == "HeLa cells,\nday 3"
    assert record["seed"] == 4
    assert record["config"] == report["config"]
    assert split_record(join_record("", report))[0] == ""


def test_of_several_records_the_last_one_counts(report):
    twice = join_record(join_record("a", report), report | {"seed": 5})
    text, record = split_record(twice)
    assert text == "a"
    assert record["seed"] == 5


@pytest.mark.parametrize("text", ["", "words", "{}", '{"napari_mpi": ', '{"a": 1}'])
def test_other_text_stays_as_it_is(text):
    assert split_record(text) == (text, None)
    assert join_record(text, None) == text


def test_records_of_all_kinds_of_runs_are_valid(noisy):
    few = {"n_iter": 1, "n_passes": 2}
    for options in (
        {"preset": FillConfig(n_iter=1)},
        {"preset": "paper", "noise": "correlated", "n_iter": 1},
        {"own_pixel": False, **few},
    ):
        assert valid_record(denoise(noisy, **options).report)
    report = denoise(np.stack([noisy] * 2), channel_axis=0, **few).report
    assert valid_record(report | {"planes": "0:2, 3:4"})
    assert valid_record(report | {"channels": [report]}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "__import__('os')"},
        {"noise": "loud"},
        {"settings": {"n_iter": 1, "x=__import__('os').system('ls')": 1}},
        {"settings": {"n_iter": [1]}},
        {"config": {"exec": 1}},
        {"settings": None},
        {"seed": "0"},
        {"seed": True},
        {"device": 1},
        {"rgb": "no"},
        {"uncertainty": 1},
        {"weights": None},
        {"weights_source": 3},
        {"planes": "0:1]; __import__('os').system('ls') #"},
        {"planes": ["0:1"]},
        {"channel_axis": "0"},
        {"channels": 2},
        {"channels": [{"preset": "__import__('os')"}]},
    ],
)
def test_a_record_from_which_nothing_can_be_repeated_is_none(report, change):
    assert valid_record(report)
    assert valid_record(report | change) is None
    assert split_record(join_record("text", report | change)) == ("text", None)


def test_what_is_no_record_is_none():
    assert valid_record(None) is None
    assert valid_record([1]) is None
    assert valid_record({}) is None


@pytest.mark.parametrize(
    "line",
    ['{"napari_mpi": ' + "[" * 100_000, '{"napari_mpi_notes": 1}', '{"napari_mpi"'],
)
def test_a_line_that_only_looks_like_a_record_stays_text(line):
    assert split_record(f"cells\n{line}") == (f"cells\n{line}", None)
