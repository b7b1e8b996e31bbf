"""``python -m napari_mpi``."""

import sys

from napari_mpi.cli import main

sys.exit(main())
