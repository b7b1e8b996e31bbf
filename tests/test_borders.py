import torch

from napari_mpi.engine.borders import bands, mirrored


def test_planes_are_mirrored_with_their_outermost_pixels():
    row = torch.tensor([[[1.0, 2.0, 3.0]]])
    extended = mirrored(row, (0, 0), (2, 1))
    assert extended.tolist() == [[[2, 1, 1, 2, 3, 3]]]


def test_they_can_be_extended_by_more_than_they_are_long():
    column = torch.tensor([[[1.0], [2.0]]])
    extended = mirrored(column, (3, 4), (0, 0))
    assert extended[0, :, 0].tolist() == [2, 2, 1, 1, 2, 2, 1, 1, 2]


def test_bands_of_rows_have_the_rows_around_them_with_them():
    assert list(bands(10, 4, 3)) == [
        (slice(0, 4), slice(0, 7), slice(0, 4)),
        (slice(4, 8), slice(1, 11), slice(3, 7)),
        (slice(8, 10), slice(5, 13), slice(3, 5)),
    ]
