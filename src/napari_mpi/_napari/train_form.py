"""The form of the training dock: on what, from where, how long, saved where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    LineEdit,
    Select,
    SpinBox,
)
from napari.layers import Image
from napari.viewer import Viewer
from superqt import QCollapsible

from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.library_events import LibraryFollower
from napari_mpi._napari.library_workers import TrainingJob
from napari_mpi.config import PretrainConfig
from napari_mpi.engine.devices import available_devices
from napari_mpi.io.files import ImageData
from napari_mpi.io.image_data import without_calibration
from napari_mpi.weights.library import installed_weights
from napari_mpi.weights.loading import BUNDLED, weights_folder

__all__ = ["TrainForm"]

_LAYERS, _FOLDER = "layers in napari", "a folder"
_FROM_FILE, _FROM_NOTHING = "from file…", "from nothing"
_IN_LIST, _IN_FILE = "in the weights list", "in a file"
_WEIGHTS_FILTER = "Weights (*.safetensors *.pth *.pt)"
_DEFAULTS = PretrainConfig(minutes=60)


class TrainForm(Container):  # type: ignore[misc]
    """What to train on, from where, how long, and where to save.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = viewer
        self.margins = (0, 0, 0, 0)
        self.source = ComboBox(
            label="images",
            choices=[_LAYERS, _FOLDER],
            tooltip="What to learn from: images with much light and little noise.",
        )
        self.layers = Select(
            label="layers",
            choices=self._image_layers,
            tooltip="The layers to learn from; Ctrl-click takes several. They are not "
            "changed.",
        )
        self.layers.native.setMaximumHeight(84)
        self.folder = FileEdit(
            label="folder",
            mode="d",
            tooltip="A folder of images with much light and little noise.",
        )
        self.start = ComboBox(
            label="start",
            choices=lambda _: [
                *BUNDLED,
                *installed_weights(),
                _FROM_FILE,
                _FROM_NOTHING,
            ],
            tooltip="The weights to go on from. From nothing takes hours or days.",
        )
        self.start_file = FileEdit(
            label="file",
            filter=_WEIGHTS_FILTER,
            tooltip="Weights that were trained here, or the MPI authors' files.",
        )
        self.budget = FloatSpinBox(
            value=60,
            min=0.1,
            max=1_000_000,
            step=1,
            tooltip="How long to train; an hour is a good beginning.",
        )
        self.unit = ComboBox(
            choices=["minutes", "steps"],
            tooltip="Whether to count minutes, pauses left out, or steps.",
        )
        self.budget.native.setDecimals(1)
        length = Container(
            widgets=[self.budget, self.unit],
            layout="horizontal",
            labels=False,
            label="length",
        )
        length.margins = (0, 0, 0, 0)
        self.place = ComboBox(
            label="save",
            choices=[_IN_LIST, _IN_FILE],
            tooltip="In the list, the weights can be chosen by name in MPI denoise.",
        )
        self.name = LineEdit(
            label="name",
            value="my-microscope",
            tooltip="What the new weights will be called in the list.",
        )
        self.file = FileEdit(
            label="file",
            mode="w",
            filter="Weights (*.safetensors)",
            tooltip="The file to write; its name ends in .safetensors.",
        )
        self.extend(
            [
                self.source,
                self.layers,
                self.folder,
                self.start,
                self.start_file,
                length,
                self.place,
                self.name,
                self.file,
            ]
        )
        self._fold_advanced()
        for choice in (self.source, self.start, self.place):
            choice.changed.connect(self._show_what_counts)
        self.start.changed.connect(self._show_learning_rate)
        self.unit.changed.connect(self._count_whole_steps)
        self._show_what_counts()
        active = viewer.layers.selection.active
        if isinstance(active, Image):
            self.layers.value = [active]
        LibraryFollower(self.native, self.start.reset_choices)

    def _fold_advanced(self) -> None:
        """Put the expert settings at the end, folded away."""
        self.noise_share = FloatSpinBox(
            label="noisy share",
            value=_DEFAULTS.noise_share,
            min=0,
            max=1,
            step=0.1,
            tooltip="Share of crops that the network sees with simulated noise.",
        )
        self.synthetic_share = FloatSpinBox(
            label="synthetic share",
            value=_DEFAULTS.synthetic_share,
            min=0,
            max=1,
            step=0.1,
            tooltip="Share of crops that are drawn by the computer instead of cut from "
            "your images; useful with few images.",
        )
        self.crop_size = SpinBox(
            label="crop size",
            value=_DEFAULTS.crop_size,
            min=64,
            max=512,
            step=32,
            tooltip="Side of the crops in pixels, a multiple of 32.",
        )
        self.batch_size = SpinBox(
            label="crops a step",
            value=_DEFAULTS.batch_size,
            min=1,
            max=1024,
            tooltip="How many crops the network learns from in each step.",
        )
        self.learning_rate = FloatSpinBox(
            label="learning rate",
            value=_DEFAULTS.first_learning_rate(from_weights=True),
            min=0.00001,
            max=0.1,
            step=0.0001,
            tooltip="How far each step goes at first; smaller is more careful.",
        )
        self.rgb = CheckBox(
            label="for colour",
            text="",
            tooltip="Train weights for RGB images; otherwise colour becomes gray.",
        )
        self.seed = SpinBox(
            label="seed",
            min=0,
            max=2**31 - 1,
            tooltip="The same seed gives the same training.",
        )
        self.device = ComboBox(
            label="device",
            choices=["auto", *available_devices()],
            tooltip="Where to compute; 'auto' takes the fastest there is.",
        )
        self.advanced = Container(
            widgets=[
                self.noise_share,
                self.synthetic_share,
                self.crop_size,
                self.batch_size,
                self.learning_rate,
                self.rgb,
                self.seed,
                self.device,
            ],
            labels=True,
        )
        self.advanced.margins = (0, 0, 0, 0)
        self.advanced_fold = QCollapsible("advanced settings")
        self.advanced_fold.addWidget(self.advanced.native)
        self.advanced_fold.collapse(animate=False)
        self.native.layout().addWidget(self.advanced_fold)

    def job(self) -> TrainingJob:
        """Gather what the thread needs, so that it never touches a widget.

        Raises
        ------
        ValueError
            If something is not chosen yet or does not fit; the message says what.
        """
        images, folders = [], []
        if self.source.value == _LAYERS:
            images = [_opened(layer) for layer in self.layers.value]
            if not images:
                raise ValueError("Choose at least one layer to learn from.")
        else:
            folders = [_chosen(self.folder, "Choose the folder to learn from.")]
        init: str | Path | None = self.start.value
        if init == _FROM_NOTHING:
            init = None
        elif init == _FROM_FILE:
            init = _chosen(self.start_file, "Choose the file of weights to start from.")
        in_minutes = self.unit.value == "minutes"
        return TrainingJob(
            images=images,
            folders=folders,
            output=self._output(),
            config=PretrainConfig(
                minutes=self.budget.value if in_minutes else None,
                steps=None if in_minutes else max(1, round(self.budget.value)),
                crop_size=self.crop_size.value,
                batch_size=self.batch_size.value,
                learning_rate=self.learning_rate.value,
                synthetic_share=self.synthetic_share.value,
                noise_share=self.noise_share.value,
                rgb=self.rgb.value,
                seed=self.seed.value,
            ),
            init=init,
            device=self.device.value,
        )

    def _output(self) -> Path:
        if self.place.value == _IN_FILE:
            path = _chosen(self.file, "Choose the file to save the new weights in.")
            return path if path.suffix else path.with_suffix(".safetensors")
        name = self.name.value.strip().removesuffix(".safetensors")
        if not name or Path(name).name != name or "\\" in name or name.startswith("."):
            raise ValueError(
                f"{name!r} cannot be the name of weights: give a plain name, for "
                "instance my-microscope."
            )
        if name in BUNDLED or name in installed_weights():
            raise ValueError(
                f"There are weights named {name!r} already. Choose another name, or "
                "delete those in MPI weights first."
            )
        # A name may hold a dot, which is no ending.
        return weights_folder() / f"{name}.safetensors"

    def _image_layers(self, _: Any = None) -> list[tuple[str, Image]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image)
        ]

    def _show_what_counts(self) -> None:
        self.layers.visible = self.source.value == _LAYERS
        self.folder.visible = self.source.value == _FOLDER
        self.start_file.visible = self.start.value == _FROM_FILE
        self.name.visible = self.place.value == _IN_LIST
        self.file.visible = self.place.value == _IN_FILE

    def _show_learning_rate(self, start: str) -> None:
        self.learning_rate.value = _DEFAULTS.first_learning_rate(
            from_weights=start != _FROM_NOTHING
        )

    def _count_whole_steps(self, unit: str) -> None:
        self.budget.native.setDecimals(1 if unit == "minutes" else 0)


def _chosen(field: FileEdit, otherwise: str) -> Path:
    # An empty field stands for the folder that one is in.
    if field.value is None or str(field.value) in ("", "."):
        raise ValueError(otherwise)
    return Path(field.value)


def _opened(layer: Image) -> ImageData:
    data = layer_array(layer)
    axes = "YXS" if layer.rgb else "YX"
    axes = "Q" * (data.ndim - len(axes)) + axes
    return without_calibration(data, axes, layer.name)
