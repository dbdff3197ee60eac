"""Patch features of other tools, shown on the slide."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np
import pytest

from napari_hwsi.hierarchy import FeatureHierarchy
from napari_hwsi.hierarchy.foreign import Facts, PatchFeatures, Regions
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_result, show_slide, view
from napari_hwsi.viewer.raster import draw_boxes
from napari_hwsi.viewer.state import part_layer, result_of

BOXES = np.array(
    [[100, 200, 164, 264], [100, 264, 164, 328], [2900, 2450, 2964, 2514], [0, 0, 64, 64]], float
)


def features(**changes: object) -> FeatureHierarchy:
    vectors = np.ones((4, 2), np.float32)
    given = {"vectors": vectors, "boxes": BOXES, "facts": Facts("s", patch_px=64)} | changes
    return FeatureHierarchy(PatchFeatures(**given), "s.csv", "csv")


def test_patches_lie_where_the_slide_has_them(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_from_array(np.full((3000, 2500, 3), 240, np.uint8), mpp=0.5)
    slide_layer = show_slide(viewer, slide)
    result = features(valid=np.array([True, True, True, False]))
    show_result(viewer, slide_layer, result)
    layer = part_layer(viewer, slide, "patches")
    assert layer is not None
    assert layer.name == f"Patches (csv) · {slide.name}"
    assert layer.contour == 3
    assert layer.units == slide_layer.units
    for row, (y0, x0, *_) in enumerate(BOXES[:3]):
        for place, inside in (((y0, x0), True), ((y0 + 49, x0 + 49), True), ((y0 - 1, x0), False)):
            y, x = np.rint(layer.world_to_data(slide_layer.data_to_world(place))).astype(int)
            assert bool(np.asarray(layer.data[0][y, x]) == layer.features["index"][row]) is inside
    assert not np.asarray(layer.data[0][:64, :64]).any()  # has no vector
    assert result_of(slide_layer) is None  # nothing that questions could be about
    view(viewer).show(result)
    assert len(viewer.layers) == 2  # shown anew, not twice


def test_regions_are_outlined_where_there_are_some(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_from_array(np.full((300, 300, 3), 240, np.uint8), mpp=0.5)
    slide_layer = show_slide(viewer, slide)
    boxes = np.array([[0, 0, 64, 64], [0, 64, 64, 128], [64, 0, 128, 64], [64, 64, 128, 128]], float)
    regions = Regions(np.array([[0.0, 0, 128, 128]]), 4)
    show_result(viewer, slide_layer, features(boxes=boxes, regions=regions))
    outlines = part_layer(viewer, slide, "regions")
    assert outlines is not None
    np.testing.assert_array_equal(outlines.data[0][[0, 2]], [[-0.5, -0.5], [127.5, 127.5]])


@pytest.mark.parametrize("step", [1, 2, 8, 64])
def test_boxes_are_the_same_on_every_level_and_in_every_tile(step: int) -> None:
    rng = np.random.default_rng(0)
    corner = 64 * rng.integers(0, 14, (40, 2))
    boxes = np.concatenate([corner, corner + 64 * rng.integers(1, 3, (40, 2))], 1)
    boxes = np.concatenate([boxes, [[1000, 1000, 1001, 1001]]])  # smaller than a coarse pixel, and not lost
    labels = np.arange(1, 42, dtype=np.int32)
    whole = np.zeros((1024, 1024), np.int32)
    for (y0, x0, y1, x1), label in zip(boxes[:40], labels[:40], strict=True):
        whole[y0:y1, x0:x1] = label
    render = draw_boxes(boxes, labels)
    tiles = np.block([[render((y, x, y + 512, x + 512), step) for x in (0, 512)] for y in (0, 512)])
    assert (tiles == 41).sum() == 1
    tiles[tiles == 41] = 0
    np.testing.assert_array_equal(tiles, whole[::step, ::step])
