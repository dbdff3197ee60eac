"""A slide whose file stops answering while it is on the screen, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_hwsi.viewer.drawing import draw_without_waiting
from napari_hwsi.viewer.reader import open_in
from napari_hwsi.viewer.region import centre_on
from napari_hwsi.viewer.trouble import watch
from napari_hwsi.widgets.slide_dock import SlideDock

CORNER = (2500.0, 3800.0)


def shown(layer: napari.layers.Image) -> np.ndarray:
    return np.asarray(layer._slice.image.raw)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_told_once_and_mended_by_itself(
    make_napari_viewer: Callable[..., napari.Viewer],
    qtbot,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: bool,
) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_hwsi.viewer.trouble.show_warning", said.append)
    monkeypatch.setattr("napari_hwsi.viewer.trouble.RETRY_MS", 60)
    path = tmp_path / "on a drive é.svs"
    content = (data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs").read_bytes()
    path.write_bytes(content)
    viewer = make_napari_viewer(show=True)
    draw_without_waiting(asynchronous)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    assert isinstance(dock, SlideDock)
    (layer,) = open_in(viewer, path)
    qtbot.waitUntil(lambda: layer.loaded, timeout=5000)
    trouble = watch(viewer, layer)
    assert not trouble.present
    assert not dock.trouble_words.isVisible()

    path.write_bytes(b"")  # the same file, as it looks when a drive gives nothing back
    viewer.scene.camera.zoom = 5  # the finest level has not been read yet
    centre_on(viewer, layer, CORNER)
    qtbot.waitUntil(lambda: trouble.present, timeout=5000)
    qtbot.waitUntil(lambda: layer.loaded and len(np.unique(shown(layer))) == 2, timeout=5000)  # hatched
    assert dock.trouble_words.isVisible()
    qtbot.wait(400)  # some attempts
    centre_on(viewer, layer, (2500, 400))
    qtbot.wait(200)
    assert trouble.present
    assert len(said) == 1
    assert "does not answer" in said[0]

    path.write_bytes(content)
    centre_on(viewer, layer, CORNER)
    qtbot.waitUntil(lambda: not trouble.present, timeout=5000)
    qtbot.waitUntil(lambda: layer.loaded and len(np.unique(shown(layer))) > 100, timeout=5000)
    y0, x0, y1, x1 = layer.corner_pixels[:, :2].ravel()
    np.testing.assert_array_equal(shown(layer), trouble.slide.read((y0, x0), (y1 - y0 + 1, x1 - x0 + 1)))
    assert not dock.trouble_words.isVisible()
    assert not trouble._timer.isActive()
    assert len(said) == 1


def test_a_closed_layer_is_tried_no_more(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slide.svs"
    path.write_bytes((data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs").read_bytes())
    viewer = make_napari_viewer()
    (layer,) = open_in(viewer, path)
    trouble = watch(viewer, layer)
    trouble._timer.setInterval(50)
    path.write_bytes(b"")
    np.asarray(layer.data[0][2000:2100, 1000:1100])
    qtbot.waitUntil(lambda: trouble.present, timeout=5000)
    assert trouble._timer.isActive()
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not trouble._timer.isActive(), timeout=5000)
