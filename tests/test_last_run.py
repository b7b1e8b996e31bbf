import gc

import numpy as np
from napari.layers import Image

from napari_mpi._napari.last_run import LastRun, run_to_tell_of

FOUND = {"seed": 4}


def image(**options):
    return Image(np.zeros((4, 4)), **options)


def test_a_report_of_another_image_has_a_heading():
    cells = image(name="cells")
    run = LastRun(cells, FOUND)
    assert run_to_tell_of(cells, run) == (FOUND, "")
    for other in (image(), None):
        assert run_to_tell_of(other, run) == (FOUND, "Last result, of cells:")


def test_a_result_tells_of_the_run_that_made_it_until_it_is_denoised_itself():
    made = {"seed": 3}
    result = image(metadata={"napari_mpi": made})
    earlier = (made, "The run that made this image:")
    assert run_to_tell_of(result, None) == earlier
    assert run_to_tell_of(result, LastRun(image(), FOUND)) == earlier
    run = LastRun(result, FOUND)
    assert run_to_tell_of(result, run) == (FOUND, "")
    run.overtaken = True
    assert run_to_tell_of(result, run) == earlier


def test_a_report_is_not_of_a_later_run_over_the_same_image():
    cells = image(name="cells")
    run = LastRun(cells, FOUND)
    run.overtaken = True
    assert run_to_tell_of(cells, run) == (FOUND, "Last result, of cells:")


def test_an_input_that_is_gone_is_named_and_not_held():
    run = LastRun(image(name="cells"), FOUND)
    gc.collect()
    assert run_to_tell_of(None, run) == (FOUND, "Last result, of cells:")


def test_before_the_first_run_there_is_nothing_to_tell():
    assert run_to_tell_of(image(), None) == run_to_tell_of(None, None) == (None, "")
