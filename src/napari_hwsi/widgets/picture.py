"""A picture that is as wide as there is room."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..slides import RGB

_TALLEST = 320


class PictureView(QWidget):
    """Shows (h, w, 3) uint8 RGB, shrunk to the widget's width; nothing takes no room."""

    def __init__(self, tallest: int = _TALLEST) -> None:
        super().__init__()
        self._tallest = tallest
        self._image: QImage | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.hide()

    def show_pixels(self, pixels: RGB | None) -> None:
        """Show a picture, or none."""
        if pixels is None:
            self._image = None
        else:
            data = np.ascontiguousarray(pixels)
            height, width = data.shape[:2]
            self._image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.setVisible(pixels is not None)
        self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:
        """Qt: the height follows from the width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Qt: the height at which the picture keeps its shape."""
        if self._image is None:
            return 0
        return min(self._tallest, round(width * self._image.height() / self._image.width()))

    def sizeHint(self) -> QSize:
        """Qt: a small picture, unless there is room."""
        return QSize(200, self.heightForWidth(max(self.width(), 200)))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt: draw the picture, whole."""
        if self._image is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        painter.drawImage(QRect(0, 0, size.width(), size.height()), self._image)
        painter.end()
