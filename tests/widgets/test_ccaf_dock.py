"""The CCAF dock, driven by clicks, on seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from scipy.stats import rankdata

from napari_hwsi.hierarchy import analyze, default_store
from napari_hwsi.hierarchy.fused import PER_REGION
from napari_hwsi.slides import Slide
from napari_hwsi.viewer.raster import score_classes
from napari_hwsi.viewer.region import view_box
from napari_hwsi.viewer.state import part_layer, set_result
from napari_hwsi.widgets.ccaf_dock import KEPT, CcafDock
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.scope import DRAWN, VISIBLE

from ..hierarchy.fusing import WithTokens, ccaf_weights, fusing  # noqa: F401  # fixtures among them

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("fusing")]


def run(dock: CcafDock, scope: str, qtbot: Any) -> None:
    dock.scope_box.setCurrentText(scope)
    dock.device_box.setCurrentText("cpu")
    dock.run_button.click()
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=100000)


def test_fusing_in_the_window(
    viewer: napari.Viewer,
    tissue: Slide,
    qtbot: Any,
) -> None:
    dock = open_dock(viewer, CcafDock)
    (layer,) = viewer.layers
    run(dock, KEPT, qtbot)
    assert "Analyse the slide first" in dock.task.words.text()
    run(dock, VISIBLE, qtbot)
    assert "No cells are known here" in dock.task.words.text()
    result = analyze(tissue, default_store(tissue), profile="fusing", segmenter=WithTokens(), device="cpu")
    set_result(layer, result)
    run(dock, KEPT, qtbot)
    fused = dock.fused
    assert fused is not None
    assert len(fused.cells) == result.selected_patches["n_cells"].sum()
    # every nucleus has the colour of its share
    shown = part_layer(viewer, tissue, "attention")
    assert len(shown.features) == len(fused.cells)
    first = fused.most_attended[0]
    assert shown.features["share"][first] == fused.shares.max()
    steps = score_classes(rankdata(fused.shares))
    np.testing.assert_array_equal(shown.colormap.classes_of(shown.features["index"].to_numpy()), steps + 1)
    middle = fused.cells.centroids[first] - 0.5
    assert shown.get_value(layer.data_to_world(middle), world=True)[1] == shown.features["index"][first]
    # the most attended first; choosing one flies there
    assert dock.cell_table.rowCount() == 50
    assert dock.cell_table.item(0, 0).text() == f"{fused.shares.max():.3f}"
    dock.cell_table.selectRow(0)
    y0, x0, y1, x1 = view_box(viewer, layer)
    assert y0 < middle[0] < y1
    assert x0 < middle[1] < x1
    # a patch is compared with the others by cell token
    dock.patch_table.selectRow(2)
    column = [float(dock.patch_table.item(i, 2).text()) for i in range(dock.patch_table.rowCount())]
    assert column[0] == pytest.approx(1, abs=1e-3)
    assert column == sorted(column, reverse=True)
    # what is seen now, patch by patch; and what is drawn, as one
    viewer.reset_view()
    run(dock, VISIBLE, qtbot)
    assert len(dock.fused.cells) == len(result.cells)
    assert set(dock.fused.sets // PER_REGION) == {0}
    viewer.add_shapes([np.array([[100, 100], [400, 400]])], shape_type="rectangle", scale=layer.scale[-2:])
    viewer.layers.selection.active = layer
    run(dock, DRAWN, qtbot)
    inside = result.cells.inside((100, 100, 401, 401)).sum()
    assert len(dock.fused.sets) == 1
    assert abs(len(dock.fused.cells) - inside) <= 3
    assert not dock.patch_table.isVisible()
    assert "one set" in dock.found.text()
    assert default_store(tissue) == Path(result.path)
