import numpy as np
import pytest

from napari_mpi import denoise
from napari_mpi.pipeline.findings import figures, headline, in_words, what_was_done


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"verdict": {"warnings": []}}, "nothing suspicious"),
        ({"verdict": {"warnings": ["a"]}}, "1 warning"),
        ({"verdict": {"warnings": ["a", "b"]}}, "2 warnings"),
        ({"verdict": None}, "not judged"),
    ],
)
def test_the_headline_is_short(report, expected):
    assert headline(report) == expected


def test_warnings_come_first_and_then_what_was_chosen():
    report = {"verdict": {"warnings": ["Noise remains."]}, "choice": "Rows are hidden."}
    assert in_words(report) == ["Noise remains.", "Rows are hidden."]


def test_what_was_done_is_told_apart_from_what_to_be_careful_about():
    report = {
        "verdict": {"warnings": ["Noise remains."]},
        "choice": "Rows are hidden.",
        "stuck": 0.004,
        "joined": 2.53,
        "fallbacks": ["Smaller tiles."],
    }
    assert what_was_done(report) == [
        "0.4 % of the pixels are stuck at the lowest or highest value, and were filled "
        "from their neighbours.",
        "Planes were joined with those beside them where these show the same: each "
        "counts as 2.5 planes in the mean.",
        "Rows are hidden.",
    ]
    assert in_words(report)[0] == "Noise remains."
    assert in_words(report)[-1] == "Smaller tiles."


def test_what_is_unfinished_is_said():
    report = {
        "verdict": {"warnings": []},
        "complete": False,
        "planes_done": 2,
        "n_planes": 5,
        "fallbacks": ["Memory ran out."],
    }
    said = in_words(report)
    assert said[0] == "Nothing suspicious was found in the noise map."
    assert said[1].startswith("2 of 5 planes are finished")
    assert said[2] == "Memory ran out."


def test_an_image_that_came_back_unchanged_is_not_judged():
    assert "returned as it is" in in_words({"verdict": None, "planes_done": 3})[0]
    assert "No plane was filled" in in_words({"verdict": None, "planes_done": 0})[0]


def test_a_run_that_was_stopped_before_its_first_result_is_not_called_unchanged():
    # Empty planes count as done from the start.
    report = {"verdict": None, "planes_done": 1, "n_planes": 3, "complete": False}
    said = in_words(report)
    assert "No plane was filled" in said[0]
    assert said[1].startswith("1 of 3 planes are finished")


def test_the_figures_of_a_run(noisy):
    report = denoise(noisy, n_iter=0, n_passes=2).report
    report["noise_estimate"] |= {"rms": 7.516, "signal_range": 115.6, "gain": 2.25}
    report["verdict"] |= {"noise_left": 0.25, "drift": -0.00001}
    found = {figure.name: figure for figure in figures(report)}
    assert found["noise of the input"].value == "7.52 (6.5 %)"
    assert found["gain"].value == "2.25"
    assert found["noise left"].value == "25 %"
    assert found["shift of the mean"].value == "0.0 %"
    assert all(figure.meaning.endswith(".") for figure in found.values())


def test_each_channel_has_figures_of_its_own(noisy):
    channels = np.stack([noisy, 2 * noisy])
    report = denoise(channels, channel_axis=0, n_iter=0, n_passes=2).report
    found = {figure.name: figure.value for figure in figures(report)}
    first, second = (
        float(found[f"channel {number}: noise of the input"].split()[0])
        for number in (1, 2)
    )
    assert second == pytest.approx(2 * first, rel=0.02)


def test_without_a_measurement_there_are_no_figures():
    assert figures({"noise_estimate": None, "verdict": None}) == []
