"""Saving layers for other tools, through napari's own doors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.cells import Cells
from napari_hwsi.errors import StoreError
from napari_hwsi.slides import slide_from_array
from napari_hwsi.tissue import tissue_mask
from napari_hwsi.viewer.layers import cells_data, placing, show, show_slide, tissue_data

MPP = 0.25
SQUARE = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], np.float32)


@pytest.fixture
def on_slide(make_napari_viewer):
    viewer = make_napari_viewer()
    slide = slide_from_array(np.full((400, 600, 3), 230, np.uint8), mpp=MPP)
    show_slide(viewer, slide)
    return viewer, slide


def features(path: Path) -> list[dict]:
    return json.loads(path.read_text())["features"]


@pytest.mark.parametrize("ending", ["geojson", "parquet"])
def test_nuclei_are_saved_whole(on_slide, tmp_path: Path, ending: str) -> None:
    viewer, slide = on_slide
    cells = Cells.of(
        [SQUARE + 10, SQUARE + np.float32([40, 80])], types=[1, 0], type_names=("a", "b"), mpp=MPP
    ).with_neighbours()
    layer = show(viewer, cells_data(slide, cells))
    path = tmp_path / f"nuclei.{ending}"
    assert layer.save(str(path)) == [str(path)]
    back = Cells.from_file(path)
    np.testing.assert_array_equal(back.contours.vertices, cells.contours.vertices)
    assert back.types.tolist() == [1, 0]
    assert back.table.equals(cells.table)


def test_painted_objects_are_traced_in_level_0_pixels(on_slide, tmp_path: Path) -> None:
    viewer, slide = on_slide
    image = np.zeros((50, 60), np.int32)
    image[10:30, 20:36], image[40:44, 50:54] = 7, 3  # of 2 px of level 0, from (100, 200) on
    layer = viewer.add_labels(image, **placing(slide, (2, 2), (100, 200)))
    layer.save(str(tmp_path / "painted.geojson"))
    cells = Cells.from_file(tmp_path / "painted.geojson")
    assert cells.mpp == (MPP, MPP)
    assert cells.table.label.tolist() == [3, 7]
    np.testing.assert_allclose(cells.centroids, [[184, 304], [140, 256]], atol=0.1)
    np.testing.assert_allclose(cells.table.area_um2[1], 20 * 16 * 4 * MPP**2, rtol=0.03)


def test_tissue_is_not_saved_as_nuclei(on_slide, tmp_path: Path) -> None:
    viewer, slide = on_slide
    layer = show(viewer, tissue_data(slide, tissue_mask(slide)))
    with pytest.raises(StoreError, match="no nuclei"):
        layer.save(str(tmp_path / "tissue.geojson"))


def test_shapes_and_points_are_objects_in_level_0_pixels(on_slide, tmp_path: Path) -> None:
    viewer, _ = on_slide
    corners_um = np.array([[10, 20], [10, 40], [30, 40], [30, 20]], float)
    shapes = viewer.add_shapes(name="tumour", units="micrometer")  # drawn in µm, as napari's own layer is
    shapes.add([corners_um], shape_type="rectangle")
    shapes.add([corners_um], shape_type="ellipse")
    shapes.add([corners_um[:2]], shape_type="line")
    viewer.layers.selection = {shapes}
    assert viewer.layers.save(str(tmp_path / "shapes.geojson"), selected=True)
    found = features(tmp_path / "shapes.geojson")
    assert [f["geometry"]["type"] for f in found] == ["Polygon", "Polygon", "LineString"]
    assert found[0]["properties"]["classification"]["name"] == "tumour"
    ring = np.array(found[0]["geometry"]["coordinates"][0])
    assert (ring.min(0).tolist(), ring.max(0).tolist()) == ([80.5, 40.5], [160.5, 120.5])
    crossing = np.array([[0, 0], [9, 9], [0, 9], [9, 0]], float)
    shapes.add([crossing], shape_type="polygon")
    before = (tmp_path / "shapes.geojson").read_bytes()
    with pytest.raises(StoreError, match=r"Shape 3 of layer 'tumour' crosses itself"):
        shapes.save(str(tmp_path / "shapes.geojson"))
    assert (tmp_path / "shapes.geojson").read_bytes() == before
    points = viewer.add_points(
        [[10, 20.0]],
        features={"grade": [3.0], "who": ["A"]},
        name="mitoses",
        scale=(2, 2),
        units="micrometer",
    )
    points.save(str(tmp_path / "points.geojson"))
    (point,) = features(tmp_path / "points.geojson")
    assert point["geometry"]["coordinates"] == [160.5, 80.5]
    assert point["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "mitoses", "color": [240, 228, 66]},
        "measurements": {"grade": 3.0},
        "metadata": {"who": "A"},
    }
