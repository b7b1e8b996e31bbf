"""What the commands say, and the bar that shows how far they are."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this loads torch, which a quick `--help` does without
    from napari_mpi.pipeline.api import Denoised, Denoising

__all__ = [
    "BAR",
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "finish",
    "naming_warnings",
    "say",
    "say_error",
]

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def say(text: str) -> None:
    """Tell the user something that is not a result."""
    print(f"napari-mpi: {text}", file=sys.stderr)


def say_error(name: object, reason: str) -> None:
    """Tell what went wrong with an image, naming it once."""
    say(f"error: {_naming(name, reason)}")


@contextlib.contextmanager
def naming_warnings(name: object) -> Iterator[None]:
    """Let each warning name the image that it is about, once."""
    with warnings.catch_warnings():
        before = warnings.showwarning
        warnings.showwarning = lambda message, *_, **__: say(
            f"warning: {_naming(name, str(message))}"
        )
        try:
            yield
        finally:  # which not every Python's `catch_warnings` does
            warnings.showwarning = before


def _naming(name: object, text: str) -> str:
    return text if str(name) in text else f"{name}: {text}"


def finish(run: Denoising, label: str) -> Denoised:
    """Advance a run to its end with a progress bar."""
    from tqdm import tqdm

    with tqdm(total=1.0, desc=label, bar_format=BAR, disable=None) as bar:
        for progress in run:
            plane = f"plane {progress.plane + 1}/{progress.n_planes}, "
            bar.set_postfix_str(
                f"{plane if progress.phase == 'filling' else ''}{progress.phase} "
                f"{progress.step}/{progress.n_steps}",
                refresh=False,
            )
            bar.update(progress.fraction - bar.n)
    return run.result()
