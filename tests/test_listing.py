import pytest
import tifffile
from image_files import write_spread

from napari_mpi.io.listing import list_images, list_parts, list_series, without_parts


def test_images_come_in_natural_order(tmp_path):
    for name in ("f10.png", "f9.tif", "f1.PNG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "more.tif").mkdir()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["f1.PNG", "f9.tif", "f10.png"]


def test_each_part_of_an_image_knows_the_others(tmp_path, stack):
    files = write_spread(tmp_path, stack)
    for one in files:
        assert set(list_parts(one)) == set(files) - {one}
        assert len(list_series(one)) == 1
    assert without_parts(files) == files[:1]


def test_a_link_to_a_part_is_that_part(tmp_path, stack):
    files = write_spread(tmp_path, stack)
    link = tmp_path / "link.ome.tif"
    link.symlink_to(files[1])
    assert without_parts([files[0], link]) == files[:1]


def test_images_of_their_own_and_damaged_ones_stay(tmp_path, noisy):
    one, damaged = tmp_path / "one.tif", tmp_path / "two.tif"
    tifffile.imwrite(one, noisy)
    damaged.write_bytes(b"II*")
    assert list_parts(one) == ()
    assert without_parts([one, damaged]) == [one, damaged]


def test_what_is_not_there_holds_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        list_series(tmp_path / "a.tif")
