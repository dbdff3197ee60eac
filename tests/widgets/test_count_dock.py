"""The Count nuclei dock on real tissue with nuclei in known places."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pandas as pd
import pytest
import shapely

from napari_hwsi.cells import Cells
from napari_hwsi.slides import Slide
from napari_hwsi.tissue import tissue_mask
from napari_hwsi.viewer import visible_box
from napari_hwsi.viewer.colours import type_colours
from napari_hwsi.viewer.counts import VISIBLE, WHOLE, Regions, count_by_region, not_searched
from napari_hwsi.viewer.layers import cells_data, show
from napari_hwsi.viewer.nuclei import nuclei_of
from napari_hwsi.viewer.state import part_layer
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.count_dock import AREA, TISSUE, CountDock, in_rows, in_words

NAMES = ("lymphocyte", "tumour")
SEARCHED = shapely.box(0, 0, 640, 400)  # x, y: the upper half and a bit


@pytest.fixture
def cells() -> Cells:
    """A nucleus every 20 px of the searched part, the left half lymphocytes."""
    square = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], np.float32)
    places = [(y, x) for y in range(6, 390, 20) for x in range(6, 630, 20)]
    types = [int(x >= 320) for _, x in places]
    return Cells.of([square + place for place in places], types=types, type_names=NAMES, mpp=(0.499, 0.499))


@pytest.fixture
def dock(viewer: napari.Viewer, tissue: Slide, cells: Cells) -> CountDock:
    dock = open_dock(viewer, CountDock)
    assert not dock.count_button.isEnabled()  # no nuclei yet
    show(viewer, cells_data(tissue, cells, SEARCHED))
    assert dock.count_button.isEnabled()
    return dock


def wait(dock: CountDock, qtbot) -> None:
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)


def test_counts_of_drawn_visible_and_whole(
    dock: CountDock, viewer: napari.Viewer, cells: Cells, qtbot, tmp_path: Path
) -> None:
    um = 0.499
    box = np.array([[100, 100], [100, 300], [300, 300], [300, 100]]) * um - um / 2
    crossing = np.array([[0, 0], [90, 90], [0, 90], [90, 0]])
    drawing = viewer.add_shapes(units=("micrometer",) * 2)
    drawing.add([box, crossing], shape_type=["rectangle", "polygon"])
    drawing.add([box], shape_type="ellipse")
    drawing.features = {"name": ["tumour bed", "", ""]}
    viewer.scene.camera.zoom = 4
    seen = visible_box(viewer, viewer.layers[0])
    dock.ground_box.setCurrentText(AREA)
    dock.count_button.click()
    wait(dock, qtbot)
    counts = dock.counts
    assert list(dict.fromkeys(counts["region"])) == ["tumour bed", "Shape 2", VISIBLE, WHOLE]
    expected = cells.count_in({"tumour bed": (100, 100, 300, 300), VISIBLE: seen})
    for name in ("tumour bed", VISIBLE):
        found = counts[counts["region"] == name].drop(columns="searched").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected[expected["region"] == name].reset_index(drop=True))
    inside = counts["cells"].to_numpy()[::3]
    assert inside[0] == 100
    assert 70 < inside[1] < 85  # of the ellipse in that box: pi / 4
    words = dock.words.text()
    assert "Shape 1 of layer 'Shapes' crosses itself" in words
    assert f"not looked for in all of: {WHOLE}." in words.replace(f"{VISIBLE}, ", "")
    assert dock.table.rowCount() == len(counts) == 12
    dock.table.setCurrentCell(0, 0)
    y0, x0, y1, x1 = visible_box(viewer, viewer.layers[0])
    assert (y0, x0) < (100, 100)
    assert (y1, x1) > (300, 300)
    assert min(y1 - y0, x1 - x0) < 400
    dock.save(tmp_path / "counts.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "counts.csv"), counts, check_exact=False)
    nuclei_of(part_layer(viewer, dock.slide, "cells")).changed.emit()
    assert dock.counts is None  # of nuclei that are no longer these


def test_density_is_that_of_searched_tissue(tissue: Slide, cells: Cells) -> None:
    mask = tissue_mask(tissue)
    half = shapely.box(0, 0, 640, 300)
    regions = Regions({"in": (0, 0, 200, 640), "over": (100, 0, 700, 640)}).outlines
    found = count_by_region(cells, regions, half, mask)
    alone = cells.count_in({"in": regions["in"]}, mask)
    assert found["tissue_mm2"].iloc[0] == alone["tissue_mm2"].iloc[0]
    over = found[found["region"] == "over"]
    searched = mask.area_in((100, 0, 300, 640)) * 0.499**2 / 1e6
    assert over["tissue_mm2"].iloc[0] == pytest.approx(searched, rel=0.05)
    assert over["searched"].iloc[0] == pytest.approx(1 / 3)
    assert not_searched(found) == ["over"]
    assert "of the searched tissue" in in_words(found, known=True)[0]
    assert "stopped" in in_words(count_by_region(cells, regions), known=False)[0]
    rows = in_rows(cells.select(cells.types == 0).count_in([(0, 0, 200, 640)]))
    assert rows["Share"].tolist() == ["100.0 %", "100.0 %", "0.0 %"]


def test_maps_lie_on_the_slide(dock: CountDock, viewer: napari.Viewer, cells: Cells, tissue, qtbot) -> None:
    assert dock.ground_box.currentText() == TISSUE
    dock.bin_box.setCurrentIndex(dock.bin_box.findData(64))
    dock.map_button.click()
    wait(dock, qtbot)
    layer = part_layer(viewer, tissue, "density")
    expected = cells.density_map((0, 0, 400, 640), tissue_mask(tissue), 64).density()
    np.testing.assert_array_equal(layer.data, expected)
    assert layer.interpolation2d == "nearest"
    assert layer.colormap.nan_color[3] == 0
    assert layer.colorbar.visible
    assert layer.name == "Nuclei per mm² · skin"
    np.testing.assert_allclose(layer.scale, 64)
    corner = layer.data_to_world((-0.5, -0.5))  # of the first bin, on that of the slide
    np.testing.assert_allclose(corner, viewer.layers[0].data_to_world((-0.5, -0.5)), atol=1e-6)
    assert f"{np.nanmax(expected):,.0f} per mm² of tissue" in dock.legend.text()

    dock.map_box.setCurrentText("Type that prevails")
    dock.map_button.click()
    wait(dock, qtbot)
    types = part_layer(viewer, tissue, "density")
    tumour = types.colormap.map(types.data)[types.data == 2]
    np.testing.assert_allclose(tumour, np.broadcast_to(type_colours(2)[1], tumour.shape))
    assert set(np.unique(types.data[:, 0])) <= {0, 1}
    assert set(np.unique(types.data[:, -1])) <= {0, 2}
    assert "tumour" in dock.legend.text()
    dock.map_box.setCurrentText("Share of tumour")
    dock.map_button.click()
    wait(dock, qtbot)
    assert part_layer(viewer, tissue, "density").contrast_limits == [0, 1]
    assert len(viewer.layers) == 3
