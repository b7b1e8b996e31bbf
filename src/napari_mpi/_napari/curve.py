"""The loss curve of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.viewer import Viewer

from napari_mpi._napari.plots import Plot, Series

__all__ = ["LossCurve"]

# Steps are averaged to so many points, which the eye can follow.
_MAX_POINTS = 100


class LossCurve(Plot):
    """The error over the steps of a training.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(
            viewer, "step", "error", [Series("on the images it learns from", 0)]
        )
        self.setToolTip(
            "How far the network is off when it fills in hidden pixels of the images "
            "it learns from. It should fall, and level off at the end."
        )

    def show_losses(self, losses: Sequence[float]) -> None:
        """Show the losses of all steps so far."""
        n_points = min(len(losses), _MAX_POINTS)
        parts = np.array_split(np.asarray(losses, float), max(n_points, 1))
        last_steps = np.cumsum([len(part) for part in parts])
        means = [float(part.mean()) for part in parts if len(part)]
        self.set_points(0, last_steps[: len(means)], means)
