"""Print the throughput of workers against one, and whether the bytes are the same.

    python -m benchmarks.workers                  # 1 and 2 workers, one thread each
    python -m benchmarks.workers --workers 1 2 4 --files 16

Each worker computes with one thread. The time to start the workers counts.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from benchmarks._data import parser
from napari_mpi import denoise_files


def main() -> None:
    """Print a line for each number of workers."""
    arguments = parser(__doc__)
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--files", type=int, default=8)
    arguments.add_argument("--size", type=int, default=256)
    args = arguments.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        rows, columns = np.mgrid[: args.size, : args.size]
        disc = np.hypot(rows - args.size / 2, columns - args.size / 2) < args.size / 4
        for number in range(args.files):
            noisy = rng.poisson(20 + 90 * disc).astype(np.uint16)
            tifffile.imwrite(folder / "images" / f"{number}.tif", noisy)
        print("| workers | seconds | files a minute | times one | same bytes |")
        print("|---|---|---|---|---|")
        first: tuple[float, dict[str, str]] | None = None
        for workers in args.workers:
            started = time.perf_counter()
            records = denoise_files(
                folder / "images",
                folder / f"out{workers}",
                preset="fast",
                device=args.device,
                workers=workers,
            )
            seconds = time.perf_counter() - started
            hashes = {record.name: record.output_sha256 for record in records}
            first = first or (seconds, hashes)
            print(
                f"| {workers} | {seconds:.1f} | {60 * args.files / seconds:.1f} | "
                f"{first[0] / seconds:.2f} | {'yes' if hashes == first[1] else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
