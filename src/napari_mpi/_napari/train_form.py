"""The form of the training dock: on what, from where, how long, saved where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    LineEdit,
    Select,
    SpinBox,
)
from napari.layers import Image
from napari.viewer import Viewer

from napari_mpi._napari.controls import (
    WEIGHTS_FILES,
    chosen_path,
    device_choice,
    explain,
    fold_away,
    path_field,
    row,
    seed_field,
)
from napari_mpi._napari.layers import layer_array
from napari_mpi._napari.library_follower import LibraryFollower
from napari_mpi._napari.library_workers import TrainingJob
from napari_mpi.io.files import ImageData
from napari_mpi.io.image_data import without_calibration
from napari_mpi.training.config import PretrainConfig
from napari_mpi.weights.folder import BUNDLED, weights_folder
from napari_mpi.weights.library import installed_weights

__all__ = ["TrainForm"]

_LAYERS, _FOLDER = "layers in napari", "a folder"
_FROM_FILE, _FROM_NOTHING = "from file…", "from nothing"
_IN_LIST, _IN_FILE = "in the weights list", "in a file"
_DEFAULTS = PretrainConfig(minutes=60)
_TOOLTIPS = {
    "source": "What to learn from: images with much light and little noise.",
    "layers": "The layers to learn from; Ctrl-click takes several. They are not "
    "changed.",
    "folder": "A folder of images with much light and little noise.",
    "start": "The weights to go on from. From nothing takes hours or days.",
    "start_file": "Weights that were trained here, or the MPI authors' files.",
    "length": "How long to train.",
    "budget": "How long to train; an hour is a good beginning.",
    "unit": "Whether to count minutes, pauses left out, or steps.",
    "place": "In the list, the weights can be chosen by name in MPI denoise.",
    "weights_name": "What the new weights will be called in the list.",
    "file": "The file to write; its name ends in .safetensors.",
    "noise_share": "Share of crops that the network sees with simulated noise.",
    "synthetic_share": "Share of crops that are drawn by the computer instead of cut "
    "from your images; useful with few images.",
    "crop_size": "Side of the crops in pixels, a multiple of 32.",
    "batch_size": "How many crops the network learns from in each step.",
    "learning_rate": "How far each step goes at first; smaller is more careful.",
    "rgb": "Train weights for RGB images; otherwise colour becomes gray.",
    "seed": "The same seed gives the same training.",
    "device": "Where to compute; 'auto' takes the fastest there is.",
}


class TrainForm(Container):  # type: ignore[misc]
    """What to train on, from where, how long, and where to save.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.budget = FloatSpinBox(
            name="budget", label="length", value=60, min=0.1, max=1_000_000, step=1
        )
        self.unit = ComboBox(name="unit", choices=["minutes", "steps"])
        length = row(self.budget, self.unit, name="length")
        explain(length, _TOOLTIPS)
        self.extend(
            [
                ComboBox(name="source", label="images", choices=[_LAYERS, _FOLDER]),
                Select(name="layers", choices=self._image_layers),
                path_field(name="folder", mode="d"),
                ComboBox(name="start", choices=_starting_points),
                path_field(name="start_file", label="file", filter=WEIGHTS_FILES),
                length,
                ComboBox(name="place", label="save", choices=[_IN_LIST, _IN_FILE]),
                LineEdit(name="weights_name", label="name", value="my-microscope"),
                path_field(name="file", mode="w", filter="Weights (*.safetensors)"),
            ]
        )
        explain(self, _TOOLTIPS)
        self.margins = (0, 0, 0, 0)
        self.layers.native.setMaximumHeight(84)
        self.budget.native.setDecimals(1)
        self.advanced = _training_settings()
        self.advanced_fold = fold_away(self, self.advanced)
        for choice in (self.source, self.start, self.place):
            choice.changed.connect(self._show_what_counts)
        self.start.changed.connect(self._show_learning_rate)
        self.unit.changed.connect(self._count_whole_steps)
        self._show_what_counts()
        active = viewer.layers.selection.active
        if isinstance(active, Image):
            self.layers.value = [active]
        LibraryFollower(self.native, self.start.reset_choices)

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
            folders = [chosen_path(self.folder, "Choose the folder to learn from.")]
        init: str | Path | None = self.start.value
        if init == _FROM_NOTHING:
            init = None
        elif init == _FROM_FILE:
            init = chosen_path(self.start_file, "Choose the weights to start from.")
        in_minutes = self.unit.value == "minutes"
        settings = self.advanced.asdict()
        device = settings.pop("device")
        return TrainingJob(
            images=images,
            folders=folders,
            output=self._output(),
            config=PretrainConfig(
                minutes=self.budget.value if in_minutes else None,
                steps=None if in_minutes else max(1, round(self.budget.value)),
                **settings,
            ),
            init=init,
            device=device,
        )

    def reset_choices(self, *args: Any) -> None:
        """Follow the viewer's layers, and keep those that are chosen and still there.

        magicgui tells layers apart by their names, and so would lose one that is
        renamed.
        """
        chosen = self.layers.value
        super().reset_choices(*args)
        self.layers.value = [one for one in chosen if one in self.layers.choices]

    def _output(self) -> Path:
        if self.place.value == _IN_FILE:
            path = chosen_path(self.file, "Choose the file to save the weights in.")
            return path if path.suffix else path.with_suffix(".safetensors")
        name = self.weights_name.value.strip().removesuffix(".safetensors")
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
        self.weights_name.visible = self.place.value == _IN_LIST
        self.file.visible = self.place.value == _IN_FILE

    def _show_learning_rate(self, start: str) -> None:
        self.advanced.learning_rate.value = _DEFAULTS.first_learning_rate(
            from_weights=start != _FROM_NOTHING
        )

    def _count_whole_steps(self, unit: str) -> None:
        self.budget.native.setDecimals(1 if unit == "minutes" else 0)


def _starting_points(_: Any) -> list[str]:
    return [*BUNDLED, *installed_weights(), _FROM_FILE, _FROM_NOTHING]


def _training_settings() -> Container:
    """Make a field for each of the expert settings, which are of `PretrainConfig`."""
    rate = _DEFAULTS.first_learning_rate(from_weights=True)
    settings = Container()
    settings.extend(
        [
            FloatSpinBox(name="noise_share", label="noisy share", max=1, step=0.1),
            FloatSpinBox(name="synthetic_share", max=1, step=0.1),
            SpinBox(name="crop_size", min=64, max=512, step=32),
            SpinBox(name="batch_size", label="crops a step", min=1, max=1024),
            FloatSpinBox(
                name="learning_rate", value=rate, min=1e-5, max=0.1, step=0.0001
            ),
            CheckBox(name="rgb", label="for colour images"),
            seed_field(),
            device_choice(),
        ]
    )
    for name in ("noise_share", "synthetic_share", "crop_size", "batch_size"):
        settings[name].value = getattr(_DEFAULTS, name)
    explain(settings, _TOOLTIPS)
    return settings


def _opened(layer: Image) -> ImageData:
    data = layer_array(layer)
    axes = "YXS" if layer.rgb else "YX"
    axes = "Q" * (data.ndim - len(axes)) + axes
    return without_calibration(data, axes, layer.name)
