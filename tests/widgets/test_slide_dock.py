"""The Slide dock, driven by clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_hwsi.evidence import Evidence
from napari_hwsi.slides import open_slide
from napari_hwsi.viewer import show_evidence, visible_box
from napari_hwsi.viewer.region import set_magnification
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
    button = dock.magnification.buttons[10]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    y0, _, y1, _ = visible_box(viewer, layer)
    assert (y1 - y0) * 0.499 == pytest.approx(viewer.canvas.size[0], abs=1.5)
    assert button.isChecked()
    viewer.scene.camera.zoom = 0.5
    assert dock.magnification.edit.text() == "5x"
    assert not button.isChecked()
    edit = dock.magnification.edit
    for typed, zoom in (("7.5x", 0.75), ("12", 1.2), ("0,5 x", 0.05)):
        edit.setFocus()
        edit.selectAll()
        qtbot.keyClicks(edit, typed)
        qtbot.keyClick(edit, Qt.Key.Key_Return)
        assert viewer.scene.camera.zoom == pytest.approx(zoom)
    for typed, words in (("far", "is not a magnification"), ("0x", "is no magnification")):
        edit.selectAll()
        qtbot.keyClicks(edit, typed)
        qtbot.keyClick(edit, Qt.Key.Key_Return)
        assert words in dock.task.words.text()
        assert viewer.scene.camera.zoom == pytest.approx(0.05)
        assert edit.text() == "0.5x"
    # Pictures beside the slide are shown when asked for, never before.
    assert not dock.picture.isVisible()
    dock.names.setCurrentText("thumbnail")
    qtbot.mouseClick(dock.show_button, Qt.MouseButton.LeftButton)
    assert dock.picture.isVisibleTo(dock)
    dock.magnification.scale_bar.setChecked(False)
    assert not viewer.canvas.overlays["scale_bar"].visible


def test_several_slides_each_in_its_place(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, cmu: Path, data: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    other = data / "wsi" / "test3-DAPI-2-387.ndpi"
    for path in (cmu, other):
        dock.open(str(path))
    skin, cells = viewer.layers
    assert dock.slide_label.text() == other.name
    assert [dock.names.itemText(i) for i in range(dock.names.count())] == ["macro"]
    np.testing.assert_allclose(cells.scale, 0.22818, rtol=1e-4)
    qtbot.mouseClick(dock.show_button, Qt.MouseButton.LeftButton)
    assert dock.picture.isVisibleTo(dock)
    viewer.layers.selection.active = skin
    assert dock.slide_label.text() == cmu.name
    assert dock.names.count() == 3
    assert not dock.picture.isVisibleTo(dock)  # one slide's macro is not another's
    np.testing.assert_allclose(skin.scale, 0.499)
    set_magnification(viewer, 10)
    assert visible_box(viewer, skin) != visible_box(viewer, cells)
    # What is found on one lies on that one.
    places = [Evidence("patch", (100, 200, 356, 456), 1.0, "crop", "")]
    on_skin, on_cells = (show_evidence(viewer, layer, places) for layer in (skin, cells))
    for layer, mpp in ((on_skin, 0.499), (on_cells, 0.2281750559)):
        corners = layer.data_to_world(layer.data[0][0]), layer.data_to_world(layer.data[0][2])
        edges = np.array([[99.5, 199.5], [355.5, 455.5]]) * mpp
        np.testing.assert_allclose(corners, edges, rtol=1e-5)
    viewer.layers.remove(skin)
    assert dock.slide_label.text() == other.name


def test_missing_mpp_is_given_once(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path
) -> None:
    path = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    dock.open(str(path))
    assert dock.mpp_box.isVisibleTo(dock)
    assert not dock.magnification.buttons[10].isEnabled()
    for wrong, words in (("much", "not a number"), ("1000", "not a resolution")):
        dock.mpp_edit.setText(wrong)
        dock.mpp_button.click()
        assert words in dock.task.words.text()
    dock.mpp_edit.setText("0.25")
    dock.mpp_button.click()
    np.testing.assert_allclose(viewer.layers[0].scale, 0.25)
    assert str(viewer.layers[0].units[0]) == "micrometer"
    assert dock.magnification.buttons[10].isEnabled()
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
