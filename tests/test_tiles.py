import itertools

import numpy as np
import pytest

from napari_mpi.arrays.tiles import blended_spans, blended_tiles


@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 1000])
def test_spans_cover_an_axis_and_their_weights_add_up_to_one(length):
    total = np.zeros(length)
    spans = blended_spans(length, 64, 16)
    for span in spans:
        assert span.stop - span.start <= min(64, length)
        total[span.slice] += span.weight
    np.testing.assert_allclose(total, 1, rtol=1e-6)
    for first, second in itertools.pairwise(spans):
        assert first.stop - second.start >= 16


def test_the_weight_of_a_tile_fades_towards_its_neighbours_only():
    first, second = blended_spans(100, 64, 16)
    assert (first.start, first.stop, second.start, second.stop) == (0, 58, 42, 100)
    assert first.weight[0] == 1
    assert first.weight[-1] < 0.1
    assert second.weight[0] < 0.1
    assert second.weight[-1] == 1


def test_tiles_cover_a_plane_once():
    total = np.zeros((100, 70))
    for tile in blended_tiles((100, 70), 48, 12):
        total[tile.index] += tile.weight
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(ValueError, match="below the size, which is 32"):
        blended_spans(100, 32, 32)


def test_tiles_are_no_larger_than_the_plane_needs():
    spans = blended_spans(1024, 768, 96, multiple=32)
    assert [(span.start, span.stop) for span in spans] == [(0, 576), (448, 1024)]
