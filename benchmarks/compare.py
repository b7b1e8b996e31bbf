"""Print PSNR and SSIM of 8-bit images against their truth.

python -m benchmarks.compare TRUTH IMAGE [IMAGE ...]
"""

from __future__ import annotations

import argparse

from benchmarks._data import score
from napari_mpi.io.files import read_image


def main() -> None:
    """Print a line for each image."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("truth")
    arguments.add_argument("images", nargs="+")
    args = arguments.parse_args()
    truth = read_image(args.truth)
    for image in map(read_image, args.images):
        psnr, ssim = score(image.data / 255, truth.data / 255)
        print(f"{image.name}: {psnr:.2f} dB, SSIM {ssim:.3f}")


if __name__ == "__main__":
    main()
