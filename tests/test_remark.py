import gc

import numpy as np
from napari.layers import Image

from napari_mpi._napari.remark import Remark


def an_image(**metadata):
    return Image(np.zeros((4, 4)), metadata=metadata)


def test_words_are_of_their_image_and_stand_beside_results():
    cells = an_image()
    remark = Remark(cells, "Done.")
    assert remark.is_about(cells)
    assert remark.is_about(an_image(napari_mpi_role="region"))
    assert not remark.is_about(an_image())
    assert not remark.is_about(None)


def test_an_image_that_is_gone_is_not_held():
    remark = Remark(an_image(), "Done.")
    gc.collect()
    assert not remark.is_about(None)
    assert not remark.is_about(an_image())


def test_words_about_a_missing_image_go_when_one_is_there():
    remark = Remark(None, "There is no image.")
    assert remark.is_about(None)
    assert not remark.is_about(an_image())
