"""The package's settings in napari's Preferences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.settings import get_plugin_settings

from napari_hwsi.slides.cache import DEFAULT_BYTES, set_cache_size, tile_cache
from napari_hwsi.viewer.reader import open_in
from napari_hwsi.viewer.sample import sample_path


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Any]:
    """The settings, kept apart from the user's own."""
    napari.settings._clear_plugin_settings_cache()
    yield get_plugin_settings("napari-hwsi", path_dir=tmp_path).slides
    napari.settings._clear_plugin_settings_cache()
    set_cache_size(DEFAULT_BYTES)


def test_cache_size_holds_for_open_slides(
    make_napari_viewer: Callable[..., napari.Viewer], settings: Any, tmp_path: Path
) -> None:
    assert settings.cache_mib * 2**20 == DEFAULT_BYTES
    settings.cache_mib = 32
    viewer = make_napari_viewer()
    layer = open_in(viewer, sample_path())[0]
    np.asarray(layer.data[0][:7000, :7000])
    assert 16 * 2**20 < tile_cache().nbytes <= 32 * 2**20
    settings.cache_mib = 64  # while the slide is open
    np.asarray(layer.data[0][:7000, :7000])
    assert 40 * 2**20 < tile_cache().nbytes <= 64 * 2**20
    settings.cache_mib = 32
    assert "cache_mib: 32" in (tmp_path / "napari-hwsi.yaml").read_text()
    assert tile_cache().nbytes <= 32 * 2**20
    with pytest.raises(ValueError, match="greater than or equal to 32"):
        settings.cache_mib = 1
