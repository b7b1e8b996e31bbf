"""Kill a batch again and again, carry on, and compare with one left in peace.

    python -m benchmarks.kill                        # 12 files, 20 kills
    python -m benchmarks.kill --files 4 --kills 5 --workers 2 --seed 1

Each kill is a SIGKILL to the command and its workers, at a random moment after a random
number of further planes or networks were finished, so that kills are spread over the
work however fast the machine is. After each, every file under a final name has to be
complete, the summaries have to be readable, and no plane that was finished may be
computed again. In the end all results have to be the same bytes as those of a run that
was left in peace.
"""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks._data import parser

SETTINGS = ("--preset", "fast", "--n-iter", "2", "--n-passes", "12")
# Starting a process from this one costs no import of torch.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["torch._dynamo", "tqdm", "napari_mpi.batch.api", "napari_mpi.cli"]
)


@dataclass(frozen=True)
class Kill:
    """One run and what was found after it.

    Attributes
    ----------
    killed : bool
        Whether it was killed, or came to its end.
    seconds : float
        How long the command had been running.
    finished : int
        Files under their final names.
    planes : int
        Planes that were ever finished.
    wrong : int
        Files under a final name that are not those of the undisturbed run, and
        summaries that cannot be read.
    """

    killed: bool
    seconds: float
    finished: int
    planes: int
    wrong: int


def make_images(folder: Path, number: int, size: int) -> int:
    """Write images of several kinds; return how many planes they have in all."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    n_planes = 0
    rows, columns = np.mgrid[:size, : size + 4]
    disc = np.hypot(rows - size / 2, columns - size / 2) < size / 4
    for image in range(number):
        depth = 1 + image % 3
        dtype = ("u2", "u1", "f4")[image % 3]
        noisy = rng.poisson(20 + 90 * disc, (depth, *disc.shape)).astype(dtype)
        (folder / f"day{image % 2}").mkdir(exist_ok=True)
        path = folder / f"day{image % 2}" / f"{image}.tif"
        tifffile.imwrite(path, noisy, photometric="minisblack")
        n_planes += depth
    return n_planes


def run(images: Path, output: Path, log: Path, *options: str) -> Any:
    """Start the command in a process group of its own."""
    process = _context.Process(target=_command, args=(images, output, log, options))
    process.start()
    return process


def _command(images: Path, output: Path, log: Path, options: tuple[str, ...]) -> None:
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    from napari_mpi.batch import checkpoints
    from napari_mpi.cli import main

    save = checkpoints.FileCheckpoints.save

    def saving(self: Any, name: str, *args: Any) -> None:
        save(self, name, *args)
        with log.open("a") as file:
            file.write(f"{self._folder.parent.name}/{name}\n")

    checkpoints.FileCheckpoints.save = saving  # type: ignore[method-assign]
    sys.exit(main(["batch", str(images), "-o", str(output), *SETTINGS, *options]))


def kill_again_and_again(
    folder: Path, *, files: int, kills: int, size: int, seed: int, workers: int
) -> Iterator[Kill]:
    """Yield what was found after each kill, and at last after the run to the end.

    Raises
    ------
    RuntimeError
        If a run that was left in peace failed.
    """
    images, whole, out = (folder / name for name in ("images", "whole", "out"))
    make_images(images, files, size)
    options = ("--noise-map", "--workers", str(workers))
    started = time.monotonic()
    _to_end(run(images, whole, folder / "whole.log", *options))
    n_parts = _n_lines(folder / "whole.log")
    per_part = (time.monotonic() - started) / n_parts
    chance = random.Random(seed)
    for _ in range(kills):
        started = time.monotonic()
        until = _n_lines(folder / "log") + round(chance.uniform(0, n_parts / kills))
        process = run(images, out, folder / "log", *options)
        while _n_lines(folder / "log") < until and process.exitcode is None:
            time.sleep(0.002)
        process.join(chance.uniform(0, per_part))
        if process.exitcode is not None:
            break
        process.kill()
        with contextlib.suppress(ProcessLookupError):  # no group of its own yet
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        yield _found(True, time.monotonic() - started, whole, out, folder / "log")
    started = time.monotonic()
    _to_end(run(images, out, folder / "log", *options))
    yield _found(False, time.monotonic() - started, whole, out, folder / "log")


def finished_twice(folder: Path) -> int:
    """Return how many planes were finished more than once, where workers is 0."""
    log = folder / "log"
    planes = [line for line in log.read_text().splitlines() if "/plane-" in line]
    return len(planes) - len(set(planes))


def _n_lines(log: Path) -> int:
    return log.read_text().count("\n") if log.exists() else 0


def results(output: Path) -> dict[str, bytes]:
    """Return the bytes of all results of an output folder."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*.ome.tif"))
        if ".napari-mpi" not in path.parts
    }


def _to_end(process: Any) -> None:
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"The command ended with exit code {process.exitcode}.")


def _found(killed: bool, seconds: float, whole: Path, out: Path, log: Path) -> Kill:
    expected, found = results(whole), results(out)
    wrong = sum(expected.get(name) != data for name, data in found.items())
    wrong += not _summaries_are_valid(out)
    planes = log.read_text().count("/plane-") if log.exists() else 0
    return Kill(killed, seconds, len(found), planes, wrong)


def _summaries_are_valid(out: Path) -> bool:
    table, page = out / "batch.csv", out / "batch.html"
    if table.exists():
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        if not rows or len({len(row) for row in rows}) != 1:
            return False
    if page.exists():
        text = page.read_text(encoding="utf-8")
        HTMLParser().feed(text)
        if not text.endswith("</html>\n"):
            return False
    for record in out.rglob("record.json"):
        json.loads(record.read_text(encoding="utf-8"))
    return True


def main() -> None:
    """Print a line for each kill, and whether the bytes are the same in the end."""
    arguments = parser(__doc__)
    arguments.add_argument("--files", type=int, default=12)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--size", type=int, default=48)
    arguments.add_argument("--workers", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    # Killed progress bars leave semaphores to the system.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| run | ended after | results there | planes finished | wrong files |")
        print("|---|---|---|---|---|")
        for number, kill in enumerate(
            kill_again_and_again(
                folder,
                files=args.files,
                kills=args.kills,
                size=args.size,
                seed=args.seed,
                workers=args.workers,
            )
        ):
            said = f"{'killed' if kill.killed else 'by itself'}, {kill.seconds:.2f} s"
            print(
                f"| {number + 1} | {said} | {kill.finished} | {kill.planes} | "
                f"{kill.wrong} |",
                flush=True,
            )
        same = results(folder / "whole") == results(folder / "out")
        print(f"\nAll bytes the same as without a kill: {'yes' if same else 'NO'}.")
        if args.workers == 0:
            print(f"Planes finished more than once: {finished_twice(folder)}.")


if __name__ == "__main__":
    main()
