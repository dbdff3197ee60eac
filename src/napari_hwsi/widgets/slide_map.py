"""A picture of the whole slide on which the visible part is drawn and moved."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..slides import RGB

Rect = tuple[float, float, float, float]

_SMALLEST_PX = 9.0  # a box smaller than this on the screen is drawn this large
_MARGIN_PX = 4
_NOTCH = 120  # Qt's units of one step of a wheel
_ZOOM_A_NOTCH = 1.25
_DARK, _LIGHT = QColor("#000000"), QColor("#F0E442")  # black and yellow: one of them shows on any ground
_ARROWS = {
    Qt.Key.Key_Up: (-0.5, 0.0),
    Qt.Key.Key_Down: (0.5, 0.0),
    Qt.Key.Key_Left: (0.0, -0.5),
    Qt.Key.Key_Right: (0.0, 0.5),
}
_ZOOMS = {Qt.Key.Key_Plus: 2.0, Qt.Key.Key_Equal: 2.0, Qt.Key.Key_Minus: 0.5}


class SlideMap(QWidget):
    """Draws a slide whole and a box on it, and says where the user wants the view.

    Places are (y, x) parts of the slide, 0 to 1 from its top left corner.
    """

    wanted = Signal(float, float)
    """The middle of the view should be here, (y, x)."""
    moved = Signal(float, float)
    """The view should move by this much of itself, down and right."""
    zoomed = Signal(float)
    """The view should be magnified by this factor."""

    def __init__(self) -> None:
        super().__init__()
        self._image: QImage | None = None
        self._aspect = 0.0
        self._box: Rect | None = None
        self._grip, self._held = (0.0, 0.0), False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 100)

    def sizeHint(self) -> QSize:
        """Qt: small, unless there is room."""
        return QSize(300, 260)

    def show_slide(self, aspect: float | None) -> None:
        """Draw the outline of a slide of this width over height on the glass; None draws nothing."""
        self._aspect, self._image, self._box = aspect or 0.0, None, None
        self.update()

    def show_picture(self, pixels: RGB) -> None:
        """Fill the outline with a picture, (h, w, 3) uint8 RGB."""
        data = np.ascontiguousarray(pixels)
        height, width = data.shape[:2]
        self._image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.update()

    def show_box(self, box: Rect | None) -> None:
        """Draw the visible part, (y0, x0, y1, x1) in parts of the slide, or none."""
        if box != self._box:
            self._box = box
            self.update()

    def place_at(self, position: QPointF) -> tuple[float, float]:
        """Return the place under a point of the widget, held within the slide."""
        frame = self._frame()
        y = (position.y() - frame.top()) / frame.height()
        x = (position.x() - frame.left()) / frame.width()
        return min(max(y, 0.0), 1.0), min(max(x, 0.0), 1.0)

    def point_of(self, y: float, x: float) -> QPointF:
        """Return the point of the widget that shows a place."""
        frame = self._frame()
        return QPointF(frame.left() + x * frame.width(), frame.top() + y * frame.height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt: draw slide, box and focus."""
        painter = QPainter(self)
        if self._aspect:
            frame = self._frame()
            if self._image is None:
                painter.fillRect(frame, self.palette().mid())
            else:
                painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
                painter.drawImage(frame, self._image)
            if self.hasFocus():
                painter.setPen(QPen(self.palette().highlight().color(), 2))
                painter.drawRect(frame.adjusted(-2, -2, 2, 2))
            if self._box is not None:
                for pen in (QPen(_DARK, 4), QPen(_LIGHT, 2)):
                    pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
                    painter.setPen(pen)
                    painter.drawRect(self._drawn(self._box))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Qt: take hold of the box, or bring it here."""
        if event is None or event.button() != Qt.MouseButton.LeftButton or not self._aspect:
            return
        y, x = self.place_at(event.position())
        self._held = False
        if self._box is not None and self._drawn(self._box).contains(event.position()):
            y0, x0, y1, x1 = self._box
            self._held, self._grip = True, ((y0 + y1) / 2 - y, (x0 + x1) / 2 - x)
        else:
            self._grip = (0.0, 0.0)
            self.wanted.emit(y, x)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt: drag the box by where it was taken hold of."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton and self._aspect:
            y, x = self.place_at(event.position())
            self._held = False
            self.wanted.emit(y + self._grip[0], x + self._grip[1])

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt: a click within the box, without a drag, brings its middle there."""
        if event is not None and self._held:
            self._held = False
            self.wanted.emit(*self.place_at(event.position()))

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Qt: zoom about the middle of the view."""
        if event is not None and self._aspect:
            self.zoomed.emit(_ZOOM_A_NOTCH ** (event.angleDelta().y() / _NOTCH))
            event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt: arrows move by half a view, plus and minus zoom."""
        key = None if event is None or not self._aspect else Qt.Key(event.key())
        if key in _ARROWS:
            self.moved.emit(*_ARROWS[key])
        elif key in _ZOOMS:
            self.zoomed.emit(_ZOOMS[key])
        else:
            super().keyPressEvent(event)

    def _frame(self) -> QRectF:
        """Return where the slide is drawn: whole, at the top, in its true shape."""
        room = QRectF(self.rect()).adjusted(_MARGIN_PX, _MARGIN_PX, -_MARGIN_PX, -_MARGIN_PX)
        aspect = self._aspect or 1.0
        width = min(room.width(), room.height() * aspect)
        frame = QRectF(0, 0, max(width, 1.0), max(width / aspect, 1.0))
        frame.moveCenter(room.center())
        frame.moveTop(room.top())
        return frame

    def _drawn(self, box: Rect) -> QRectF:
        rect = QRectF(self.point_of(*box[:2]), self.point_of(*box[2:]))
        grow = [max(_SMALLEST_PX - side, 0.0) / 2 for side in (rect.width(), rect.height())]
        return rect.adjusted(-grow[0], -grow[1], grow[0], grow[1])


def aspect_of(shape: tuple[int, int], mpp: tuple[float, float] | None) -> float:
    """Return width over height on the glass of (Y, X) pixels of (y, x) µm."""
    y, x = mpp or (1.0, 1.0)
    return shape[1] * x / (shape[0] * y)
