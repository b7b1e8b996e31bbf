import gc

import numpy as np
from napari.layers import Image

from napari_mpi._napari.last_run import LastRun


def test_a_run_is_about_its_input_and_results_speak_for_themselves():
    cells, other = Image(np.zeros((4, 4)), name="cells"), Image(np.zeros((4, 4)))
    result = Image(np.zeros((4, 4)), metadata={"napari_mpi": {}})
    run = LastRun(cells, {})
    assert run.is_about(cells)
    assert run.is_about(result)
    assert not run.is_about(other)
    assert not run.is_about(None)
    assert run.heading(cells) == run.heading(result) == ""
    assert run.heading(other) == run.heading(None) == "Last run, of cells:"


def test_an_input_that_is_gone_is_named_and_not_held():
    run = LastRun(Image(np.zeros((4, 4)), name="cells"), {})
    gc.collect()
    assert not run.is_about(None)
    assert run.heading(None) == "Last run, of cells:"
