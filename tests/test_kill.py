import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_batch_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    from benchmarks.kill import finished_twice, kill_again_and_again, results

    kills = list(
        kill_again_and_again(tmp_path, files=3, kills=4, size=20, seed=0, workers=0)
    )
    assert sum(kill.killed for kill in kills) >= 2
    assert not any(kill.wrong for kill in kills)
    assert kills[-1].planes == 6
    assert finished_twice(tmp_path) == 0
    whole = results(tmp_path / "whole")
    assert len(whole) == 6
    assert results(tmp_path / "out") == whole
