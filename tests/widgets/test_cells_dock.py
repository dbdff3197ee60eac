"""The Segment cells dock, driven by clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
import shapely
from napari.layers import Image as NapariImage

from napari_hwsi.cells import Cells, segment_cells
from napari_hwsi.errors import InputError
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.tissue import TissueMask
from napari_hwsi.viewer import fly_to, show_slide, visible_box
from napari_hwsi.viewer.nuclei import Nuclei, nuclei_on
from napari_hwsi.viewer.state import part_layer
from napari_hwsi.widgets.cells_dock import CellsDock, in_words, tissue_pixels
from napari_hwsi.widgets.correct_dock import CorrectDock
from napari_hwsi.widgets.count_dock import CountDock
from napari_hwsi.widgets.scope import DRAWN, WHOLE, Scope
from napari_hwsi.widgets.table_dock import TableDock


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
    assert not dock.next_box.isVisible()
    dock.run_button.click()
    assert dock.task.cancel_button.isVisible()
    wait(dock, qtbot)
    expected = segment_cells(tissue, box=box)
    np.testing.assert_array_equal(dock.cells.centroids, expected.centroids)
    assert dock.found.text().startswith(f"{len(expected):,} nuclei in ")
    nuclei = part_layer(viewer, tissue, "cells")
    assert len(nuclei.features) == len(expected)
    y, x = expected.centroids[0]
    inside = part_layer(viewer, tissue, "cells").get_value(
        layer.data_to_world((y - 0.5, x - 0.5)), world=True
    )
    assert inside[1] in {0, *nuclei.features["index"]}
    before = nuclei.colormap.map(np.arange(1, 9))
    colours = dock.look_box.column_box
    colours.setCurrentIndex(colours.findData("area_um2"))
    colours.activated.emit(colours.currentIndex())
    assert not np.allclose(nuclei.colormap.map(np.arange(1, 9)), before)
    assert "99th percentile" in dock.look_box.legend.text()
    dock.look_box.filled.click()
    assert nuclei.contour == 0
    for button, kind in zip(dock.next_buttons, (TableDock, CountDock, CorrectDock), strict=True):
        button.click()  # what is done with them next
        assert viewer.window._qt_window.findChild(kind).isVisible()
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
    assert not dock.task_slide.isVisible()  # the slide's name is above
    qtbot.wait(300)
    assert dock.cells is None
    assert len(viewer.layers) == 1


def test_nuclei_appear_while_more_are_found(
    make_napari_viewer: Callable[..., napari.Viewer], tissue: Slide, qtbot
) -> None:
    viewer = make_napari_viewer(show=True)
    pixels = np.tile(tissue.read((0, 0), (640, 640)), (4, 1, 1))
    slide = slide_from_array(pixels, mpp=tissue.mpp, name="long")
    show_slide(viewer, slide)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    dock.scope_box.setCurrentText(WHOLE)

    def growing() -> Nuclei | None:
        found = nuclei_on(viewer, slide)
        return found if found is not None and found.growing else None

    dock.run_button.click()
    qtbot.waitUntil(lambda: growing() is not None, timeout=60000)
    assert dock.task.busy
    nuclei = growing()
    assert len(nuclei.cells) > 10
    assert dock.found.text() == f"{len(nuclei.cells):,} nuclei so far"
    assert dock.look_box.isVisible()
    with pytest.raises(InputError, match="still being found"):
        nuclei.correct(nuclei.cells)
    dock.task.cancel_button.click()
    assert nuclei.layer.name == "Nuclei (stopped early) · long"
    assert dock.cells is nuclei.cells
    assert "a part is missing" in dock.found.text()
    assert "are kept" in dock.task.words.text()
    dock.run_button.click()
    qtbot.waitUntil(lambda: growing() is not None, timeout=60000)
    assert growing() is not nuclei
    dock.task.cancel_button.click()
    assert "from before are back" in dock.task.words.text()
    assert nuclei_on(viewer, slide).cells is dock.cells is nuclei.cells


def test_a_segmenter_that_lacks_something_says_so(dock: CellsDock, home: Path) -> None:
    box = dock.segmenter_box
    assert "a small network that ships" in box.words.text().lower()
    box.setCurrentText("cellvit")
    assert "No weights of CellViT" in box.words.text()
    assert not dock.run_button.isEnabled()
    box.setCurrentText("cellvit:mine.pth")
    assert dock.run_button.isEnabled()
    box.setCurrentText("nothing")
    assert "There is no segmenter 'nothing' here" in box.words.text()
    assert not dock.run_button.isEnabled()


def test_what_cannot_be_segmented_is_said(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Segment cells")
    viewer.add_image(np.zeros((60, 60)))  # one of napari's own
    assert not dock.run_button.isEnabled()
    assert dock.hint.isVisibleTo(dock)
    assert "Open slide…" in dock.hint.text()
    assert "File > Open" in dock.hint.text()
    dock.run()
    assert "No slide is open" in dock.task.words.text()
    show_slide(viewer, open_slide(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"))
    assert not dock.hint.isVisibleTo(dock)
    assert dock.task.words.text() == ""
    dock.run_button.click()
    assert "does not state its pixel size" in dock.task.words.text()
    show_slide(viewer, open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi"))
    assert dock.task.words.text() == ""
    dock.run_button.click()
    wait(dock, qtbot)
    assert "fluorescence" in dock.task.words.text()
    assert dock.run_button.isEnabled()


@pytest.fixture
def other(viewer: napari.Viewer, dock: CellsDock) -> NapariImage:
    """Another slide, above the tissue and shown in the dock."""
    pixels = np.full((300, 300, 3), 200, np.uint8)
    return show_slide(viewer, slide_from_array(pixels, mpp=0.5, name="other"))


def test_work_goes_on_while_another_slide_is_looked_at(
    dock: CellsDock, viewer: napari.Viewer, tissue: Slide, other: NapariImage, qtbot
) -> None:
    layer = viewer.layers[0]
    viewer.layers.selection.active = layer
    dock.scope_box.setCurrentText(WHOLE)
    dock.run_button.click()
    viewer.layers.selection.active = other
    viewer.layers.selection.clear()
    viewer.add_points([[1, 1]])
    viewer.layers.selection.active = other
    assert dock.task.busy
    assert dock.task_slide.isVisible()
    assert dock.task_slide.text() == "On skin"
    assert not dock.run_button.isEnabled()
    dock.task.attempt(dock._start)  # as the Layers menu would
    assert "still running" in dock.task.words.text()
    wait(dock, qtbot)
    assert dock.layer is other
    assert dock.cells is None
    assert not dock.save_button.isVisible()
    assert (dock.task_slide.text(), dock.task.words.text()) == ("On skin", "Finished.")
    nuclei = part_layer(viewer, tissue, "cells")
    assert nuclei is not None
    viewer.layers.selection.active = layer
    assert len(dock.cells) == len(nuclei.features) > 10
    assert dock.found.text().startswith(f"{len(dock.cells):,} nuclei")
    assert dock.save_button.isVisible()
    assert not dock.task_slide.isVisible()
    assert dock.task.words.text() == ""


def test_work_stops_with_its_slide(dock: CellsDock, viewer: napari.Viewer, other: NapariImage, qtbot) -> None:
    layer = viewer.layers[0]
    viewer.layers.selection.active = layer
    dock.scope_box.setCurrentText(WHOLE)
    dock.run_button.click()
    viewer.layers.selection.active = other
    viewer.layers.remove(layer)
    assert not dock.task.busy
    assert dock.task.words.text() == ""
    assert not dock.task_slide.isVisible()
    qtbot.wait(300)
    assert list(viewer.layers) == [other]


def test_work_stops_with_the_dock(dock: CellsDock, viewer: napari.Viewer, tissue: Slide, qtbot) -> None:
    dock.scope_box.setCurrentText(WHOLE)
    dock.run_button.click()
    assert dock.task.busy
    viewer.window.remove_dock_widget(dock.parent())
    qtbot.wait(3000)
    assert part_layer(viewer, tissue, "cells") is None


def test_density_is_that_of_tissue() -> None:
    half = np.zeros((100, 100), bool)
    half[:, :50] = True
    tissue = TissueMask(half, (10.0, 10.0))
    slide = slide_from_array(np.full((1000, 1000, 3), 200, np.uint8), mpp=0.5, name="half")
    assert tissue_pixels(slide, Scope(None), tissue) == 500_000
    assert tissue_pixels(slide, Scope((0, 400, 1000, 600)), tissue) == 100_000
    triangle = shapely.Polygon([(0, 0), (0, 1000), (1000, 1000)])  # x, y; 3/8 of the slide lie left
    found = tissue_pixels(slide, Scope((0, 0, 1000, 1000), triangle), tissue)
    assert found == pytest.approx(375_000)
    cells = segment_cells(slide, box=(0, 0, 64, 64), segmenter="classical", tissue=tissue)
    assert in_words(slide, Scope(None), cells, tissue) == (
        "0 nuclei in 0.125 mm² of tissue: 0 per mm² of tissue."
    )
    assert in_words(slide, Scope((0, 600, 10, 610)), cells, tissue) == "0 nuclei in 0 mm² of tissue."
