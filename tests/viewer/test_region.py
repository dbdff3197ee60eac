"""The visible box against what the canvas really shows."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import fly_to, show_slide, visible_box
from napari_hwsi.viewer.drawn import area_box, drawn_area, points_in
from napari_hwsi.viewer.region import magnification, set_magnification


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
