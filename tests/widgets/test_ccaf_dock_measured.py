"""The CCAF dock on nuclei without vectors: by what is measured of them, with nothing fetched."""

from __future__ import annotations

from typing import Any

import napari

from napari_hwsi.hierarchy import analyze, default_store
from napari_hwsi.slides import Slide
from napari_hwsi.viewer.state import set_result
from napari_hwsi.widgets.ccaf_dock import KEPT, CcafDock
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.scope import VISIBLE


def test_nuclei_of_the_pocket_profile_are_fused(viewer: napari.Viewer, tissue: Slide, qtbot: Any) -> None:
    dock = open_dock(viewer, CcafDock)
    (layer,) = viewer.layers
    result = analyze(tissue, default_store(tissue), device="cpu")
    set_result(layer, result)
    for scope, count in ((KEPT, result.selected_patches["n_cells"].sum()), (VISIBLE, len(result.cells))):
        viewer.reset_view()
        dock.scope_box.setCurrentText(scope)
        dock.device_box.setCurrentText("cpu")
        dock.run_button.click()
        qtbot.waitUntil(lambda: not dock.task.busy, timeout=100000)
        fused = dock.fused
        assert fused is not None, dock.task.words.text()
        assert len(fused.cells) == count > 50
        assert 0 < fused.shares.min() < fused.shares.max() < 1
