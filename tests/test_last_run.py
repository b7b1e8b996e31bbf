import gc

import numpy as np
from napari.layers import Image

from napari_mpi._napari.last_run import LastRun


def test_a_report_of_another_image_has_a_heading():
    cells, other = Image(np.zeros((4, 4)), name="cells"), Image(np.zeros((4, 4)))
    result = Image(np.zeros((4, 4)), metadata={"napari_mpi": {"seed": 3}})
    run = LastRun(cells, {})
    assert run.heading(cells) == run.heading(result) == ""
    assert run.heading(other) == run.heading(None) == "Last result, of cells:"


def test_a_report_is_not_of_a_later_run_over_the_same_image():
    cells = Image(np.zeros((4, 4)), name="cells")
    run = LastRun(cells, {})
    run.overtaken = True
    assert run.heading(cells) == "Last result, of cells:"


def test_an_input_that_is_gone_is_named_and_not_held():
    run = LastRun(Image(np.zeros((4, 4)), name="cells"), {})
    gc.collect()
    assert run.heading(None) == "Last result, of cells:"
