"""The Segment cells dock, driven by clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_hwsi.cells import Cells, segment_cells
from napari_hwsi.slides import Slide, open_slide
from napari_hwsi.viewer import fly_to, show_slide, visible_box
from napari_hwsi.viewer.state import part_layer
from napari_hwsi.widgets.cells_dock import CellsDock
from napari_hwsi.widgets.scope import DRAWN, WHOLE


@pytest.fixture
def dock(viewer: napari.Viewer) -> CellsDock:
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    return dock


def wait(dock: CellsDock, qtbot) -> None:
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)


def test_visible_region(dock: CellsDock, viewer: napari.Viewer, tissue: Slide, qtbot, tmp_path: Path) -> None:
    (layer,) = viewer.layers
    fly_to(viewer, layer, (200, 200, 400, 400))
    box = visible_box(viewer, layer)
    dock.run_button.click()
    assert dock.task.cancel_button.isVisible()
    wait(dock, qtbot)
    expected = segment_cells(tissue, box=box, segmenter="classical")
    np.testing.assert_array_equal(dock.cells.centroids, expected.centroids)
    assert dock.found.text().startswith(f"{len(expected):,} nuclei in ")
    nuclei = part_layer(viewer, tissue, "cells")
    assert len(nuclei.features) == len(expected)
    y, x = expected.centroids[0]
    inside = part_layer(viewer, tissue, "cells").get_value(
        layer.data_to_world((y - 0.5, x - 0.5)), world=True
    )
    assert inside[1] in {0, *nuclei.features["index"]}
    for name in ("nuclei.geojson", "nuclei.parquet"):
        dock.save(tmp_path / name)
        assert len(Cells.from_file(tmp_path / name)) == len(expected)
    dock.task.attempt(lambda: dock.save(tmp_path / "nuclei.doc"))
    assert "should end in" in dock.task.words.text()


def test_drawn_shape(dock: CellsDock, viewer: napari.Viewer, qtbot) -> None:
    dock.scope_box.setCurrentText(DRAWN)
    dock.run_button.click()
    assert "Nothing is drawn" in dock.task.words.text()
    triangle = np.array([[100, 100], [100, 500], [500, 100]])
    viewer.add_shapes([triangle * 0.499], shape_type="polygon", units=("micrometer",) * 2)
    dock.run_button.click()
    wait(dock, qtbot)
    assert len(dock.cells) > 10
    y, x = dock.cells.centroids.T
    assert (y + x <= 602).all()
    assert (y >= 99).all()


def test_cancel(dock: CellsDock, viewer: napari.Viewer, qtbot) -> None:
    dock.scope_box.setCurrentText(WHOLE)
    dock.run_button.click()
    qtbot.wait(50)
    dock.task.cancel_button.click()
    assert not dock.task.busy
    assert dock.run_button.isEnabled()
    qtbot.wait(300)
    assert dock.cells is None
    assert len(viewer.layers) == 1


def test_what_cannot_be_segmented_is_said(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    dock.run_button.click()
    assert "No slide is open" in dock.task.words.text()
    show_slide(viewer, open_slide(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"))
    dock.run_button.click()
    assert "does not state its pixel size" in dock.task.words.text()
    show_slide(viewer, open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi"))
    viewer.layers[0].visible = False
    dock.run_button.click()
    wait(dock, qtbot)
    assert "fluorescence" in dock.task.words.text()
    assert dock.run_button.isEnabled()
