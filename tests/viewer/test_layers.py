"""Layers of what was found, placed on the slide."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_hwsi.cells import CellIndex, Cells
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.tissue import TissueMask
from napari_hwsi.viewer import active_slide, active_slide_layer, show_slide, slide_layers
from napari_hwsi.viewer.colours import colouring, rgba, type_colours
from napari_hwsi.viewer.layers import cells_data, replace_scale, show, tissue_data
from napari_hwsi.viewer.raster import OKABE_ITO, draw_cells, draw_squares, pyramid, score_classes
from napari_hwsi.viewer.state import part_layer


def slide_of(height: int, width: int, mpp: float | None = 0.5) -> Slide:
    return slide_from_array(np.full((height, width, 3), 240, np.uint8), mpp=mpp)


def squares(*boxes: tuple[float, float, float, float], types: tuple[int, ...] = ()) -> Cells:
    outlines = [np.array([[a, b], [a, d], [c, d], [c, b]], np.float32) for a, b, c, d in boxes]
    names = ("lymphocyte", "tumour")
    return Cells.of(outlines, types=types or None, type_names=names, mpp=0.5)


def test_cells_lie_where_the_slide_has_them(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_of(3000, 2500)
    slide_layer = show_slide(viewer, slide)
    cells = squares((10, 20, 22, 30), (2900, 2400, 2920, 2412), types=(1, 0))
    layer = show(viewer, cells_data(slide, cells))
    assert layer.contour == 1
    assert layer.units == slide_layer.units
    for row, (y, x) in enumerate(cells.centroids):
        # A place p px from the slide's edge is half a pixel less in napari, which counts from pixel centres.
        world = slide_layer.data_to_world((y - 0.5, x - 0.5))
        value = layer.get_value(world, world=True)
        assert value[1] == layer.features["index"][row]
        assert layer.features["centroid_y_px"][row] == pytest.approx(y)
    for level in layer.data:  # every level covers the same ground, exactly
        step = layer.data[0].shape[0] / level.shape[0]
        assert step == int(step) == layer.data[0].shape[1] / level.shape[1]
        assert {*np.unique(np.asarray(level))} == {0, *layer.features["index"]}
    assert not np.asarray(layer.data[0][9, :]).any()
    assert np.asarray(layer.data[0][10:22, 20:30]).all()


def test_colours_tell_types_at_any_number_of_cells() -> None:
    types = (0, 1, 1, 0)
    cells = squares(*[(y, 10, y + 8, 20) for y in range(0, 40, 10)], types=types)
    shown = colouring(cells).colormap(None, np.empty(0, np.int64)).map(np.arange(5))
    np.testing.assert_allclose(shown[1:], rgba([OKABE_ITO[kind] for kind in types]))
    np.testing.assert_allclose(shown[0], 0)


def test_sixteen_types_are_told_apart_with_any_colour_vision() -> None:
    eyes = (  # Machado et al. 2009, severity 1
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    )
    own = type_colours(16)[:, :3]
    linear = np.where(own <= 0.04045, own / 12.92, ((own + 0.055) / 1.055) ** 2.4)
    for eye in eyes:
        light = np.clip(linear @ np.transpose(eye), 0, 1)
        lab = rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
        apart = np.linalg.norm(lab[:, None] - lab, axis=-1) + 99 * np.eye(16)
        assert apart.min() > 16  # as the first eight are
    np.testing.assert_array_equal(type_colours(17)[16], type_colours(1)[0])


def test_coarse_levels_keep_every_place() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 9000, (200, 2)).astype(np.float32)
    cells = squares(*[(y, x, y + 10, x + 10) for y, x in corners])
    coarse = np.asarray(pyramid((10000, 10000), draw_cells(CellIndex.of(cells), (0.5, 0.5)))[-1])
    rows = np.arange(1, 201)
    y, x = (cells.centroids // 16).astype(int).T
    shown = coarse[y, x]
    assert (shown > 0).all()
    assert (shown == rows).sum() > 190  # a place that two share shows one
    assert set(np.unique(coarse)) >= set(shown)


def test_squares_and_scores() -> None:
    grid = np.array([[1, 0], [0, 2]], np.int32)
    fine, coarse = pyramid((256, 256), draw_squares(grid, 128), coarsest_step=2)
    np.testing.assert_array_equal(np.asarray(fine), np.kron(grid, np.ones((128, 128), np.int32)))
    np.testing.assert_array_equal(np.asarray(coarse), np.kron(grid, np.ones((64, 64), np.int32)))
    assert score_classes(np.array([0.1, 0.5, 0.9])).tolist() == [0, 32, 63]
    assert score_classes(np.array([0.4, 0.4])).tolist() == [32, 32]


def test_coarse_layer_covers_its_ground(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_of(1000, 1600)
    slide_layer = show_slide(viewer, slide)
    mask = np.zeros((10, 16), bool)
    mask[3:5, 6:9] = True
    layer = show(viewer, tissue_data(slide, TissueMask(mask, (100.0, 100.0))))
    # extent counts pixel centres: half a pixel more on each side is the ground that is covered
    for one in (slide_layer, layer):
        edges = one.extent.world + np.array([[-0.5], [0.5]]) * one.scale
        np.testing.assert_allclose(edges, [[-0.25, -0.25], [499.75, 799.75]])
    world = slide_layer.data_to_world((350, 650))
    assert layer.get_value(world, world=True)[1] == 1
    outside = slide_layer.data_to_world((290, 650))
    assert layer.get_value(outside, world=True)[1] == 0


def test_parts_are_replaced_not_piled_up(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_of(500, 500)
    show_slide(viewer, slide)
    first = show(viewer, cells_data(slide, squares((10, 10, 20, 20))))
    first.visible, first.opacity = False, 0.3
    second = show(viewer, cells_data(slide, squares((30, 30, 40, 40))))
    assert len(viewer.layers) == 2
    assert part_layer(viewer, slide, "cells") is second
    assert (second.visible, second.opacity) == (False, 0.3)


def test_mpp_given_later_places_all_layers_anew(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    slide = slide_of(1000, 1000, mpp=None)
    layer = show_slide(viewer, slide)
    mask = show(viewer, tissue_data(slide, TissueMask(np.ones((10, 10), bool), (100.0, 100.0))))
    slide.set_mpp(0.25)
    replace_scale(viewer, slide)
    np.testing.assert_allclose(layer.scale, 0.25)
    np.testing.assert_allclose(np.multiply(mask.scale, mask.data[0].shape), 250)
    np.testing.assert_allclose(mask.translate, (mask.scale - 0.25) / 2)
    assert {str(unit) for one in viewer.layers for unit in one.units} == {"micrometer"}


def test_which_slide_is_worked_on(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    assert active_slide(viewer) is None
    a, b = slide_of(300, 300), slide_of(400, 400)
    layer_a = show_slide(viewer, a)
    layer_b = show_slide(viewer, b)
    assert active_slide(viewer) is b
    on_a = show(viewer, cells_data(a, squares((10, 10, 20, 20))))
    viewer.layers.selection.active = on_a
    assert active_slide_layer(viewer) is layer_a
    viewer.layers.selection.active = None
    layer_b.visible = False
    assert active_slide(viewer) is a
    viewer.layers.remove(layer_a)
    assert slide_layers(viewer) == [layer_b]
