"""Switching a slide's colour profile in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_hwsi.cells import Cells, Correction, Reversal
from napari_hwsi.errors import InputError, SlideError
from napari_hwsi.evidence import Evidence
from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.tissue import TissueMask
from napari_hwsi.viewer import active_slide, show_evidence, show_slide, visible_box
from napari_hwsi.viewer.layers import cells_data, show, tissue_data
from napari_hwsi.viewer.nuclei import nuclei_of, nuclei_on
from napari_hwsi.viewer.reader import open_in
from napari_hwsi.viewer.region import centre_on
from napari_hwsi.viewer.reopen import set_icc
from napari_hwsi.viewer.state import RESULT, slide_of
from napari_hwsi.viewer.trouble import watch
from napari_hwsi.widgets.minimap_dock import MinimapDock
from napari_hwsi.widgets.slide_dock import SlideDock


@pytest.fixture
def profiled(data: Path, tmp_path: Path) -> Path:
    """A real slide whose colour profile exchanges red and blue."""
    content = (data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs").read_bytes()
    red, blue = (content.index(tag) for tag in (b"rXYZ", b"bXYZ"))
    assert abs(red - blue) < 100  # both in the profile's table of tags
    changed = bytearray(content)
    changed[red : red + 4], changed[blue : blue + 4] = b"bXYZ", b"rXYZ"
    path = tmp_path / "profiled.svs"
    path.write_bytes(changed)
    return path


def test_same_layer_same_place_other_colours(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, profiled: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    (layer,) = open_in(viewer, profiled)
    _, minimap = viewer.window.add_plugin_dock_widget("napari-hwsi", "Minimap")
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    assert isinstance(minimap, MinimapDock)
    assert isinstance(dock, SlideDock)
    viewer.scene.camera.zoom = 3
    centre_on(viewer, layer, (1700, 2100))
    places = show_evidence(viewer, layer, [Evidence("patch", (1600, 2000, 1800, 2200), 1.0, "crop", "")])
    layer.metadata[RESULT] = object()
    mask = TissueMask(np.ones((20, 20), bool), (16.0, 16.0))
    old = show(viewer, tissue_data(slide_of(layer), mask))
    viewer.layers.selection.active = layer
    box, before = visible_box(viewer, layer), viewer.screenshot(flash=False).astype(int)
    assert dock.icc_box.isVisibleTo(dock)
    assert not dock.icc_box.isChecked()
    stored = slide_of(layer)
    assert stored.icc_profile_name == dock.fact_labels["Profile"].text()
    dock.icc_box.click()
    assert "analyse again" in dock.task.words.text()
    assert old not in viewer.layers  # tissue by the other colours
    assert dock.icc_box.isChecked()
    converted = active_slide(viewer)
    assert converted.icc
    assert slide_of(places) is slide_of(layer) is minimap.slide is watch(viewer, layer).slide is converted
    assert RESULT not in layer.metadata
    assert visible_box(viewer, layer) == box
    after = viewer.screenshot(flash=False).astype(int)
    assert np.abs(after - before).mean() > 10
    with open_slide(profiled, icc=True) as expected:
        y0, x0, y1, x1 = box
        seen = np.asarray(layer.data[0][y0:y1, x0:x1])
        np.testing.assert_array_equal(seen, expected.read((y0, x0), (y1 - y0, x1 - x0)))
    dock.icc_box.click()
    assert not active_slide(viewer).icc
    np.testing.assert_array_equal(viewer.screenshot(flash=False), before)

    active_slide(viewer).set_mpp(0.25)
    square = np.array([[9, 9], [9, 30], [30, 30], [30, 9]])
    plain = Cells.of([square], mpp=0.25)
    nuclei = show(viewer, cells_data(active_slide(viewer), plain))
    corrected = replace(plain, table=plain.table.assign(edited=True))
    nuclei_of(nuclei).correct(Correction(corrected, Reversal(np.array([0]), plain, added=1, marked=False)))
    dock.icc_box.click()
    assert nuclei in viewer.layers  # a person's work stays
    assert nuclei_on(viewer, active_slide(viewer)).slide is active_slide(viewer)


def test_only_where_there_is_a_profile(
    make_napari_viewer: Callable[..., napari.Viewer], cmu: Path, data: Path
) -> None:
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    plain = next(
        path
        for path in (data / "wsi" / "HE_example_instanseg.ome.tif", cmu)
        if open_slide(path).icc_profile_name is None
    )
    (layer,) = open_in(viewer, plain)
    assert not dock.icc_box.isVisibleTo(dock)
    before = slide_of(layer)
    with pytest.raises(SlideError, match="no colour profile"):
        set_icc(viewer, layer, True)
    assert slide_of(layer) is before
    in_memory = show_slide(viewer, slide_from_array(np.zeros((300, 300, 3), np.uint8)))
    with pytest.raises(InputError, match="no slide file"):
        set_icc(viewer, in_memory, True)
