from napari_mpi._napari.progress_words import progress_words
from napari_mpi.pipeline.api import Progress


def test_the_time_that_is_left_is_told_once_it_is_known():
    progress = Progress("filling", 1, 4, 3, 9, 0.5)
    assert progress_words(progress, None) == "Plane 2 of 4, step 3 of 9"
    assert progress_words(progress, 7.0) == "Plane 2 of 4, step 3 of 9, 7 s left"


def test_learning_is_called_so():
    progress = Progress("adapting", 0, 1, 3, 9, 0.1, 0.5)
    assert progress_words(progress, None) == "Learning from the image, step 3 of 9"
