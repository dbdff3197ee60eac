"""A small piece of real tissue in a viewer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import napari
import pytest

from napari_hwsi.hierarchy import analyze, default_store
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.viewer import show_slide


@pytest.fixture
def tissue(cmu: Path) -> Slide:
    """768 x 640 px of skin at 0.499 µm/px, in memory."""
    with open_slide(cmu) as slide:
        return slide_from_array(slide.read((1000, 850), (768, 640)), mpp=slide.mpp, name="skin")


@pytest.fixture(scope="session")
def store_of_tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the result of the tissue is kept for all tests of a run."""
    return tmp_path_factory.mktemp("results") / "skin.hwsi.zarr"


@pytest.fixture
def analysed(tissue: Slide, store_of_tissue: Path) -> Slide:
    """That tissue, its result in the usual place."""
    analyze(tissue, store_of_tissue)
    shutil.copytree(store_of_tissue, default_store(tissue))
    return tissue


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., napari.Viewer], tissue: Slide) -> napari.Viewer:
    """A visible viewer with that tissue in it."""
    viewer = make_napari_viewer(show=True)
    show_slide(viewer, tissue)
    return viewer
