import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_mpi import denoise
from napari_mpi._napari.channel_record import can_be_told, channel_record
from napari_mpi._napari.denoise_dock import DenoiseWidget
from napari_mpi._napari.layers import denoise_layer
from napari_mpi._napari.reader import get_reader
from napari_mpi._napari.result_layers import result_layers
from napari_mpi._napari.writer import write_layer
from napari_mpi.cli import main
from napari_mpi.io.files import ImageData, write_image
from napari_mpi.io.record import join_record
from napari_mpi.pipeline.findings import in_words

FEW = {"n_iter": 1, "n_passes": 2}


@pytest.fixture
def channels(noisy, rng):
    """Two channels with noise of different strength, of two planes each."""
    bright = noisy + rng.normal(0, 30, noisy.shape)
    one = np.stack([noisy, noisy[::-1]])
    two = np.stack([bright, bright[:, ::-1]])
    return np.stack([one, two]).clip(0).astype(np.uint16)


def test_a_channel_has_the_record_of_a_run_over_it_alone(channels):
    report = denoise(channels, channel_axis=0, seed=5, **FEW).report
    for number in (0, 1):
        alone = denoise(channels[number], seed=5, **FEW).report
        own = channel_record(report, number)
        for key in ("noise_estimate", "verdict", "n_planes", "scaling", "config"):
            assert own[key] == alone[key], key
        assert "channel_axis" not in own
    assert channel_record(report, 2) == report  # more channels than it tells of


@pytest.mark.parametrize(
    ("planes", "axis", "expected"),
    [
        ("0:2, 5:6", 0, "5:6"),
        ("0:3, 0:2, 5:6", 1, "0:3, 5:6"),
        ("0:3", 1, "0:3"),
        ("0:2", 0, None),
        (None, 0, None),
    ],
)
def test_chosen_planes_are_told_without_the_channels(planes, axis, expected):
    report = {"channels": [{"seed": 1}], "channel_axis": axis, "planes": planes}
    assert channel_record(report, 0).get("planes") == expected


def test_a_record_that_tells_no_channels_apart_stays_whole():
    assert channel_record({"seed": 1}, 1) == {"seed": 1}
    assert channel_record({"channels": [{}], "seed": 1}, 0)["seed"] == 1


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("saved_by", ["command", "napari"])
def test_opened_channels_tell_the_truth_about_themselves(
    make_napari_viewer, channels, tmp_path, saved_by, ending
):
    target, noise = tmp_path / f"a{ending}", tmp_path / f"a_noise{ending}"
    if saved_by == "command":
        source = tmp_path / "cells.ome.tif"
        write_image(source, ImageData(channels, "CZYX", (1.0,) * 4, ("pixel",) * 4))
        few = ["--n-iter", "1", "--n-passes", "2", "--seed", "5", "--noise-map"]
        assert main(["denoise", str(source), "-o", str(target), *few]) == 0
    else:
        layer = Image(channels, axis_labels=("c", "z", "y", "x"))
        for new, path in zip(
            denoise_layer(layer, seed=5, **FEW), (target, noise), strict=True
        ):
            data, options, _ = new.as_layer_data_tuple()
            write_layer(str(path), data, options)

    viewer = make_napari_viewer()
    denoised, noise_maps = (
        [
            viewer.add_image(data, **options)
            for data, options, _ in get_reader(str(path))(str(path))
        ]
        for path in (target, noise)
    )
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for number in (0, 1):
        alone = denoise(channels[number], seed=5, **FEW)
        widget.form.image.value = denoised[number]
        # The panel is about this channel and no other.
        said = ["The run that made this image:", *in_words(alone.report)]
        assert widget.trust.words.text() == " ".join(said)
        report = denoised[number].metadata["napari_mpi"]
        pair = result_layers(viewer, report, denoised[number])
        assert pair.denoised is denoised[number]
        assert pair.noise_map is noise_maps[number]
        # And so are the lines, to the last bit.
        widget.replay.python_button.clicked.emit(True)
        names = {"image": channels[number]}
        exec(QApplication.clipboard().text(), names)
        assert np.array_equal(names["result"].image, denoised[number].data)


def test_a_plane_cut_out_of_channels_keeps_the_record_of_all(channels, tmp_path):
    report = denoise(channels, channel_axis=0, seed=5, **FEW).report
    path = tmp_path / "a.ome.tif"
    image = ImageData(
        channels[1],
        "ZYX",
        (1.0,) * 3,
        ("pixel",) * 3,
        description=join_record("", report),
    )
    write_image(path, image)
    ((_, options, _),) = get_reader(str(path))(str(path))
    assert len(options["metadata"]["napari_mpi"]["channels"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": {"warnings": []}},
        {"verdict": "good"},
        {"noise_estimate": {"rms": 3}},
        {"adaptations": [{"losses": ["many"]}]},
        {"fallbacks": 3},
        {"choice": 3},
        {"filling": {"losses": [1]}},
    ],
)
def test_a_record_of_which_not_all_can_be_told_is_left_out(noisy, tmp_path, change):
    report = denoise(noisy, **FEW).report
    assert can_be_told(report)
    assert not can_be_told(report | change)
    path = tmp_path / "a.ome.tif"
    description = join_record("cells", report | change)
    write_image(
        path,
        ImageData(noisy, "YX", (1.0,) * 2, ("pixel",) * 2, description=description),
    )
    with pytest.warns(UserWarning, match="record of its run is damaged, or of another"):
        ((data, options, _),) = get_reader(str(path))(str(path))
    assert options["metadata"] == {"axes": "YX", "description": "cells"}
    assert np.array_equal(data, noisy)


@pytest.mark.parametrize("preset", ["auto", "fast", "paper", "paper-fast"])
def test_the_records_of_all_runs_can_be_told(noisy, preset):
    few = {"n_iter": 1} if preset.startswith("paper") else FEW
    assert can_be_told(denoise(noisy, preset=preset, **few).report)
    with pytest.warns(UserWarning, match="nothing to denoise"):
        flat = denoise(np.full((24, 24), 7, np.uint8), preset=preset, **few)
    assert can_be_told(flat.report)
    rgb = np.stack([noisy] * 3, -1)
    assert can_be_told(denoise(rgb, rgb=True, preset=preset, **few).report)
