"""The Correct nuclei dock in a real viewer: painted, deleted, merged, split, kept, undone."""

from __future__ import annotations

from types import SimpleNamespace

import napari
import numpy as np
from qtpy.QtCore import Qt

from napari_hwsi.cells import segment_cells
from napari_hwsi.slides import Slide
from napari_hwsi.viewer import fly_to
from napari_hwsi.viewer.state import FOUND, part_layer
from napari_hwsi.widgets.cells_dock import CellsDock, Found
from napari_hwsi.widgets.correct_dock import CorrectDock

LEFT = Qt.MouseButton.LeftButton


def drag(layer: napari.layers.Labels, *places: tuple[float, float]) -> None:
    """Press, move and release over label pixels, through the layer's own callbacks."""
    event = SimpleNamespace(button=1, type="mouse_press", position=layer.data_to_world(places[0]))
    (callback,) = (one for one in layer.mouse_drag_callbacks if one.__name__ == "_on_drag")
    steps = callback(layer, event)
    next(steps)
    for place in places[1:]:
        event.type, event.position = "mouse_move", layer.data_to_world(place)
        next(steps)
    event.type = "mouse_release"
    assert next(steps, None) is None


def test_edited_kept_and_undone(viewer: napari.Viewer, tissue: Slide, qtbot) -> None:
    _, cells_dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    assert isinstance(cells_dock, CellsDock)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Correct nuclei", tabify=True)
    assert isinstance(dock, CorrectDock)
    (slide_layer,) = viewer.layers
    qtbot.mouseClick(dock.edit_button, LEFT)
    assert "no nuclei on this slide" in dock.task.words.text()

    cells = segment_cells(tissue, box=(0, 0, 640, 640), segmenter="classical")
    cells_dock._show(slide_layer, Found(tissue, cells, "Many nuclei."))
    fly_to(viewer, slide_layer, (150, 150, 450, 450))
    qtbot.mouseClick(dock.edit_button, LEFT)
    labels, nuclei = dock.labels, dock.nuclei
    assert not nuclei.layer.visible
    part = labels.metadata["hwsi_editable"]
    own = slide_layer.data_to_world(np.array(part.box[:2]) - 0.5)
    np.testing.assert_allclose(labels.data_to_world((-0.5, -0.5)), own, atol=1e-6)

    numbers, sizes = np.unique(part.labels[part.labels > 0], return_counts=True)
    whole = np.setdiff1d(numbers[np.argsort(-sizes)], part.cut, assume_unique=True)
    split, deleted = (int(n) for n in whole[:2])
    rows, columns = np.nonzero(part.labels == deleted)
    middle = len(rows) // 2
    qtbot.mouseClick(dock.tool_buttons["delete"], LEFT)
    drag(labels, (rows[middle], columns[middle]))
    assert not (labels.data == deleted).any()
    qtbot.mouseClick(dock.undo_button, LEFT)
    assert (labels.data == deleted).any()
    drag(labels, (rows[middle], columns[middle]))

    rows, columns = np.nonzero(labels.data == split)
    y = round(rows.mean())
    qtbot.mouseClick(dock.tool_buttons["split"], LEFT)
    drag(labels, (y, columns.min() - 2), (y, columns.max() + 2))
    pieces = set(np.unique(labels.data)) - {*numbers, 0}
    assert len(pieces) == 1
    (piece,) = pieces
    qtbot.mouseClick(dock.tool_buttons["merge"], LEFT)
    other = np.argwhere(labels.data == piece)[0]
    one = np.argwhere(labels.data == split)[0]
    drag(labels, tuple(one), tuple(other))
    assert piece not in labels.data
    qtbot.mouseClick(dock.undo_button, LEFT)  # the merge
    assert piece in labels.data

    free = np.argwhere(_clear(np.asarray(labels.data), 12))[0] + 6
    qtbot.mouseClick(dock.new_button, LEFT)
    assert labels.mode == "paint"
    assert dock._tool is None
    new = labels.selected_label
    labels.brush_size = 10
    labels.paint(tuple(free), new)
    assert (labels.data == new).any()
    qtbot.mouseClick(dock.keep_button, LEFT)
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=20000)
    assert dock.labels is None
    assert nuclei.layer.visible
    assert len(nuclei.cells) == len(cells) + 1  # one deleted, one split, one painted
    assert nuclei.cells.table["edited"].sum() == 3
    assert "edited" in nuclei.layer.features
    assert slide_layer.metadata[FOUND].cells is nuclei.cells
    assert cells_dock.cells is nuclei.cells
    assert f"{len(nuclei.cells):,} nuclei now" in cells_dock.found.text()

    corrected, layer = nuclei.cells, nuclei.layer
    qtbot.mouseClick(dock.edit_button, LEFT)
    labels = dock.labels
    part = segment_cells(tissue, box=(0, 0, 200, 200), segmenter="classical")
    cells_dock._show(slide_layer, Found(tissue, part, "A few nuclei."))  # found again in a part
    assert cells_dock.cells is part
    assert nuclei.cells is corrected  # those outside the part among them
    labels.data_setitem(np.nonzero(labels.data == split), 0)
    qtbot.mouseClick(dock.keep_button, LEFT)
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=20000)
    assert "in the layer “Nuclei corrected by hand · skin”" in dock.task.words.text()
    assert len(nuclei.cells) == len(corrected) - 1
    assert not layer.visible
    viewer.layers.selection.active = layer
    assert layer.visible
    assert dock.nuclei is nuclei
    assert cells_dock.cells is nuclei.cells
    assert cells_dock.found.text().startswith("Many nuclei.")
    qtbot.mouseClick(dock.undo_last_button, LEFT)

    qtbot.mouseClick(dock.undo_last_button, LEFT)
    assert nuclei.cells.table.equals(cells.table)
    assert cells_dock.found.text() == "Many nuclei."
    assert not dock.undo_last_button.isVisible()

    qtbot.mouseClick(dock.edit_button, LEFT)
    qtbot.mouseClick(dock.discard_button, LEFT)
    assert part_layer(viewer, tissue, "correction") is None
    assert dock.edit_button.isVisible()


def _clear(labels: np.ndarray, side: int) -> np.ndarray:
    """Corners of squares without a nucleus."""
    windows = np.lib.stride_tricks.sliding_window_view(labels, (side, side))
    return windows.max((2, 3)) == 0
