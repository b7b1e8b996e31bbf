import numpy as np
from napari.layers import Image

from napari_mpi._napari.run_queue import RunQueue
from napari_mpi._napari.selection import LayerPart


def test_a_single_layer_is_spoken_of_as_it_is():
    queue = RunQueue(["part"])
    assert queue.next() == "part"
    assert queue.place("cells") == ""
    assert queue.note("cells", "Done in 3 s.", done=True) == "Done in 3 s."
    assert queue.next() is None


def test_of_several_each_is_named_and_counted():
    queue = RunQueue(["first", "second", "third"])
    queue.next()
    assert queue.place("cells") == "cells (1 of 3 layers): "
    queue.note("cells", "Done in 3 s.", done=True)
    queue.next()
    said = queue.note("beads", "Not done: it is empty.")
    assert said.splitlines() == [
        "1 of 3 layers are done.",
        "cells: Done in 3 s.",
        "beads: Not done: it is empty.",
    ]


def test_what_waits_can_be_dropped_and_is_named():
    parts = [LayerPart(Image(np.zeros((4, 4)), name=one)) for one in ("cells", "beads")]
    queue = RunQueue(parts)
    queue.next()
    queue.clear()
    assert queue.next() is None
    said = queue.note("cells", "Stopped.")
    assert said.splitlines()[1:] == ["cells: Stopped.", "beads: Not begun."]
