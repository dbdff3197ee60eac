"""The Nuclei table dock on nuclei of a real viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_hwsi.cells import Cells
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_slide, visible_box
from napari_hwsi.viewer.layers import cells_data, show
from napari_hwsi.viewer.nuclei import Nuclei, _click, nuclei_of
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.nuclei_table import NucleiModel, NucleiTable
from napari_hwsi.widgets.plots import DENSE, Plot
from napari_hwsi.widgets.table_dock import TableDock

Shown = tuple[napari.Viewer, Nuclei, TableDock]


@pytest.fixture
def shown(make_napari_viewer: Callable[..., napari.Viewer]) -> Shown:
    """Nine squares that grow from 10 to 18 px, 100 px apart, and the dock on them."""
    viewer = make_napari_viewer(show=True)
    slide = slide_from_array(np.full((400, 400, 3), 240, np.uint8), mpp=0.5)
    show_slide(viewer, slide)
    dock = open_dock(viewer, TableDock)  # before there are nuclei
    places = [(y, x) for y in (50, 150, 250) for x in (50, 150, 250)]
    squares = [
        np.array([[y, x], [y, x + s], [y + s, x + s], [y + s, x]], np.float32)
        for s, (y, x) in enumerate(places, start=10)
    ]
    cells = Cells.of(squares, types=[0, 1] * 4 + [0], type_names=("lymphocyte", "tumour"), mpp=0.5)
    nuclei = nuclei_of(show(viewer, cells_data(slide, cells)))
    assert nuclei is not None
    return viewer, nuclei, dock


def marked(dock: TableDock) -> list[int]:
    """The rows that the view marks."""
    model = dock.table.selectionModel()
    return sorted(int(dock.table.rows_model.rows[i.row()]) for i in model.selectedRows())


def test_table_and_slide_are_one(shown: Shown) -> None:
    viewer, nuclei, dock = shown
    assert dock.count.text() == "9 of 9 nuclei, 0 selected"
    area = dock.table.rows_model.columns.index("area_um2")
    dock.table.sortByColumn(area, Qt.SortOrder.DescendingOrder)
    assert dock.table.rows_model.rows.tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    viewer.scene.camera.zoom = 4
    _click(viewer, viewer.layers[0].data_to_world((154.5, 154.5)), add=False)
    assert marked(dock) == [4]
    dock.table.selectRow(0)  # the largest
    assert nuclei.selected.tolist() == [8]
    dock.table.sortByColumn(area, Qt.SortOrder.AscendingOrder)
    assert marked(dock) == [8]
    assert nuclei.selected.tolist() == [8]
    dock.table.doubleClicked.emit(dock.table.rows_model.index(8, 0))
    y0, x0, y1, x1 = visible_box(viewer, viewer.layers[0]) or (0, 0, 0, 0)
    assert y0 < 259 < y1
    assert x0 < 259 < x1
    assert y1 - y0 < 300
    model = dock.table.rows_model
    assert model.data(model.index(8, 1)) == "lymphocyte"
    assert model.data(model.index(8, area)) == "81"


def test_filter_shows_selects_and_saves(shown: Shown, qtbot: Any, tmp_path: Path) -> None:
    _, nuclei, dock = shown
    dock.filter_line.setText('area_um2 > 40 and type == "lymphocyte"')
    qtbot.keyClick(dock.filter_line, Qt.Key.Key_Return)
    assert dock.table.rows_model.rows.tolist() == [4, 6, 8]
    dock.only_button.click()
    assert nuclei.shown is not None
    assert np.flatnonzero(nuclei.shown).tolist() == [4, 6, 8]
    dock.select_button.click()
    assert dock.count.text() == "3 of 9 nuclei, 3 selected"
    for ending in ("csv", "geojson", "parquet"):
        dock.save(tmp_path / f"chosen.{ending}")
        back = Cells.from_file(tmp_path / f"chosen.{ending}")
        np.testing.assert_allclose(back.centroids, nuclei.cells.centroids[[4, 6, 8]], atol=1e-3)
    dock.filter_line.setText("size > 4")
    qtbot.keyClick(dock.filter_line, Qt.Key.Key_Return)
    assert "no column 'size'" in dock.task.words.text()
    dock.only_button.click()
    assert nuclei.shown is None


def test_a_lasso_in_the_scatter_selects_on_the_slide(shown: Shown, qtbot: Any) -> None:
    _, nuclei, dock = shown
    dock.tabs.setCurrentIndex(2)
    for box, name in ((dock.x_box, "centroid_x_px"), (dock.y_box, "area_um2")):
        box.setCurrentIndex(box.findData(name))
        box.activated.emit(box.currentIndex())
    plot = dock.scatter
    w, h = plot.width(), plot.height()
    corners = [(1, 1), (w // 3, 1), (w // 3, h - 1), (1, h - 1)]  # what lies left
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    qtbot.mousePress(plot, left, pos=QPoint(*corners[0]))
    for corner in corners[1:]:  # QTest's own moves hold no button
        move = QMouseEvent(QMouseEvent.Type.MouseMove, QPointF(*corner), QPointF(*corner), left, left, none)
        QApplication.sendEvent(plot, move)
    qtbot.mouseRelease(plot, left, pos=QPoint(*corners[-1]))
    assert nuclei.selected.tolist() == [0, 3, 6]
    assert np.flatnonzero(plot.selected).tolist() == [0, 3, 6]
    dock.tabs.setCurrentIndex(1)
    assert dock.histogram.counts.sum() == 9


def test_all_rows_are_selected_without_asking_each(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 20_000
    centroids = np.random.default_rng(0).uniform(0, 9000, (count, 2)).astype(np.float32)
    cells = Cells.of((np.array([[0, 0], [0, 4], [4, 4]], np.float32) + place for place in centroids), mpp=0.5)
    table, chosen = NucleiTable(), []
    qtbot.addWidget(table)
    table.rows_model.show(cells)
    table.chosen.connect(chosen.append)
    table.show()
    asked = []
    counted = NucleiModel.rowCount
    monkeypatch.setattr(NucleiModel, "rowCount", lambda *a: asked.append(None) or counted(*a))
    qtbot.keyClick(table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    table.grab()
    assert len(chosen[-1]) == count
    assert len(asked) < count / 10


def test_many_points_are_a_density(qtbot: Any) -> None:
    plot = Plot()
    qtbot.addWidget(plot)
    plot.resize(300, 300)
    x, y = np.random.default_rng(0).normal(size=(2, DENSE))
    plot.show_points(x, np.abs(y), ("x", "y"))
    picture, area = plot.grab().toImage(), plot._area()
    middle = int(area.left() + area.width() * -x.min() / np.ptp(x))  # most points lie low in it
    low, high = (picture.pixelColor(middle, round(y)).name() for y in (area.bottom() - 6, area.top() + 6))
    assert low != high
    assert len(plot.lasso(np.array([[0, 0], [300, 0], [300, 300], [0, 300]]))) == DENSE
