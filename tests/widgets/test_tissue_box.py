"""Tissue and artefacts in the Analyse dock: seen, painted over, used, let go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_hwsi.slides import Slide, open_slide
from napari_hwsi.tissue import CLASSES, is_edited, kept_tissue, tissue_mask
from napari_hwsi.viewer.reader import open_in
from napari_hwsi.viewer.state import part_layer, result_of
from napari_hwsi.widgets.analyse_dock import AnalyseDock
from napari_hwsi.widgets.cells_dock import CellsDock
from napari_hwsi.widgets.tissue_box import TissueBox

LEFT = Qt.MouseButton.LeftButton
TISSUE, PEN = CLASSES.index("tissue"), CLASSES.index("pen")


@pytest.fixture
def dock(make_napari_viewer: Callable[..., napari.Viewer], cmu: Path) -> AnalyseDock:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Analyse")
    open_in(viewer, cmu)
    return dock


def classes_layer(box: TissueBox) -> napari.layers.Labels | None:
    return part_layer(box.viewer, box._slide, "classes")


def click(box: TissueBox, name: str, qtbot) -> None:
    button = getattr(box, f"{name}_button")
    assert button.isVisibleTo(box)
    qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not box._task.busy, timeout=20000)


def paint(viewer: napari.Viewer, layer: napari.layers.Labels, y: int, x: int) -> None:
    """One dab of napari's own brush, through the layer's mouse handling."""
    layer.brush_size = 20
    layer.paint((y, x), layer.selected_label)


def test_shown_with_a_legend_in_its_place(dock: AnalyseDock, qtbot, cmu: Path) -> None:
    box = dock.tissue_box
    assert not box.legend.isVisible()
    click(box, "show", qtbot)
    layer = classes_layer(box)
    with open_slide(cmu) as slide:
        mask = tissue_mask(slide)
        np.testing.assert_array_equal(layer.data, mask.classes)
        edges = layer.data_to_world((-0.5, -0.5)), layer.data_to_world(np.array(mask.classes.shape) - 0.5)
        whole = np.array(mask.classes.shape) * mask.downsample  # up to a mask pixel over the slide's edge
        expected = (np.array([(0, 0), whole]) - 0.5) * slide.mpp
        np.testing.assert_allclose(edges, expected)
    assert not layer.editable
    assert box.legend.isVisible()
    for name in CLASSES[1:]:
        assert name.replace(" ", "&nbsp;") in box.legend.text()
    colours = {tuple(layer.colormap.map(i).ravel()) for i in range(1, len(CLASSES))}
    assert len(colours) == len(CLASSES) - 1
    assert layer.colormap.map(0).ravel()[3] == 0
    assert layer.get_status((500, 400), world=True)["value"] is not None


def test_edited_used_and_let_go(dock: AnalyseDock, qtbot, cmu: Path) -> None:
    box, viewer = dock.tissue_box, dock.viewer
    click(box, "edit", qtbot)
    layer = classes_layer(box)
    automatic = layer.data.copy()
    assert viewer.layers.selection.active == layer
    assert layer.mode == "paint"
    assert layer.selected_label == TISSUE
    assert not layer.multiscale
    y, x = np.argwhere(automatic == 0)[len(np.argwhere(automatic == 0)) // 2]
    box.class_box.setCurrentText("pen")
    paint(viewer, layer, y, x)
    assert (layer.data == PEN).sum() > (automatic == PEN).sum()
    box.class_box.setCurrentText("empty glass")
    assert layer.selected_label == 0
    # Given up: nothing is kept, the map is as it was.
    click(box, "discard", qtbot)
    np.testing.assert_array_equal(classes_layer(box).data, automatic)
    assert not is_edited(box._slide)
    assert not box.class_box.isVisible()
    # Used: it stays after everything was closed.
    click(box, "edit", qtbot)
    layer = classes_layer(box)
    box.class_box.setCurrentText("pen")
    paint(viewer, layer, y, x)
    painted = layer.data.copy()
    layer.data[0, 0] = 100  # a label of napari's own, without a name
    qtbot.mouseClick(box.use_button, LEFT)
    assert "100" in dock.task.words.text()
    assert not is_edited(box._slide)
    layer.data[0, 0] = painted[0, 0]
    click(box, "use", qtbot)
    assert "use it" in box.words.text()
    np.testing.assert_array_equal(kept_tissue(box._slide.fingerprint).classes, painted)
    viewer.layers.clear()
    assert not box.isEnabled()
    open_in(viewer, cmu)
    assert "Edited by you" in box.words.text()
    click(box, "show", qtbot)
    np.testing.assert_array_equal(classes_layer(box).data, painted)
    click(box, "automatic", qtbot)
    np.testing.assert_array_equal(classes_layer(box).data, automatic)
    assert not is_edited(box._slide)
    assert not box.automatic_button.isVisible()


def test_segmentation_honours_the_edit(dock: AnalyseDock, qtbot) -> None:
    box, viewer = dock.tissue_box, dock.viewer
    click(box, "edit", qtbot)
    layer = classes_layer(box)
    layer.data[...] = 0  # all glass but a piece of epidermis
    layer.data[40:55, 55:75] = TISSUE
    click(box, "use", qtbot)
    _, cells = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    assert isinstance(cells, CellsDock)
    cells.scope_box.setCurrentText("Whole slide")
    cells.run()
    qtbot.waitUntil(lambda: not cells.task.busy, timeout=60000)
    step = np.array(kept_tissue(box._slide.fingerprint).downsample)
    found = cells.cells.centroids / step
    assert len(found) > 0
    assert ((found >= (40, 55)) & (found < (55, 75))).all()  # none beside what was painted


def test_analysis_honours_the_edit(viewer: napari.Viewer, tissue: Slide, qtbot) -> None:
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Analyse")
    box = dock.tissue_box
    click(box, "edit", qtbot)
    layer = classes_layer(box)
    layer.data[:, : layer.data.shape[1] // 2] = PEN
    edited = layer.data.copy()
    click(box, "use", qtbot)
    dock.scope_box.setCurrentText("Whole slide")
    dock.run()
    assert not box.isEnabled()  # a click here would cancel the analysis
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)
    result = result_of(dock.layer)
    np.testing.assert_array_equal(result.tissue.classes, edited)
    half = edited.shape[1] // 2 * result.tissue.downsample[1]
    kept = result.patches[result.patches["valid"]]
    assert (kept["x1"] > half).all()
    click(box, "automatic", qtbot)
    dock.run()
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)
    assert len(result_of(dock.layer).patches.query("valid")) > len(kept)


def test_an_edit_waits_while_another_slide_is_looked_at(dock: AnalyseDock, qtbot, data: Path) -> None:
    box, viewer = dock.tissue_box, dock.viewer
    click(box, "edit", qtbot)
    layer, slide = classes_layer(box), box._slide
    layer.data[:40] = PEN
    (other,) = open_in(viewer, data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs")
    viewer.layers.selection.active = other
    assert box._slide is not slide
    assert not box.editing
    viewer.layers.selection.active = layer
    assert box._slide is slide
    assert box.editing
    click(box, "use", qtbot)
    assert (kept_tissue(slide.fingerprint).classes[:40] == PEN).all()
    assert not box.editing


def test_a_removed_layer_is_shown_again(dock: AnalyseDock, qtbot) -> None:
    box = dock.tissue_box
    click(box, "edit", qtbot)
    dock.viewer.layers.remove(classes_layer(box))
    assert not box.editing
    click(box, "show", qtbot)
    assert classes_layer(box) is not None
