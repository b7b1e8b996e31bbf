import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from image_files import cut_to

from napari_mpi.io.files import (
    FileError,
    read_image,
)


def write_png(path, pixels, depth, colour_type):
    """Write a PNG of a kind that the usual libraries do not write."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = pixels.astype(">u2" if depth == 16 else "u1")
    header = (rows.shape[1], rows.shape[0], depth, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, stack, ending, fraction):
    path = tmp_path / f"cut{ending}"
    iio.imwrite(path, (stack[0] >> 8).astype(np.uint8))
    cut_to(path, int(path.stat().st_size * fraction))
    with pytest.raises(FileError, match="damaged"):
        read_image(path)


def test_a_16_bit_png_keeps_its_depth(tmp_path, noisy):
    iio.imwrite(tmp_path / "a.png", noisy)
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YX"
    assert image.data.dtype == np.uint16
    assert np.array_equal(image.data, noisy)


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_a_16_bit_png_that_would_lose_half_its_bits_is_refused(
    tmp_path, rng, colour_type, samples
):
    path = tmp_path / "deep.png"
    write_png(path, rng.integers(0, 60000, (8, 9, samples)), 16, colour_type)
    with pytest.raises(FileError, match=r"expected gray or 8 bits.*Save it as TIFF"):
        read_image(path)


@pytest.mark.parametrize(("colour_type", "samples"), [(4, 2), (6, 4)])
def test_transparency_is_left_out(tmp_path, rng, colour_type, samples):
    pixels = rng.integers(0, 255, (8, 9, samples))
    write_png(tmp_path / "a.png", pixels, 8, colour_type)
    image = read_image(tmp_path / "a.png")
    assert image.axes == ("YX" if samples == 2 else "YXS")
    assert np.array_equal(image.data, pixels[..., :-1].squeeze())


def test_a_palette_is_applied(tmp_path, rng):
    from PIL import Image

    indices = rng.integers(0, 3, (8, 9)).astype(np.uint8)
    palette = np.array([[255, 0, 0], [0, 200, 7], [9, 8, 7]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YXS"
    assert np.array_equal(image.data, palette[indices])


def test_black_and_white_becomes_0_and_255(tmp_path, rng):
    bits = rng.random((8, 9)) < 0.5
    iio.imwrite(tmp_path / "a.png", bits)
    assert np.array_equal(read_image(tmp_path / "a.png").data, 255 * bits)


@pytest.mark.parametrize("axes", ["YX", "YXS"])
def test_a_jpeg_is_gray_or_colour(tmp_path, axes):
    data = np.full((16, 24, 3)[: len(axes)], 100, np.uint8)
    iio.imwrite(tmp_path / "a.jpg", data)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == axes
    assert np.abs(image.data.astype(int) - 100).max() <= 2


def test_a_print_jpeg_becomes_rgb(tmp_path):
    from PIL import Image

    Image.new("CMYK", (24, 16), (0, 0, 0, 255)).save(tmp_path / "a.jpg")
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXS"
    assert image.data.max() < 8


def test_of_several_pictures_the_first_is_read_with_a_warning(tmp_path, rng):
    frames = rng.integers(0, 255, (3, 8, 9), dtype=np.uint8)
    iio.imwrite(tmp_path / "a.png", frames, plugin="pillow")
    with pytest.warns(UserWarning, match="holds 3 pictures; reading the first"):
        image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.data, frames[0])
