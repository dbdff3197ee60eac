"""The Analyse dock, driven by clicks."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
import shapely
from napari.layers import Layer
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent

from napari_hwsi.hierarchy import PROFILES, default_store, open_result
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.viewer import result_of, show_slide
from napari_hwsi.viewer.nuclei import nuclei_of
from napari_hwsi.viewer.raster import SCORE_CLASSES, score_classes
from napari_hwsi.viewer.reader import get_reader
from napari_hwsi.viewer.region import require_visible_box
from napari_hwsi.viewer.state import part_layer
from napari_hwsi.widgets.analyse_dock import AnalyseDock
from napari_hwsi.widgets.scope import WHOLE


@pytest.fixture
def dock(viewer: napari.Viewer) -> AnalyseDock:
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Analyse")
    dock.scope_box.setCurrentText(WHOLE)
    return dock


def wait(dock: AnalyseDock, qtbot) -> None:
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=100000)


def test_layers_of_a_result(dock: AnalyseDock, viewer: napari.Viewer, tissue: Slide, qtbot) -> None:
    (slide_layer,) = viewer.layers
    assert Path(dock.store_edit.text()) == default_store(tissue)
    dock.phrases_edit.setPlainText("crowded nuclei\n\n  pink fibrous stroma ")
    dock.colours_box.setCurrentText("reinhard")
    dock.run_button.click()
    wait(dock, qtbot)
    result = open_result(default_store(tissue))
    assert result.phrases == ("crowded nuclei", "pink fibrous stroma")
    assert result.normalisation == "reinhard"
    assert result_of(slide_layer).path == result.path
    assert dock.summary.text().startswith("1 of 1 regions, 256 patches")
    kept = result.selected_patches
    patches = part_layer(viewer, tissue, "patches")
    assert len(patches.features) == len(kept) > 0
    for row, (_, patch) in enumerate(kept.iterrows()):
        y1, x1 = np.minimum((patch.y1, patch.x1), tissue.shape)  # the layer ends with the slide
        middle = ((patch.y0 + y1) / 2 - 0.5, (patch.x0 + x1) / 2 - 0.5)
        value = patches.get_value(slide_layer.data_to_world(middle), world=True)[1]
        assert value == patches.features["index"][row]
        assert (value - 1) % SCORE_CLASSES == score_classes(kept["relevance"].to_numpy())[row]
    nuclei = nuclei_of(part_layer(viewer, tissue, "cells"))
    assert len(nuclei.layer.features) == len(result.cells)
    assert nuclei.searched.covers(shapely.box(0, 0, tissue.shape[1], tissue.shape[0]))
    regions = part_layer(viewer, tissue, "regions")
    np.testing.assert_allclose(regions.data[0].max(0), np.array(tissue.shape) - 0.5)
    assert part_layer(viewer, tissue, "tissue") is not None
    for layer in viewer.layers:  # nothing makes the world larger than the slide by more than a patch's pixel
        assert (layer.extent.world[1] <= slide_layer.extent.world[1] + 20).all()


def test_errors_leave_the_window_alive(
    dock: AnalyseDock, viewer: napari.Viewer, tissue: Slide, qtbot, tmp_path: Path
) -> None:
    store = tmp_path / "skin.hwsi.zarr"
    store.write_text("not a result")
    dock.store_edit.setText(str(store))
    dock.run_button.click()
    wait(dock, qtbot)
    assert "is not a result of napari-hwsi" in dock.task.words.text()
    dock.phrases_edit.setPlainText("the meaning of life")
    dock.store_edit.setText(str(tmp_path / "other.hwsi.zarr"))
    dock.run_button.click()
    wait(dock, qtbot)
    assert "phrase" in dock.task.words.text()
    glass = slide_from_array(np.full((600, 600, 3), 245, np.uint8), mpp=0.5, name="glass")
    show_slide(viewer, glass)
    dock.run_button.click()
    wait(dock, qtbot)
    assert "no tissue" in dock.task.words.text().lower()
    assert dock.run_button.isEnabled()


def test_cancel_keeps_the_window_and_another_slides_result_is_refused(
    dock: AnalyseDock, viewer: napari.Viewer, tissue: Slide, qtbot
) -> None:
    dock.run_button.click()
    qtbot.wait(100)
    dock.task.cancel_button.click()
    assert not dock.task.busy
    dock.run_button.click()  # waits for the cancelled work to let go of the store, then goes on
    wait(dock, qtbot)
    assert "nuclei" in dock.summary.text()
    other = slide_from_array(np.full((600, 600, 3), 245, np.uint8), mpp=0.5, name="other")
    show_slide(viewer, other)
    dock.open(default_store(tissue))
    assert "result of another slide, skin" in dock.task.words.text()


def test_work_goes_on_while_another_slide_is_looked_at(
    dock: AnalyseDock, viewer: napari.Viewer, tissue: Slide, qtbot
) -> None:
    (layer,) = viewer.layers
    other = show_slide(viewer, slide_from_array(np.full((600, 600, 3), 245, np.uint8), mpp=0.5, name="other"))
    viewer.layers.selection.active = layer
    dock.run_button.click()
    qtbot.waitUntil(lambda: part_layer(viewer, tissue, "tissue") is not None, timeout=60000)
    assert dock.layer is layer
    assert dock.task.busy  # its own layers do not stop it, nor does a look elsewhere
    viewer.layers.selection.active = other
    assert dock.task.busy
    assert dock.task_slide.text() == "On skin"
    wait(dock, qtbot)
    assert dock.task.words.text() == "Finished."
    assert dock.summary.text() == ""
    assert result_of(other) is None
    assert part_layer(viewer, tissue, "patches") is not None
    viewer.layers.selection.active = layer
    assert dock.summary.text().startswith("1 of 1 regions")


def test_parts_are_chosen_estimated_and_climbed(
    dock: AnalyseDock, viewer: napari.Viewer, tissue: Slide, qtbot
) -> None:
    (layer,) = viewer.layers
    box = dock.estimate_box
    qtbot.waitUntil(lambda: box.estimate is not None, timeout=60000)
    assert box.estimate.regions == {"patches": 1, "cells": 1}
    assert "mm² of tissue in 1 region" in box.words.text()
    assert dock.ladder_box.isHidden()
    # the descriptor cannot save itself
    assert dock.survivors_box.isEnabled() == (PROFILES["pocket"].encoder != "descriptor")
    dock.part_boxes["patches"].setChecked(False)
    dock.part_boxes["cells"].setChecked(False)
    dock.run_button.click()
    assert "No part is chosen" in dock.task.words.text()
    dock.part_boxes["patches"].setChecked(True)
    dock.region_box.setCurrentText("adaptive")
    dock.run_button.click()
    wait(dock, qtbot)
    result = result_of(layer)
    assert result.options.regions == "adaptive"
    assert not result.regions["cells"].any()
    assert "Adaptive regions: 1." in dock.summary.text()
    assert "Nuclei in 0 of 1" in dock.summary.text()
    outlines = part_layer(viewer, tissue, "regions")
    assert len(outlines.data) == len(result.adaptive_regions)
    qtbot.waitUntil(lambda: "Nothing is left" in box.words.text(), timeout=60000)
    # down the scales and back
    buttons, ladder = dock.ladder_box.buttons, dock.ladder_box
    assert not buttons["cell"].isEnabled()
    ladder.steppers["patch"][1].click()
    assert buttons["patch"].text().startswith("Patch 2 of")
    y0, x0, y1, x1 = result.selected_patches.iloc[1][["y0", "x0", "y1", "x1"]]
    seen = require_visible_box(viewer, layer)
    assert (seen[0] <= y0, seen[1] <= x0, seen[2] >= min(y1, 768), seen[3] >= min(x1, 640)) == (True,) * 4
    assert seen[2] - seen[0] < 700
    buttons["slide"].click()
    assert require_visible_box(viewer, layer) == (0, 0, 768, 640)


def drop(dock: AnalyseDock, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left, no = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), copy, mime, left, no)
    enter.setAccepted(False)
    dock.dragEnterEvent(enter)
    if enter.isAccepted():
        dock.dropEvent(QDropEvent(QPointF(5, 5), copy, mime, left, no))


def test_a_result_is_opened_by_dropping_it(
    dock: AnalyseDock, viewer: napari.Viewer, analysed: Slide, tmp_path: Path
) -> None:
    (layer,) = viewer.layers
    drop(dock, tmp_path)
    assert result_of(layer) is None
    drop(dock, default_store(analysed))
    assert result_of(layer).path == default_store(analysed)
    assert dock.ladder_box.buttons["cell"].text().startswith("Cell 1 of")
    assert dock.summary.text().startswith("1 of 1 regions")
    # on the canvas: on the slide that is open, in place of what was shown
    count = len(viewer.layers)
    shown = dock.ladder_box.ladder
    for data in get_reader(str(default_store(analysed)))(str(default_store(analysed))):
        viewer.add_layer(Layer.create(*data))
    assert len(viewer.layers) == count
    assert dock.ladder_box.ladder is not shown
