"""The Minimap dock: the whole slide, what of it is on the screen, and going elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QVBoxLayout

from ..errors import InputError
from ..progress import Progress
from ..slides import Slide
from ..viewer.region import centre_on, move_by_views, visible_box, zoom_by
from ..viewer.trouble import Trouble, watch
from . import tooltips
from .dock import SlideWidget, wrapped
from .overview import overview
from .slide_map import SlideMap, aspect_of
from .task import Task, in_words

_REDRAW_MS = 33
_OUT_OF_VIEW = "The slide is out of view. Click to go there."
_HIDDEN = "The slide's layer is hidden."


class MinimapDock(SlideWidget):
    """Shows the active slide whole, read in a thread, and follows the camera."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._task: Task | None = None
        self._trouble: Trouble | None = None
        self._placed = False
        self.map = SlideMap()
        self.map.setToolTip(tooltips.MINIMAP)
        self.map.wanted.connect(self._centre_on)
        self.map.moved.connect(lambda down, right: self._move(lambda: self._by_views(down, right)))
        self.map.zoomed.connect(lambda factor: self._move(lambda: zoom_by(self.viewer, factor)))
        self.words = wrapped()
        layout = QVBoxLayout(self)
        layout.addWidget(self.slide_label)
        layout.addWidget(self.map, 1)
        layout.addWidget(self.words)
        # The camera moves more often than the eye sees: the last move within a tick is drawn.
        self._tick = QTimer(self)
        self._tick.setSingleShot(True)
        self._tick.setInterval(_REDRAW_MS)
        self._tick.timeout.connect(self.draw_box)
        camera, dims, canvas = self.viewer.scene.camera, self.viewer.dims, self.viewer.canvas
        for event in (
            camera.events.center,
            camera.events.zoom,
            dims.events.ndisplay,
            dims.events.order,
            canvas.events.size,
            canvas.grid.events.enabled,
        ):
            event.connect(self._soon)
        self.refresh()

    def sizeHint(self) -> QSize:
        """Qt: a corner of the window."""
        return QSize(300, 320)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt: find a place in the window, once; afterwards it is the user's to choose."""
        super().showEvent(event)
        QTimer.singleShot(0, self.go_below_the_layers)

    def go_below_the_layers(self) -> None:
        """Leave the right side to the docks with forms: napari puts each new one on top of the last there."""
        window, dock = self.window(), self.parentWidget()
        while dock is not None and not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        if self._placed or dock is None or not isinstance(window, QMainWindow):
            return
        self._placed = True
        left, own = Qt.DockWidgetArea.LeftDockWidgetArea, self.sizeHint().height()
        others = [d for d in window.findChildren(QDockWidget) if window.dockWidgetArea(d) == left]
        others = [d for d in others if d.isVisible() and not d.isFloating()]
        window.addDockWidget(left, dock)
        heights = np.array([d.height() for d in others], float)
        heights *= max(1 - own / max(heights.sum(), 1), 0.2)
        window.resizeDocks([*others, dock], [*heights.astype(int).tolist(), own], Qt.Orientation.Vertical)

    def on_slide(self) -> None:
        """Show another slide, or none."""
        if self.layer is not None:
            events = self.layer.events
            for event in (events.visible, events.scale, events.translate, events.rotate, events.shear):
                event.connect(self._soon)
        slide = self.slide
        self.map.show_slide(None if slide is None else aspect_of(slide.shape, slide.mpp))
        if self._task is not None:
            self._task.cancel()
        self._watch()
        if slide is not None:
            self._read(slide)
        self.draw_box()

    def draw_box(self) -> None:
        """Draw what is visible now, or say in a line why nothing is."""
        slide, layer = self.slide, self.layer
        if slide is None or layer is None:
            self._say("")
            return
        try:
            box = visible_box(self.viewer, layer)
        except InputError as error:
            self.map.show_box(None)
            self._say(str(error))
            return
        if box is None:
            self.map.show_box(None)
            self._say(_OUT_OF_VIEW if layer.visible else _HIDDEN)
            return
        height, width = slide.shape
        self.map.show_box((box[0] / height, box[1] / width, box[2] / height, box[3] / width))
        self._say("")

    def _read(self, slide: Slide) -> None:
        def work(progress: Progress, piece: Any) -> None:
            overview(slide, progress, piece)

        if self._task is not None:
            self._task.cancel()
        self._task = Task(work, parent=self)
        self._task.handed.connect(self.map.show_picture)
        self._task.failed.connect(lambda error: self._say(in_words(error)))
        self._task.start()

    def _watch(self) -> None:
        trouble = None if self.layer is None else watch(self.viewer, self.layer)
        if trouble is not self._trouble:
            if self._trouble is not None:
                self._trouble.changed.disconnect(self._on_trouble)
            if trouble is not None:
                trouble.changed.connect(self._on_trouble)
            self._trouble = trouble

    def _on_trouble(self, present: bool) -> None:
        if not present and self.slide is not None:  # what was hatched can be read now
            self._read(self.slide)

    def _centre_on(self, y: float, x: float) -> None:
        slide, layer = self.slide, self.layer
        if slide is not None and layer is not None:
            place = (y * slide.shape[0], x * slide.shape[1])
            self._move(lambda: centre_on(self.viewer, layer, place))

    def _by_views(self, down: float, right: float) -> None:
        if self.layer is not None:
            move_by_views(self.viewer, self.layer, down, right)

    def _move(self, action: Callable[[], None]) -> None:
        try:
            action()
        except InputError as error:
            self._say(str(error))

    def _soon(self, event: Any = None) -> None:
        if not self._tick.isActive():
            self._tick.start()

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.setVisible(bool(words))
