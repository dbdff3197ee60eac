"""A histogram of one column and a scatter of two, drawn in the colours of the window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPalette, QPolygonF
from qtpy.QtWidgets import QWidget

from ..cells.selection import inside_lasso
from ..viewer.colours import SELECTED_COLOUR

DENSE = 50_000
"""From this many points on, a scatter is drawn as the density of its points."""

_BINS = 40
_DENSITY_BINS = 160
_POINTS = QColor("#0072B2")  # Okabe and Ito; told from the selected ones and from both grounds
_ON_DARK = QColor("#56B4E9")


class Plot(QWidget):
    """Axes with names and ranges; x (N,) finite or NaN, y (N,) or None for a histogram of x."""

    lassoed = Signal(object)
    """Which points (n,) of those given lie in the line that was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.across: NDArray[np.float64] = np.empty(0)
        self.up: NDArray[np.float64] | None = None
        self.selected: NDArray[np.bool_] = np.empty(0, bool)
        self.names = ("", "")
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)
        self._picture: QImage | None = None
        self._x_range = self._y_range = (0.0, 1.0)
        self._line: list[QPointF] = []
        self.setMinimumHeight(200)

    def show_points(
        self, x: NDArray[np.float64], y: NDArray[np.float64] | None, names: tuple[str, str]
    ) -> None:
        """Draw a histogram of x, or a scatter of x and y."""
        self.across, self.up, self.names = x, y, names
        self.selected, self._picture, self._line = np.zeros(len(x), bool), None, []
        self._x_range = _range(x)
        if y is None:
            self.counts, _ = np.histogram(x[np.isfinite(x)], _BINS, self._x_range)
            self._y_range = 0.0, float(max(self.counts.max(initial=0), 1))
        else:
            self._y_range = _range(y)
            if len(x) >= DENSE:
                self._picture = self._density(x, y)
        self.update()

    def mark(self, selected: NDArray[np.bool_]) -> None:
        """Show which points are selected, a mask (N,)."""
        self.selected = selected
        self.update()

    def lasso(self, corners: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the points of a scatter in a line (M, 2) of window pixels (x, y)."""
        if self.up is None:
            return np.empty(0, np.int64)
        x, y = self._placed(self.across, self.up)
        return np.flatnonzero(inside_lasso(np.column_stack([x, y]), corners))

    def sizeHint(self) -> QSize:
        """Qt: what fits a column."""
        return QSize(300, 280)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Qt: begin a lasso."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self.up is not None:
            self._line = [QPointF(event.pos())]

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt: draw the lasso on."""
        if event is not None and self._line:
            self._line.append(QPointF(event.pos()))
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt: close the lasso; a click without one selects nothing."""
        if self._line:
            corners = np.array([(p.x(), p.y()) for p in self._line])
            self._line = []
            self.lassoed.emit(self.lasso(corners))
            self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt: draw all of it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        area = self._area()
        if len(self.across):
            self._draw_values(painter, area)
        painter.setPen(ink)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area)
        self._draw_axes(painter, area)
        if self._line:
            painter.drawPolygon(QPolygonF(self._line))
        painter.end()

    def _draw_values(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        colour, marked = self._colour(), QColor(SELECTED_COLOUR)
        if self.up is None:
            chosen = self.across[self.selected]
            marks, _ = np.histogram(chosen[np.isfinite(chosen)], _BINS, self._x_range)
            for counts, fill in ((self.counts, colour), (marks, marked)):
                painter.setBrush(fill)
                width = area.width() / _BINS
                for i in np.flatnonzero(counts):
                    high = float(counts[i]) / self._y_range[1] * area.height()
                    painter.drawRect(QRectF(area.left() + i * width, area.bottom() - high, width, high))
            return
        if self._picture is not None:
            painter.drawImage(area, self._picture)
        x, y = self._placed(self.across, self.up)
        finite = np.isfinite(x) & np.isfinite(y)
        parts = [(self.selected, marked, 2.5)]
        if self._picture is None:
            parts.insert(0, (~self.selected, colour, 1.5))
        for which, fill, radius in parts:
            painter.setBrush(fill)
            rows = np.flatnonzero(which & finite)
            for row in rows[:: max(len(rows) // DENSE, 1)]:  # more marks than this hide each other
                painter.drawEllipse(QPointF(x[row], y[row]), radius, radius)

    def _draw_axes(self, painter: QPainter, area: QRectF) -> None:
        line, bottom = float(painter.fontMetrics().height()), area.bottom() + 3
        below = QRectF(area.left(), bottom, area.width(), line)
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        painter.drawText(below, int(left), f"{self._x_range[0]:.4g}")
        painter.drawText(below, int(right), f"{self._x_range[1]:.4g}")
        centre = int(Qt.AlignmentFlag.AlignHCenter)
        painter.drawText(below.translated(0, line), centre, self.names[0])
        above = QRectF(area.left(), 0, area.width(), line)
        high, low = (f"{self._y_range[i]:.4g}" for i in (1, 0))
        painter.drawText(above, int(left), self.names[1])
        painter.drawText(above, int(right), f"{low} to {high}")

    def _area(self) -> QRectF:
        line = float(self.fontMetrics().height())
        return QRectF(6, line + 4, max(self.width() - 12, 1), max(self.height() - 3 * line - 12, 1))

    def _placed(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        area = self._area()
        across = (x - self._x_range[0]) / (self._x_range[1] - self._x_range[0])
        up = (y - self._y_range[0]) / (self._y_range[1] - self._y_range[0])
        return area.left() + across * area.width(), area.bottom() - up * area.height()

    def _colour(self) -> QColor:
        return _ON_DARK if self.palette().color(QPalette.ColorRole.Window).lightness() < 128 else _POINTS

    def _density(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> QImage:
        """Return how many points lie where, the more the less transparent."""
        finite = np.isfinite(x) & np.isfinite(y)
        bins = (self._y_range, self._x_range)
        counts, _, _ = np.histogram2d(y[finite], x[finite], _DENSITY_BINS, bins)
        strength = np.log1p(counts[::-1]) / max(np.log1p(counts.max()), 1)
        colour = self._colour()
        picture = np.empty((*strength.shape, 4), np.uint8)
        picture[..., :3] = (colour.red(), colour.green(), colour.blue())
        picture[..., 3] = np.where(strength > 0, 40 + 215 * strength, 0)
        side = _DENSITY_BINS
        pixels = picture.tobytes()  # QImage does not keep them, its copy does
        return QImage(pixels, side, side, 4 * side, QImage.Format.Format_RGBA8888).copy()


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
