import pytest

from napari_mpi import denoise
from napari_mpi.pipeline import plan


@pytest.mark.parametrize("faster", ["bfloat16", "float32"])
def test_the_arithmetic_is_the_faster_one_of_the_device(noisy, monkeypatch, faster):
    monkeypatch.setattr(plan, "prefers_bfloat16", lambda _: faster == "bfloat16")
    report = denoise(noisy, n_iter=1, n_passes=2).report
    assert report["config"]["precision"] == faster
    report = denoise(noisy, preset="paper-fast", n_iter=1).report
    assert report["config"]["precision"] == "float32"
