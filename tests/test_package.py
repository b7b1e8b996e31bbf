import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_mpi

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "napari_mpi"
MODULES = sorted(SOURCE.rglob("*.py"))


def python(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **kwargs.pop("env", {})}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        **kwargs,
    )


def test_importing_the_package_loads_neither_torch_nor_qt():
    code = (
        "import sys, napari_mpi; dir(napari_mpi); "
        "heavy = {'torch', 'napari', 'qtpy', 'magicgui', 'PyQt6', 'PySide6'}; "
        "print(heavy & set(sys.modules))"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_library_works_without_loading_napari_or_qt():
    code = (
        "import sys, numpy, napari_mpi; "
        "napari_mpi.denoise(numpy.random.rand(16, 16), n_iter=1, n_passes=2); "
        "import napari_mpi.cli, napari_mpi.training.pretrain; "
        "print({'napari', 'qtpy', 'magicgui'} & set(sys.modules))"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize("name", napari_mpi.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(napari_mpi, name) is not None
    assert name in dir(napari_mpi)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        _ = napari_mpi.denoize


# Which rooms each room of the package may look into.
OPEN_TO_ALL = {"checks", "config"}
LAYERS = {
    "checks": set(),
    "config": set(),
    "arrays": set(),
    "engine": {"arrays"},
    "analysis": {"arrays"},
    "weights": {"engine", "io"},
    "pipeline": {"analysis", "arrays", "engine", "weights"},
    "io": {"arrays"},
    "training": {"arrays", "engine", "io", "weights"},
    "batch": {"engine", "io", "pipeline", "weights"},
    "__main__": {"cli"},
    "cli": {"batch", "engine", "io", "pipeline", "training", "weights"},
}


@pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_point_one_way_and_only_underscored_rooms_know_napari(module):
    internal, external = set(), set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            top, _, rest = node.module.partition(".")
            if top == "napari_mpi":
                internal |= {rest} if rest else {alias.name for alias in node.names}
            else:
                external.add(top)
        elif isinstance(node, ast.Import):
            external |= {alias.name.partition(".")[0] for alias in node.names}
    room = module.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room in ("__init__", "_napari"):
        return
    assert not external & {"napari", "qtpy", "magicgui", "superqt"}
    rooms = {name.partition(".")[0] for name in internal}
    assert rooms - OPEN_TO_ALL - {room, "", "__version__"} <= LAYERS[room]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("no source tree to build from")
    folder = tmp_path_factory.mktemp("wheel")
    done = python(
        "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_is_small_and_complete(wheel):
    assert wheel.stat().st_size < 10e6
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "napari_mpi/napari.yaml",
        "napari_mpi/py.typed",
        "napari_mpi/weights/bundled/universal.safetensors",
        "napari_mpi/weights/bundled/universal.md",
        "napari_mpi/weights/bundled/universal-rgb.safetensors",
        "napari_mpi/weights/bundled/universal-rgb.md",
    ):
        assert part in names


def test_the_wheel_works_outside_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    done = python(
        "-m", "pip", "install", "--no-deps", "--target", str(site), str(wheel)
    )
    assert done.returncode == 0, done.stderr
    code = (
        "import numpy, napari_mpi, npe2; "
        "print(napari_mpi.__file__); "
        "image = numpy.random.rand(20, 20); "
        "print(napari_mpi.denoise(image, n_iter=1, n_passes=2).image.shape); "
        "m = npe2.PluginManifest.from_distribution('napari-mpi'); "
        "m.validate_imports(); "
        "print(m.contributions.widgets[0].display_name)"
    )
    done = python("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(site / "napari_mpi" / "__init__.py"),
        "(20, 20)",
        "MPI denoise",
    ]


def test_npe2_finds_the_installed_manifest_valid():
    done = python("-m", "npe2", "validate", "napari-mpi")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifest_at_the_top_is_the_one_that_ships():
    if not (ROOT / "napari.yaml").exists():
        pytest.skip("no source tree")
    assert (ROOT / "napari.yaml").resolve() == (SOURCE / "napari.yaml").resolve()
