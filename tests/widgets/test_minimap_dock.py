"""The Minimap dock, driven by mouse and keys, on real slides."""

from __future__ import annotations

import gc
import os
import shutil
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import napari
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_hwsi.errors import Cancelled
from napari_hwsi.progress import Step
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.viewer import show_slide, visible_box
from napari_hwsi.viewer.reader import open_in
from napari_hwsi.viewer.region import view_box
from napari_hwsi.viewer.trouble import watch
from napari_hwsi.widgets.minimap_dock import MinimapDock
from napari_hwsi.widgets.overview import overview
from napari_hwsi.widgets.slide_dock import SlideDock
from napari_hwsi.widgets.slide_map import SlideMap
from napari_hwsi.widgets.task import Task

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
        frame = dock.map._frame().toRect()
        picture = slide.thumbnail(max(frame.width(), frame.height()))
        inner = np.s_[10:-10, 10:-10]  # clear of the box, which frames it all

        def drawn() -> np.ndarray:  # it fills in part by part
            return pixels(dock.map)[frame.top() : frame.bottom() + 1, frame.left() : frame.right() + 1]

        wanted = picture[inner].mean((0, 1))
        qtbot.waitUntil(lambda: np.abs(drawn()[inner].mean((0, 1)) - wanted).max() < 6, timeout=10000)
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


class Slow:
    """A file without pyramid whose pieces take their time."""

    name = vendor = "slow"
    level_shapes = ((12288, 12288),)
    tile_shapes = ((512, 512),)
    mpp, bounds, background, icc_profile = (0.5, 0.5), None, (255, 255, 255), None
    properties: ClassVar[dict[str, str]] = {}
    associated: ClassVar[dict[str, tuple[int, int]]] = {}

    def __init__(self) -> None:
        self.reads = 0
        self.slow = True

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
        self.reads += 1
        if self.slow:
            time.sleep(0.05)
        value = np.arange(int(origin[1]), int(origin[1]) + size[1]) * 255 // self.level_shapes[0][1]
        return np.broadcast_to(value.astype(np.uint8)[None, :, None], (*size, 3)).copy()

    def close(self) -> None: ...


def test_the_overview_fills_in_and_stops_when_told() -> None:
    backend, seen, told = Slow(), [], []
    slide = Slide(backend, path=None, name="slow", fingerprint="0" * 32)

    def until_the_third(step: Step) -> None:
        told.append(step)
        if step.done == 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        overview(slide, until_the_third, seen.append)
    assert backend.reads == 3  # one piece between two steps, and none after
    assert told[-1].total == 144
    slide_two = Slide(Slow(), path=None, name="slow", fingerprint="0" * 32)
    whole = overview(slide_two, lambda step: None, seen.append)
    assert len(seen) > 2  # it filled in
    assert (seen[0][-1] == 255).all()  # background, not read yet
    np.testing.assert_array_equal(seen[-1], whole)
    expected = (np.arange(12288) * 255 // 12288).reshape(1024, 12).mean(1)
    assert np.abs(whole[500, :, 0] - expected).max() < 1


def test_the_map_of_a_real_slide_is_its_thumbnail(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        picture, expected = overview(slide, lambda step: None, lambda _: None), slide.thumbnail(1024)
    assert picture.shape == expected.shape
    difference = picture[:, :760].astype(float) - expected[:, :760]  # each pixel is of whole pixels here
    assert np.abs(difference.reshape(128, 8, 95, 8, 3).mean((1, 3))).mean() < 1


def test_a_removed_layer_ends_the_reading(make_napari_viewer: Callable[..., napari.Viewer], qtbot) -> None:
    viewer, backend = make_napari_viewer(), Slow()
    dock = MinimapDock(viewer)
    qtbot.addWidget(dock)
    backend.slow = False
    slide = Slide(backend, path=None, name="slow", fingerprint="0" * 32)
    levels = slide.lazy_levels
    np.asarray(levels[-1])  # what napari draws first
    backend.reads, backend.slow = 0, True
    show_slide(viewer, slide)
    qtbot.waitUntil(lambda: backend.reads > 2, timeout=5000)
    viewer.layers.clear()
    qtbot.wait(300)
    reads = backend.reads
    qtbot.wait(500)
    assert backend.reads == reads < 144


@pytest.mark.parametrize("kind", [MinimapDock, SlideDock])
def test_closed_slides_are_let_go(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, cmu: Path, tmp_path: Path, kind: type
) -> None:
    viewer = make_napari_viewer()
    dock = kind(viewer)
    qtbot.addWidget(dock)
    slides = []
    for i in range(3):
        path = tmp_path / f"{i}.svs"
        shutil.copy(cmu, path)
        (layer,) = open_in(viewer, path)
        slides.append(weakref.ref(layer.metadata["hwsi_slide"]))
        qtbot.wait(600)
        viewer.layers.clear()
        del layer

    def open_files() -> list[str]:
        gc.collect()
        links = Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else []
        places = [os.readlink(link) for link in links if os.path.lexists(link)]
        return [place for place in places if str(tmp_path) in place]

    qtbot.waitUntil(lambda: not open_files(), timeout=8000)
    assert [ref() for ref in slides] == [None] * 3
    assert dock.findChildren(Task) == []


def test_a_recovery_is_one_reading(opened: tuple, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, dock, layer = opened
    other = show_slide(viewer, slide_from_array(np.zeros((400, 800, 3), np.uint8), name="black"))
    for _ in range(3):
        viewer.layers.selection.active = layer
        viewer.layers.selection.active = other
    read: list[object] = []
    monkeypatch.setattr(dock, "_read", read.append)
    watch(viewer, layer).changed.emit(False)  # the one that is not on the map
    assert read == []
    watch(viewer, other).changed.emit(False)
    assert read == [dock.slide]


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
