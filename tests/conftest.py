"""Fixtures shared by all folders: real data, and a home that is thrown away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _folder(variable: str, default: Path, what: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"{what} are not at {folder}; set {variable} to their folder")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real slides, nuclei and patches."""
    return _folder("HWSI_TEST_DATA", ROOT.parent / "shared" / "data", "Real test slides")


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder of seeded checkpoints and what the published architecture returns for them."""
    return _folder("HWSI_PARITY", ROOT.parent / "shared" / "parity", "Parity arrays")


@pytest.fixture(scope="session")
def cmu(data: Path) -> Path:
    """A real H&E slide with a pixel size: Aperio, skin, 2220 x 2967, 0.499 µm/px."""
    return data / "wsi" / "CMU-1-Small-Region.svs"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the package remembers for its user in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HWSI_HOME", str(folder))
    return folder
