import numpy as np
import pytest

from napari_mpi import iter_denoise
from napari_mpi.batch.checkpoints import FileCheckpoints

SETTINGS = {"n_iter": 2, "n_passes": 2}


@pytest.fixture
def stack(rng):
    rows, columns = np.mgrid[:20, :22]
    disc = np.hypot(rows - 10, columns - 11) < 6
    return (100 + rng.poisson(10 + 90 * disc, (2, 20, 22))).astype(np.uint16)


def without_time(report):
    if isinstance(report, dict):
        return {k: without_time(v) for k, v in report.items() if k != "seconds"}
    if isinstance(report, list):
        return [without_time(value) for value in report]
    return report


def run_to_end(image, folder, stop_after=None, **settings):
    """Run with checkpoints, or until so many steps were made and the rest was lost."""
    run = iter_denoise(image, **SETTINGS | settings)
    run.restore(FileCheckpoints(folder))
    steps = 0
    for _ in run:
        steps += 1
        if steps == stop_after:
            return None, steps
    return run.result(), steps


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"adapt_to": "plane"},
        {"preset": "paper-fast"},
        {"channel_axis": 0},
        {"noise": "strongly-correlated", "uncertainty": True},
    ],
    ids=str,
)
def test_a_run_that_carries_on_ends_as_one_that_was_never_interrupted(
    stack, tmp_path, settings
):
    whole, n_steps = run_to_end(stack, tmp_path / "whole", **settings)
    for stop_after in (1, n_steps // 2, n_steps - 1):
        run_to_end(stack, tmp_path / "parts", stop_after, **settings)
    resumed, n_left = run_to_end(stack, tmp_path / "parts", **settings)
    assert np.array_equal(resumed.image, whole.image)
    assert np.array_equal(resumed.noise_map, whole.noise_map)
    assert np.array_equal(resumed.uncertainty, whole.uncertainty)
    assert without_time(resumed.report) == without_time(whole.report)
    assert n_left < n_steps


def test_what_is_finished_is_not_done_again(stack, tmp_path):
    _, n_steps = run_to_end(stack, tmp_path)
    assert n_steps > 3
    _, n_left = run_to_end(stack, tmp_path)
    assert n_left == 0


def test_colours_carry_on_component_by_component(rng, tmp_path):
    image = rng.integers(0, 255, (20, 24, 4), dtype=np.uint8)
    settings = {"rgb": True, "noise": "correlated"}
    whole, n_steps = run_to_end(image, tmp_path / "whole", **settings)
    run_to_end(image, tmp_path / "parts", n_steps - 2, **settings)
    resumed, n_left = run_to_end(image, tmp_path / "parts", **settings)
    assert np.array_equal(resumed.image, whole.image)
    assert np.array_equal(resumed.noise_map, whole.noise_map)
    assert 0 < n_left < n_steps


def test_networks_of_a_finished_plane_take_no_place(stack, tmp_path):
    run_to_end(stack, tmp_path, adapt_to="plane")
    sizes = [path.stat().st_size for path in tmp_path.glob("networks-*")]
    assert len(sizes) == 2
    assert max(sizes) < 10_000


@pytest.mark.parametrize("adapt_to", ["stack", "plane"])
def test_a_damaged_part_is_done_again(stack, tmp_path, adapt_to):
    whole, _ = run_to_end(stack, tmp_path, adapt_to=adapt_to)
    for path in tmp_path.glob("plane-*"):
        path.write_bytes(path.read_bytes()[:50])
    again, n_steps = run_to_end(stack, tmp_path, adapt_to=adapt_to)
    assert np.array_equal(again.image, whole.image)
    assert without_time(again.report) == without_time(whole.report)
    assert n_steps > 0


def test_arrays_of_every_shape_and_type_come_back(tmp_path):
    arrays = {
        "none": np.array(3),
        "strided": np.arange(12, dtype="u2").reshape(3, 4)[:, ::2],
        "half": np.ones(2, "f2"),
        "wide": np.array([2**63], "u8"),
    }
    kept = FileCheckpoints(tmp_path).part("a")
    kept.save("b", arrays, {"share": 0.1})
    found, facts = kept.load("b")
    assert facts == {"share": 0.1}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)
    assert kept.load("c") is None
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.safetensors"]
