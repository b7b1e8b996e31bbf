from dataclasses import replace

import numpy as np
import pytest
import tifffile
from image_files import write_spread
from training_runs import write

from napari_mpi.io.files import FileError, read_image, write_image
from napari_mpi.io.image_data import without_calibration
from napari_mpi.training.config import PretrainConfig
from napari_mpi.training.corpus import Crops, load_corpus


def config(**changes) -> PretrainConfig:
    return PretrainConfig(**{"steps": 1, "batch_size": 4, "crop_size": 64, **changes})


@pytest.fixture
def folder(tmp_path, rng):
    """A folder of a gray 16-bit image and an RGB stack."""
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(0, 4000, (70, 80), np.uint16))
    colour = rng.integers(0, 255, (2, 64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", colour, photometric="rgb")
    return tmp_path


def test_a_folder_becomes_planes_with_the_channels_of_the_network(folder):
    ((gray, colour),) = load_corpus(folder, config(), 1)
    assert (gray.name, gray.planes.shape) == ("a.tif", (1, 1, 70, 80))
    assert colour.planes.shape == (2, 1, 64, 64)
    ((_, colour),) = load_corpus(folder, config(), 3)
    assert colour.planes.shape == (2, 3, 64, 64)


def test_each_folder_is_kept_apart(folder, tmp_path):
    assert len(load_corpus([folder, folder], config(), 1)) == 2
    with pytest.raises(FileError, match="at least one folder"):
        load_corpus([], config(), 1)
    assert load_corpus([], config(synthetic_share=1.0), 1) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_a_step_always_draws_the_same_crops(folder, channels):
    settings = config(synthetic_share=0.5)
    corpus = load_corpus(folder, settings, channels)
    first = Crops(corpus, settings, channels).draw(7)
    crops = Crops(corpus, settings, channels)
    other = crops.draw(8)
    again = crops.draw(7)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first[0], other[0])
    noisy, clean, ratios = first
    assert noisy.shape == clean.shape == (4, channels, 64, 64)
    assert ratios.shape == (4, 1, 1, 1)
    assert clean.dtype == np.float32
    assert 0 <= clean.min() < clean.max() <= 1


def test_colours_change_places_and_procedural_images_have_stains(folder):
    settings = config(synthetic_share=1.0, noise_share=0.0, batch_size=8)
    _, clean, _ = Crops([], settings, 3).draw(0)
    differ = [np.ptp(image, axis=0).max() > 0.05 for image in clean]
    assert sum(differ) > 4  # others fell on a dark place

    red = np.zeros((64, 64, 3), np.uint8)
    red[8:32, 8:32, 0] = 255
    tifffile.imwrite(folder / "red.tif", red, photometric="rgb")
    for other in ("a.tif", "b.tif"):
        (folder / other).unlink()
    settings = config(noise_share=0.0, batch_size=32)
    _, clean, _ = Crops(load_corpus(folder, settings, 3), settings, 3).draw(0)
    assert {int(image.std(axis=(1, 2)).argmax()) for image in clean} == {0, 1, 2}


def test_clean_crops_are_seen_as_they_are(folder):
    settings = config(noise_share=0.0)
    noisy, clean, _ = Crops(load_corpus(folder, settings, 1), settings, 1).draw(0)
    assert np.array_equal(noisy, clean)


def test_the_summary_counts_images_and_planes(folder):
    settings = config(synthetic_share=0.25)
    crops = Crops(load_corpus(folder, settings, 1), settings, 1)
    assert crops.summary() == {
        "folders": [{"images": 2, "planes": 3}],
        "synthetic_share": 0.25,
    }


def test_lazy_images_of_a_folder_are_read(folder, monkeypatch):
    dask_array = pytest.importorskip("dask.array")

    def read_lazily(path):
        image = read_image(path)
        return replace(image, data=dask_array.from_array(image.data))

    monkeypatch.setattr("napari_mpi.training.corpus.read_image", read_lazily)
    (sources,) = load_corpus(folder, config(), 1)
    assert {type(source.planes) for source in sources} == {np.ndarray}


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        load_corpus(tmp_path / "absent", config(), 1)


def test_no_folder_at_all_is_refused():
    with pytest.raises(FileError, match="at least one folder"):
        load_corpus([], config(), 1)


def test_a_folder_without_images_is_named(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(FileError, match="texts holds no image to train on"):
        load_corpus(folder, config(), 1)


def test_what_earlier_runs_and_trainings_left_is_no_image(folder, rng):
    for role in ("noise map", "uncertainty", "denoised"):
        image = without_calibration(rng.random((70, 80)), "YX", role)
        path = folder / f"{role}.ome.tif"
        write_image(path, replace(image, layer={"role": role}))
    (folder / "lab.loss.png").write_bytes(b"a figure")
    (folder / "lab.safetensors").touch()
    with pytest.warns(
        UserWarning, match=r"noise map\.ome\.tif, uncertainty\S+ left out"
    ):
        (sources,) = load_corpus(folder, config(), 1)
    assert [source.name for source in sources] == ["a.tif", "b.tif", "denoised.ome.tif"]


def test_folders_inside_are_told_and_stores_are_taken(clean_images, rng):
    pytest.importorskip("zarr")
    (clean_images / "more").mkdir()
    (clean_images / ".cache").mkdir()
    store = clean_images / "c.ome.zarr"
    write_image(store, without_calibration(rng.random((70, 80)), "YX", "c"))
    with pytest.warns(UserWarning, match=r"not searched; .* their images: more\.$"):
        (sources,) = load_corpus(clean_images, config(), 1)
    assert sources[-1].name == "c.ome.zarr"
    ((alone,),) = load_corpus(store, config(), 1)
    np.testing.assert_array_equal(alone.planes, sources[-1].planes)


def test_an_image_that_is_spread_over_files_counts_once(tmp_path, rng):
    write_spread(tmp_path, rng.integers(0, 4000, (3, 70, 80), np.uint16))
    ((one,),) = load_corpus(tmp_path, config(), 1)
    assert one.planes.shape == (3, 1, 70, 80)


def test_a_small_image_is_named(clean_images):
    write(clean_images, "small.tif", np.zeros((64, 50), np.uint8))
    with pytest.raises(
        FileError, match=r"1 of the images in .*images.*small\.tif: 64x50 .* 64x64"
    ):
        load_corpus(clean_images, config(), 1)


def test_a_damaged_image_is_named(clean_images):
    (clean_images / "broken.tif").write_bytes(b"not a TIFF")
    with pytest.raises(FileError, match=r"broken\.tif"):
        load_corpus(clean_images, config(), 1)


def test_all_unusable_images_are_named_at_once(clean_images):
    write(clean_images, "nan.tif", np.full((64, 64), np.nan, np.float32))
    write(clean_images, "complex.tif", np.zeros((64, 64), np.complex64))
    (clean_images / "empty.png").touch()
    with pytest.raises(FileError) as error:
        load_corpus(clean_images, config(), 1)
    for part in ("3 of the images", "nan.tif", "complex.tif", "empty.png"):
        assert part in str(error.value)


def test_unfit_open_images_are_named(rng):
    fit = without_calibration(rng.random((2, 70, 80)), "QYX", "stack")
    small = without_calibration(rng.random((20, 70)), "YX", "thumbnail")
    with pytest.raises(FileError, match=r"chosen images .* thumbnail: 20x70 is small"):
        load_corpus([], config(), 1, images=[fit, small])
