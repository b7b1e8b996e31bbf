import pytest

from napari_mpi import denoise
from napari_mpi.pipeline.course import Course, why_it_stopped


def a_report(
    n_done=60, kept_at=(32, 44), validations=None, *, early_stopping=True, most=80
):
    adaptation = {
        "first_plane": 0,
        "losses": [0.1] * n_done,
        "validations": validations or [None] * n_done,
        "initial_validation": 0.2,
        "networks": len(kept_at),
        "kept_at": list(kept_at),
    }
    return {
        "adaptations": [adaptation],
        "filling": None,
        "config": {"n_iter": most, "early_stopping": early_stopping},
    }


def a_published_report(
    n_done, *, complete=True, n_planes=1, validations=None, kept_at=1
):
    return {
        "adaptations": [],
        "filling": {
            "plane": n_planes - 1,
            "losses": [0.1] * n_done,
            "validations": validations or [None] * n_done,
            "kept_at": [kept_at],
        },
        "config": {"n_iter": 200, "early_stopping": validations is not None},
        "n_planes": n_planes,
        "complete": complete,
    }


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (a_report(), "60 of at most 80 iterations"),
        (a_report(), "2 networks of iterations 32 to 44 are used together"),
        (a_report(n_done=80), "for all 80 iterations"),
        (a_report(kept_at=[32]), "The network of iteration 32 is used"),
        (a_report(kept_at=[0]), "the weights were used as they came"),
        (a_report(80, early_stopping=False), "a fixed number"),
        ({"adaptations": []}, "did not learn from this image"),
        (a_report(n_done=0), "did not learn from this image"),
        ({"adaptations": [], "iterations": 20}, "stopped by hand after 20 iterations"),
        (a_published_report(200), "fixed number of 200 iterations"),
        (a_published_report(9, complete=False), "by hand after 9 of 200"),
        (a_published_report(200, n_planes=3), "The curve is that of plane 3."),
        (
            a_published_report(4, validations=[3.0, 1.0, 2.0, 2.5], kept_at=2),
            "of iteration 2, which came closest",
        ),
    ],
)
def test_the_reason_is_told_in_words(report, expected):
    assert expected in why_it_stopped(report)


def test_the_course_begins_before_the_first_iteration():
    course = Course.of(a_report(4, [4], [None, 0.15, None, 0.12]))
    assert course.losses == [0.1] * 4
    assert course.validations == {0: 0.2, 2: 0.15, 4: 0.12}
    assert course.kept == [4]


def test_the_course_is_a_copy_of_the_record():
    report = a_report()
    Course.of(report).losses.append(7)
    assert 7 not in report["adaptations"][0]["losses"]


def test_nothing_learnt_is_an_empty_course():
    assert Course.of({"adaptations": []}) == Course()


@pytest.mark.parametrize("preset", ["auto", "paper-fast"])
def test_a_run_records_its_course(noisy, preset):
    report = denoise(noisy, preset=preset, n_iter=6, n_passes=2).report
    course = Course.of(report)
    assert 0 < len(course.losses) <= 6  # learning may end before
    assert max(course.kept) <= len(course.losses)
    assert "6 iterations" in why_it_stopped(report)
