"""Scores on the slide: as layers, in a linked window, as shapes, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
import shapely
from napari.layers import Image, Shapes

from napari_hwsi.errors import InputError
from napari_hwsi.evidence.maps import maps_of, read_maps
from napari_hwsi.hierarchy import open_result
from napari_hwsi.slides import Slide
from napari_hwsi.viewer.layers import show_result
from napari_hwsi.viewer.linked import Link
from napari_hwsi.viewer.maps import above, unit_at
from napari_hwsi.viewer.state import require_slide_layer
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.maps_dock import MapsDock


@pytest.fixture
def dock(viewer: napari.Viewer, analysed: Slide, store_of_tissue: Path) -> MapsDock:
    dock = open_dock(viewer, MapsDock)
    assert not dock.map_box.count()  # no result yet
    show_result(viewer, require_slide_layer(viewer), open_result(store_of_tissue, analysed))
    return dock


def shown(viewer: napari.Viewer, name: str) -> list[Image]:
    return [layer for layer in viewer.layers if layer.name.startswith(name) and isinstance(layer, Image)]


def test_it_offers_the_maps_of_the_result_and_lays_them_on_the_slide(
    dock: MapsDock, viewer: napari.Viewer, store_of_tissue: Path
) -> None:
    maps = maps_of(open_result(store_of_tissue))
    assert [dock.map_box.itemText(i) for i in range(dock.map_box.count())] == [one.name for one in maps]
    dock.show_button.click()
    (layer,) = shown(viewer, "relevance")
    assert layer.colorbar.visible
    assert layer.interpolation2d == "nearest"
    one = maps[0]
    y0, x0, y1, x1 = one.boxes[3].tolist()
    world = np.multiply([(y0 + y1) / 2, (x0 + x1) / 2], one.mpp)
    assert layer.get_value(world, world=True) == one.scores[3]
    assert unit_at(one, (y0 + y1) / 2, (x0 + x1) / 2) == ((y0, x0, y1, x1), pytest.approx(one.scores[3]))


def test_percentiles_and_one_map_beside_another(dock: MapsDock, viewer: napari.Viewer) -> None:
    dock.show_button.click()
    dock.percentile_box.setChecked(True)
    dock.show_button.click()
    (layer,) = shown(viewer, "relevance")  # in place of the raw one
    assert tuple(layer.contrast_limits) == (0, 100)
    dock.beside_box.setChecked(True)
    dock.map_box.setCurrentIndex(2)
    dock.show_button.click()
    dock.map_box.setCurrentIndex(3)
    dock.show_button.click()
    assert len([layer for layer in viewer.layers if "percentile" in layer.name]) == 3


def test_high_scores_become_shapes(dock: MapsDock, viewer: napari.Viewer) -> None:
    one = dock.chosen()
    dock.above_button.click()
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Shapes) and "≥" in layer.name]
    threshold = dock.threshold_box.value()
    high = one.boxes[one.scores >= threshold]
    area = float(((high[:, 2] - high[:, 0]) * (high[:, 3] - high[:, 1])).sum())
    sizes = [shapely.Polygon(np.asarray(outline)).area for outline in layer.data]
    assert sum(sizes) >= area * 0.999  # holes are filled
    with pytest.raises(InputError, match="No unit scores"):
        above(one, 99.0)


def test_a_linked_window_looks_where_this_one_does(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    one, other = make_napari_viewer(show=False), make_napari_viewer(show=False)
    link = Link(one, other)
    one.scene.camera.center = (0, 120.0, 340.0)
    one.scene.camera.zoom = 3.5
    assert tuple(other.scene.camera.center)[-2:] == (120.0, 340.0)
    assert other.scene.camera.zoom == 3.5
    other.scene.camera.zoom = 0.5
    assert one.scene.camera.zoom == 0.5
    link.cut()
    one.scene.camera.zoom = 2.0
    assert other.scene.camera.zoom == 0.5


def test_all_maps_are_saved(dock: MapsDock, tmp_path: Path, qtbot) -> None:
    dock.save(tmp_path / "maps.parquet")
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)
    assert [one.name for one in read_maps(tmp_path / "maps.parquet")] == [
        dock.map_box.itemText(i) for i in range(dock.map_box.count())
    ]
