"""The Slide dock, driven by clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_hwsi.slides import open_slide
from napari_hwsi.viewer import visible_box
from napari_hwsi.widgets.slide_dock import SlideDock


def test_facts_magnification_and_pictures(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, cmu: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    assert isinstance(dock, SlideDock)
    assert dock.slide_label.text() == "No slide is open"
    dock.open(str(cmu))
    (layer,) = viewer.layers
    facts = {name: label.text() for name, label in dock.fact_labels.items()}
    assert facts["Size"] == "2,220 x 2,967 px"
    assert facts["On glass"] == "1.11 x 1.48 mm"
    assert facts["Pixel"] == "0.499 µm (from the file)"
    qtbot.waitUntil(lambda: dock.fact_labels["Stain"].text() == "H&E", timeout=10000)
    assert not dock.mpp_box.isVisible()
    button = dock.magnification_buttons[10]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    y0, _, y1, _ = visible_box(viewer, layer)
    assert (y1 - y0) * 0.499 == pytest.approx(viewer.canvas.size[0], abs=1.5)
    assert button.isChecked()
    viewer.scene.camera.zoom = 0.5
    assert dock.magnification_label.text() == "Magnification 5x"
    assert not button.isChecked()
    # Pictures beside the slide are shown when asked for, never before.
    assert not dock.picture.isVisible()
    dock.names.setCurrentText("thumbnail")
    qtbot.mouseClick(dock.show_button, Qt.MouseButton.LeftButton)
    assert dock.picture.isVisibleTo(dock)
    dock.scale_bar.setChecked(False)
    assert not viewer.canvas.overlays["scale_bar"].visible
    for wrong, words in (("far away", "is not a place"), ("9000, 10", "ends at x 2220, y 2967")):
        dock.place_edit.setText(wrong)
        qtbot.mouseClick(dock.go_button, Qt.MouseButton.LeftButton)
        assert words in dock.task.words.text()
    dock.place_edit.setText("700, 1500")
    qtbot.mouseClick(dock.go_button, Qt.MouseButton.LeftButton)
    y0, _, y1, _ = visible_box(viewer, layer)
    assert y0 < 1500 < y1
    assert (y0 + y1) / 2 == pytest.approx(1500, abs=20)


def test_missing_mpp_is_given_once(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path
) -> None:
    path = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    dock.open(str(path))
    assert dock.mpp_box.isVisibleTo(dock)
    assert not dock.magnification_buttons[10].isEnabled()
    for wrong, words in (("much", "not a number"), ("1000", "not a resolution")):
        dock.mpp_edit.setText(wrong)
        dock.mpp_button.click()
        assert words in dock.task.words.text()
    dock.mpp_edit.setText("0.25")
    dock.mpp_button.click()
    np.testing.assert_allclose(viewer.layers[0].scale, 0.25)
    assert str(viewer.layers[0].units[0]) == "micrometer"
    assert dock.magnification_buttons[10].isEnabled()
    assert dock.fact_labels["Pixel"].text() == "0.25 µm (given by you)"
    with open_slide(path) as again:
        assert again.mpp == (0.25, 0.25)


def test_broken_slide_leaves_the_window_alive(
    make_napari_viewer: Callable[..., napari.Viewer], data: Path
) -> None:
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    dock.open(str(data / "wsi" / "broken.svs"))
    assert "broken.svs cannot be opened as a slide" in dock.task.words.text()
    assert len(viewer.layers) == 0
