"""The visible box against what the canvas really shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.viewer import fly_to, show_slide, visible_box
from napari_hwsi.viewer.drawn import area_box, drawn_area, points_in
from napari_hwsi.viewer.region import centre_on, magnification, set_magnification, show_box, view_box


def coded_image(height: int, width: int) -> np.ndarray:
    """An image whose colour tells the place: red and green the row, blue the column, in steps of 4 px."""
    y, x = np.mgrid[:height, :width] // 4
    return np.stack([y % 256, y // 256 * 64, x % 256], -1).astype(np.uint8)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., napari.Viewer]) -> napari.Viewer:
    return make_napari_viewer(show=True)


def test_box_is_what_the_screen_shows(viewer: napari.Viewer, qtbot) -> None:
    slide = slide_from_array(coded_image(1000, 1020), mpp=(0.5, 0.25))
    layer = show_slide(viewer, slide)
    viewer.canvas.overlays["scale_bar"].visible = False
    for zoom, centre in ((1.1, (250, 127)), (3.3, (201.3, 99.7)), (8.0, (40.2, 33.3)), (5.0, (2.0, 250.0))):
        viewer.scene.camera.zoom, viewer.scene.camera.center = zoom, (0, *centre)
        qtbot.wait(50)
        box = visible_box(viewer, layer)
        assert box is not None
        # The canvas's own transform, drawn anew, is the second opinion; the pixels are the third.
        corners = viewer.window._qt_viewer.canvas._viewbox_corners_in_world / (0.5, 0.25) + 0.5
        clipped = np.clip(corners, 0, slide.shape)
        expected = (*np.floor(clipped[0] + 1e-5), *np.ceil(clipped[1] - 1e-5))
        assert box == pytest.approx(expected)
        seen = viewer.screenshot(flash=False)[..., :3].astype(int)
        on_slide = seen.any(-1)
        rows, columns = np.flatnonzero(on_slide.any(1)), np.flatnonzero(on_slide.any(0))
        first, last = seen[rows[0] + 2, columns[-1] - 2], seen[rows[-1] - 2, columns[0] + 2]
        top, bottom = (c[0] + c[1] // 64 * 256 for c in (first, last))
        assert abs(top - box[0] // 4) <= 1 + 4 / zoom
        assert abs(bottom - (box[2] - 1) // 4) <= 1 + 4 / zoom
        assert abs(last[2] - box[1] // 4) <= 1 + 4 / zoom


def seen_corners(viewer: napari.Viewer, slide_shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box as vispy itself maps the corners of the canvas, through the very node that is drawn."""
    canvas = viewer.window._qt_viewer.canvas
    node = canvas.layer_to_visual[viewer.layers[0]].node
    width, height = canvas._scene_canvas.size
    to_node = canvas.view.scene.node_transform(node).map
    corners = [canvas.view.camera.transform.imap(corner)[:2] for corner in ((0, 0), (width, height))]
    # The node draws part of one level; its own pixels become those of level 0 by the layer's tile.
    tile = viewer.layers[0]._transforms["tile2data"]
    data = np.array([to_node(corner)[1::-1] for corner in corners]) * tile.scale + tile.translate
    low, high = np.clip(np.sort(data, axis=0), 0, slide_shape)
    return (*np.floor(low + 1e-3).astype(int), *np.ceil(high - 1e-3).astype(int))


@pytest.mark.parametrize("scale", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_box_at_any_zoom_and_window(viewer: napari.Viewer, qtbot, data: Path, scale: tuple) -> None:
    """A real pyramid, at every level, in several windows; chunks larger than the view."""
    with open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi") as slide:
        layer = show_slide(viewer, slide)
        layer.scale = np.array(layer.scale) * scale
        levels = set()
        for size in ((640, 480), (901, 733)):
            viewer.window.resize(size[0] + 400, size[1] + 200)
            qtbot.wait(100)
            assert viewer.canvas.size == viewer.window._qt_viewer.canvas.size
            for zoom, place in (
                (0.3, (2000, 1500)),
                (1.0, (1033.3, 1790.1)),
                (4.4, (4700, 3900)),
                (40, (77, 9)),
            ):
                viewer.scene.camera.zoom = zoom
                centre_on(viewer, layer, place)
                viewer.screenshot(flash=False)  # drawn, so that vispy is at rest
                levels.add(layer.data_level)
                assert visible_box(viewer, layer) == seen_corners(viewer, slide.shape)
        assert len(levels) > 1
        snapped = layer.corner_pixels[:, :2] * layer.downsample_factors[layer.data_level]
        y0, x0, y1, x1 = visible_box(viewer, layer)
        assert np.ptp(snapped, axis=0).min() > 2 * max(y1 - y0, x1 - x0)  # why the layer's own is not asked


@pytest.mark.parametrize(("y", "x"), [(100, 200), (1203, 1799), (2966, 2219)])
def test_box_against_a_mark_on_the_screen(viewer: napari.Viewer, qtbot, cmu: Path, y: int, x: int) -> None:
    """One pixel of a real slide is painted; where it is on the screen, the box says it is."""
    with open_slide(cmu) as slide:
        pixels = slide.read((0, 0), slide.shape)
    pixels[y, x] = (0, 255, 0)
    layer = show_slide(viewer, slide_from_array(pixels, mpp=(0.5, 0.25)))
    viewer.canvas.overlays["scale_bar"].visible = False
    for zoom in (20.0, 41.7):
        viewer.scene.camera.zoom = zoom
        centre_on(viewer, layer, (y + 3.3, x - 2.8))
        qtbot.wait(50)
        seen = viewer.screenshot(flash=False)[..., :3]
        green = np.argwhere((seen == (0, 255, 0)).all(-1))
        y0, x0, y1, x1 = view_box(viewer, layer)
        on_slide = green / seen.shape[:2] * (y1 - y0, x1 - x0) + (y0, x0)
        assert len(green) == pytest.approx(0.5 * 0.25 * zoom**2, rel=0.4)
        one = 2 / zoom / 0.25  # two screen pixels
        np.testing.assert_allclose(on_slide.min(0), (y, x), atol=one)
        np.testing.assert_allclose(on_slide.max(0), (y + 1, x + 1), atol=one)


def test_show_box_brings_a_view_back(viewer: napari.Viewer, qtbot) -> None:
    layer = show_slide(viewer, slide_from_array(coded_image(1000, 1020), mpp=(0.5, 0.25)))
    viewer.scene.camera.zoom, viewer.scene.camera.center = 3.3, (0, 480.25, 20.7)  # partly off the slide
    kept = view_box(viewer, layer)
    viewer.reset_view()
    assert view_box(viewer, layer) != pytest.approx(kept)
    show_box(viewer, layer, kept)
    assert view_box(viewer, layer) == pytest.approx(kept)
    assert viewer.scene.camera.zoom == pytest.approx(3.3)
    viewer.window.resize(900, 1100)  # another shape of window: all of it is in view
    qtbot.wait(100)
    show_box(viewer, layer, kept)
    y0, x0, y1, x1 = view_box(viewer, layer)
    assert (np.array([y0, x0]) <= np.array(kept[:2]) + 1e-6).all()
    assert (np.array([y1, x1]) >= np.array(kept[2:]) - 1e-6).all()


def test_box_refuses_views_that_are_no_box(viewer: napari.Viewer) -> None:
    layer = show_slide(viewer, slide_from_array(coded_image(200, 200), mpp=0.5))
    layer.visible = False
    assert visible_box(viewer, layer) is None
    layer.visible = True
    viewer.scene.camera.center = (0, 5000, 5000)
    assert visible_box(viewer, layer) is None
    viewer.reset_view()
    assert visible_box(viewer, layer) == (0, 0, 200, 200)
    layer.rotate = 10
    with pytest.raises(InputError, match="rotated"):
        visible_box(viewer, layer)
    layer.rotate = 0
    viewer.canvas.grid.enabled = True
    with pytest.raises(InputError, match="Grid"):
        visible_box(viewer, layer)
    viewer.canvas.grid.enabled = False
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="3D"):
        visible_box(viewer, layer)


def test_fly_and_magnify(viewer: napari.Viewer) -> None:
    layer = show_slide(viewer, slide_from_array(coded_image(2000, 3000), mpp=0.5))
    fly_to(viewer, layer, (1200, 2000, 1400, 2100))
    y0, x0, y1, x1 = visible_box(viewer, layer)
    assert y0 <= 1200 < 1400 <= y1
    assert x0 <= 2000 < 2100 <= x1
    assert (y0 + y1) / 2 == pytest.approx(1300, abs=1)
    set_magnification(viewer, 10)
    assert magnification(viewer) == pytest.approx(10)
    y0, _, y1, _ = visible_box(viewer, layer)  # 10x is 1 µm a screen pixel
    assert (y1 - y0) * 0.5 == pytest.approx(viewer.canvas.size[0], abs=1)


def test_drawn_shapes_are_places_on_the_slide(viewer: napari.Viewer) -> None:
    layer = show_slide(viewer, slide_from_array(coded_image(1000, 1000), mpp=0.5))
    with pytest.raises(InputError, match="Nothing is drawn"):
        drawn_area(viewer, layer)
    shapes = viewer.add_shapes(scale=(0.5, 0.5), units=("micrometer",) * 2)
    shapes.add_rectangles(np.array([[99.5, 199.5], [99.5, 299.5], [149.5, 299.5], [149.5, 199.5]]))
    area = drawn_area(viewer, layer)
    assert area.area == pytest.approx(50 * 100)
    assert area_box(layer, area) == (100, 200, 150, 300)
    assert points_in(area, np.array([[120, 250], [160, 250]])).tolist() == [True, False]
    shapes.data = []
    shapes.add_ellipses(np.array([[100, 100], [100, 300], [200, 300], [200, 100]]))
    assert drawn_area(viewer, layer).area == pytest.approx(np.pi * 100 * 50, rel=0.01)
    shapes.data = []
    shapes.add_lines(np.array([[0, 0], [50, 50]]))
    with pytest.raises(InputError, match="Nothing is drawn"):
        drawn_area(viewer, layer)
