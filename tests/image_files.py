"""Write and spoil image files for the tests."""

from napari_mpi.io.files import ImageData, read_image, write_image


def an_image(data, axes, scale=None, units=None, **more):
    return ImageData(
        data,
        axes,
        scale or (1.0,) * data.ndim,
        units or ("pixel",) * data.ndim,
        **more,
    )


def round_trip(path, image):
    write_image(path, image)
    return read_image(path)


def cut_to(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def patch(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
