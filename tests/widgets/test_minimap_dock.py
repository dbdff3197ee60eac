"""The Minimap dock, driven by mouse and keys, on real slides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.viewer import show_slide, visible_box
from napari_hwsi.viewer.region import view_box
from napari_hwsi.widgets.minimap_dock import MinimapDock
from napari_hwsi.widgets.slide_map import SlideMap

LEFT = Qt.MouseButton.LeftButton
YELLOW = (240, 228, 66)


@pytest.fixture
def opened(make_napari_viewer: Callable[..., napari.Viewer], qtbot, cmu: Path) -> tuple:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Minimap")
    assert isinstance(dock, MinimapDock)
    with open_slide(cmu) as slide:
        layer = show_slide(viewer, slide)
        qtbot.waitUntil(lambda: dock.map._image is not None, timeout=10000)
        yield viewer, dock, layer


def pixels(widget: SlideMap) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB888)
    rows = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    rows = rows.reshape(image.height(), image.bytesPerLine())[:, : image.width() * 3]
    return rows.reshape(image.height(), image.width(), 3)


def drawn_box(widget: SlideMap) -> tuple[float, float, float, float]:
    """Where the light line of the box is on the widget, in parts of the slide."""
    y, x = np.nonzero((pixels(widget) == YELLOW).all(-1))
    corners = (QPointF(x.min() + 1, y.min() + 1), QPointF(x.max(), y.max()))
    (y0, x0), (y1, x1) = (widget.place_at(corner) for corner in corners)
    return y0, x0, y1, x1


def in_parts(box: tuple, shape: tuple[int, int]) -> np.ndarray:
    return np.array(box) / (*shape, *shape)


def test_the_box_follows_the_camera(opened: tuple, qtbot) -> None:
    viewer, dock, layer = opened
    with open_slide(dock.slide.path) as slide:  # the picture is the slide's own
        seen = pixels(dock.map)
        frame = dock.map._frame().toRect()
        picture = slide.thumbnail(max(frame.width(), frame.height()))
        inner = np.s_[10:-10, 10:-10]  # clear of the box, which frames it all
        drawn = seen[frame.top() : frame.bottom() + 1, frame.left() : frame.right() + 1]
        assert np.abs(drawn[inner].mean((0, 1)) - picture[inner].mean((0, 1))).max() < 6
    for zoom, centre in ((2.5, (700, 500)), (1.2, (1000, 300)), (4.0, (250, 800))):
        viewer.scene.camera.zoom, viewer.scene.camera.center = zoom, (0, *centre)
        qtbot.wait(80)
        expected = in_parts(visible_box(viewer, layer), dock.slide.shape)
        np.testing.assert_allclose(drawn_box(dock.map), expected, atol=2.5 / dock.map._frame().width())


def test_click_and_drag_move_the_camera(opened: tuple, qtbot) -> None:
    viewer, dock, layer = opened
    viewer.scene.camera.zoom = 4

    def middle() -> np.ndarray:
        y0, x0, y1, x1 = in_parts(view_box(viewer, layer), dock.slide.shape)
        return np.array([(y0 + y1) / 2, (x0 + x1) / 2])

    def point(y: float, x: float) -> QPoint:
        return dock.map.point_of(y, x).toPoint()

    one = 1.5 / dock.map._frame().width()
    qtbot.mouseClick(dock.map, LEFT, pos=point(0.25, 0.75))
    np.testing.assert_allclose(middle(), [0.25, 0.75], atol=one)
    qtbot.wait(80)
    # A drag that begins inside the box takes it along, without a jump of its middle to the pointer.
    start, target = point(0.27, 0.77), point(0.57, 0.37)
    qtbot.mousePress(dock.map, LEFT, pos=start)
    np.testing.assert_allclose(middle(), [0.25, 0.75], atol=one)
    qtbot.mouseMove(dock.map, target)
    qtbot.mouseRelease(dock.map, LEFT, pos=target)
    np.testing.assert_allclose(middle(), [0.55, 0.35], atol=2 * one)
    qtbot.mouseClick(dock.map, LEFT, pos=QPoint(1, 1))  # beside the picture: the nearest place
    np.testing.assert_allclose(middle(), [0, 0], atol=one)


def test_keys_and_wheel(opened: tuple, qtbot) -> None:
    viewer, dock, layer = opened
    viewer.scene.camera.zoom = 3
    before = np.array(view_box(viewer, layer))
    size = before[2:] - before[:2]
    for key, step in ((Qt.Key.Key_Right, (0, 1)), (Qt.Key.Key_Down, (1, 0)), (Qt.Key.Key_Left, (0, -1))):
        qtbot.keyClick(dock.map, key)
        after = np.array(view_box(viewer, layer))
        np.testing.assert_allclose(after[:2] - before[:2], np.array(step) * size / 2, atol=1e-6)
        before = after
    zoom = viewer.scene.camera.zoom
    qtbot.keyClick(dock.map, Qt.Key.Key_Plus)
    assert viewer.scene.camera.zoom == pytest.approx(2 * zoom)
    place, none = QPointF(50, 50), Qt.KeyboardModifier.NoModifier
    buttons, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
    turn = QWheelEvent(place, place, QPoint(), QPoint(0, 120), buttons, none, phase, False)
    QApplication.sendEvent(dock.map, turn)
    assert viewer.scene.camera.zoom == pytest.approx(2 * zoom * 1.25)
    middle = (before[:2] + before[2:]) / 2
    after = np.array(view_box(viewer, layer))
    np.testing.assert_allclose((after[:2] + after[2:]) / 2, middle, atol=1e-6)


def test_views_without_a_box_are_told_in_a_line(opened: tuple, qtbot) -> None:
    viewer, dock, layer = opened

    def told(words: str) -> None:
        qtbot.waitUntil(lambda: words in dock.words.text(), timeout=1000)
        assert not (pixels(dock.map) == YELLOW).all(-1).any()

    viewer.scene.camera.center = (0, 9e4, 9e4)
    told("out of view")
    qtbot.mouseClick(dock.map, LEFT, pos=dock.map.point_of(0.5, 0.5).toPoint())
    qtbot.waitUntil(lambda: not dock.words.isVisible(), timeout=1000)
    assert visible_box(viewer, layer) is not None
    layer.rotate = 20
    told("rotated")
    layer.rotate = 0
    layer.visible = False
    told("hidden")
    layer.visible = True
    viewer.dims.ndisplay = 3
    told("3D")
    viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not dock.words.isVisible(), timeout=1000)
    assert (pixels(dock.map) == YELLOW).all(-1).any()


@pytest.mark.parametrize("size", [(260, 200), (900, 700)])
def test_small_and_large(opened: tuple, qtbot, size: tuple[int, int]) -> None:
    viewer, dock, layer = opened
    dock.setParent(None)
    dock.resize(*size)
    dock.show()
    qtbot.wait(50)
    viewer.scene.camera.zoom = 500.0  # a few pixels of the slide: the box stays to be seen
    qtbot.wait(80)
    y0, x0, y1, x1 = drawn_box(dock.map)
    frame = dock.map._frame()
    assert frame.width() / frame.height() == pytest.approx(2220 / 2967, rel=0.02)
    assert (y1 - y0) * frame.height() == pytest.approx(9, abs=2)
    middle = in_parts(view_box(viewer, layer), dock.slide.shape).reshape(2, 2).mean(0)
    np.testing.assert_allclose([(y0 + y1) / 2, (x0 + x1) / 2], middle, atol=2 / frame.width())


def test_is_put_below_the_layers_once(opened: tuple, qtbot) -> None:
    _, dock, _ = opened
    window, frame = dock.window(), dock.parentWidget()
    while not isinstance(frame, QDockWidget):
        frame = frame.parentWidget()
    left, right = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea
    qtbot.waitUntil(lambda: window.dockWidgetArea(frame) == left, timeout=1000)
    window.addDockWidget(right, frame)  # the user's choice stands
    frame.hide()
    frame.show()
    qtbot.wait(50)
    assert window.dockWidgetArea(frame) == right


def test_follows_the_active_slide(opened: tuple, qtbot) -> None:
    viewer, dock, layer = opened
    other = slide_from_array(np.full((400, 800, 3), (10, 200, 30), np.uint8), mpp=(1.0, 0.25), name="green")
    second = show_slide(viewer, other)
    assert dock.slide_label.text() == "green"
    qtbot.waitUntil(lambda: dock.map._image is not None, timeout=5000)
    frame = dock.map._frame()
    assert frame.width() / frame.height() == pytest.approx(0.5)  # as on the glass, not as in pixels
    viewer.layers.selection.active = layer
    assert dock.slide_label.text() == "CMU-1-Small-Region.svs"
    viewer.layers.remove(layer)
    assert dock.layer is second
    viewer.layers.clear()
    assert dock.slide_label.text() == "No slide is open"
    assert (pixels(dock.map) == pixels(dock.map)[0, 0]).all()
