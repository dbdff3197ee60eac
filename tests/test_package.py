"""What a user gets: the wheel, the public names, and a core that knows no Qt."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_hwsi

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_hwsi"

# Each folder may import from those before it.
ORDER = ["slides", "synthetic", "sample_data", "tissue", "encoders", "cells", "hierarchy", "batch"]
ORDER += ["model", "training", "evidence", "chat", "evaluation", "viewer", "widgets"]
SEEN_BY_QT = {"viewer", "widgets"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_manifest_and_sample_and_nothing_of_ours(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "napari_hwsi/napari.yaml" in names
    assert "napari_hwsi/sample_data/synthetic.svs" in names
    assert all(name.startswith(("napari_hwsi/", "napari_hwsi-")) for name in names)
    assert not any(".hwsi.zarr" in name for name in names)
    assert wheel.stat().st_size < 20e6  # sample slide 7 MB, weights of our own 6 MB


def test_the_sample_opens_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "from napari_hwsi.viewer.sample import sample_slide, sample_path\n"
        f"assert str(sample_path()).startswith({str(tmp_path)!r}), sample_path()\n"
        "levels, kwargs, kind = sample_slide()[0]\n"
        "print(kind, levels[0].shape, [float(s) for s in kwargs['scale']])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.stdout.strip() == "image (7168, 7168, 3) [0.5, 0.5]", done.stderr


@pytest.mark.parametrize("name", napari_hwsi.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(napari_hwsi, name).__doc__


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, napari_hwsi; print([m for m in ('napari', 'torch', 'qtpy', 'dask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_runs_without_qt_and_napari(cmu: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('qtpy', 'PyQt6', 'napari', 'vispy', 'superqt'): sys.modules[name] = None\n"
        "import napari_hwsi as hwsi\n"
        f"slide = hwsi.open_slide({str(cmu)!r})\n"
        "print(len(hwsi.segment_cells(slide, box=(1400, 900, 1500, 1000))) > 0, hwsi.ask is not None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True True", done.stderr


def _imports(file: Path) -> set[str]:
    """Return what a module imports: top folders of this package, and outside packages."""
    found = set()
    depth = len(file.relative_to(SOURCE).parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level in (0, depth) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("folder", ORDER)
def test_a_folder_imports_only_from_those_before_it(folder: str) -> None:
    later = set(ORDER[ORDER.index(folder) + 1 :])
    for file in (SOURCE / folder).rglob("*.py"):
        imports = _imports(file)
        assert not imports & later, file
        if folder not in SEEN_BY_QT:
            assert not imports & {"napari", "qtpy", "superqt", "vispy", "magicgui"}, file
