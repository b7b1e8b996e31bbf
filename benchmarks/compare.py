"""Print PSNR and SSIM of 8-bit images against their truth.

python -m benchmarks.compare TRUTH IMAGE [IMAGE ...]
"""

from __future__ import annotations

import sys

from benchmarks._data import score
from napari_mpi.io.files import read_image


def main() -> None:
    """Print a line for each image."""
    truth, *images = (read_image(path) for path in sys.argv[1:])
    for image in images:
        psnr, ssim = score(image.data / 255, truth.data / 255)
        print(f"{image.name}: {psnr:.2f} dB, SSIM {ssim:.3f}")


if __name__ == "__main__":
    main()
