"""The four scales of a result, one below the other: choose at each, fly there, and climb back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import QGridLayout, QGroupBox, QPushButton, QSizePolicy

from ..hierarchy.ladder import SCALES, Ladder, Rung, ScaleName
from ..units import Box
from ..viewer.region import fly_to, show_box
from . import tooltips

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

_ICON_PX = 30
_LEAST_PX = 4.0  # of what is chosen, in its picture


class LadderBox(QGroupBox):
    """A row a scale: one back, the chosen one, one on. The picture shows where it lies in what is above."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__("Scales")
        self.viewer = viewer
        self.ladder: Ladder | None = None
        self._layer: Image | None = None
        self.buttons: dict[ScaleName, QPushButton] = {}
        self.steppers: dict[ScaleName, tuple[QPushButton, QPushButton]] = {}
        rows = QGridLayout(self)
        rows.setHorizontalSpacing(2)
        rows.setVerticalSpacing(2)
        rows.setColumnStretch(1, 1)
        for row, scale in enumerate(SCALES):
            button = QPushButton()
            button.setToolTip(tooltips.RUNG)
            button.setIconSize(QSize(_ICON_PX, _ICON_PX))
            button.setMinimumHeight(_ICON_PX + 8)  # two lines; a style sheet's own hint is of one
            button.setStyleSheet("text-align: left; padding: 3px;")
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            button.clicked.connect(partial(self.fly, scale))
            rows.addWidget(button, row, 1)
            self.buttons[scale] = button
            if scale == "slide":
                continue
            back, on = QPushButton("‹"), QPushButton("›")
            for arrow, by, words, column in (
                (back, -1, tooltips.RUNG_BACK, 0),
                (on, 1, tooltips.RUNG_ON, 2),
            ):
                arrow.setMaximumWidth(24)
                arrow.setToolTip(words)
                arrow.setAccessibleName(words)
                arrow.clicked.connect(partial(self.step, scale, by))
                rows.addWidget(arrow, row, column)
            self.steppers[scale] = back, on
        self.show_result(None, None)

    def show_result(self, layer: Image | None, result: Hierarchy | None) -> None:
        """Climb about in a result of a slide's layer, from its top; without one the box is hidden."""
        self._layer = layer
        self.ladder = None if result is None or layer is None else Ladder(result)
        self.setVisible(self.ladder is not None)
        self._refresh()

    def step(self, scale: ScaleName, by: int, _: bool = False) -> None:
        """Choose the next at a scale, or the one before, and fly there."""
        if self.ladder is not None:
            self.ladder.step(scale, by)
            self._refresh()
            self.fly(scale)

    def fly(self, scale: ScaleName, _: bool = False) -> None:
        """Show what is chosen at a scale."""
        if self.ladder is None or self._layer is None:
            return
        box = self.ladder.rungs[SCALES.index(scale)].box
        if box is not None:
            (fly_to if scale in ("patch", "cell") else show_box)(self.viewer, self._layer, box)

    def _refresh(self) -> None:
        if self.ladder is None:
            return
        above: Box | None = None
        for rung in self.ladder.rungs:
            button = self.buttons[rung.scale]
            button.setText(str(rung))
            button.setEnabled(rung.box is not None)
            button.setIcon(self._picture(rung, above))
            for arrow in self.steppers.get(rung.scale, ()):
                arrow.setEnabled(rung.count > 1)
            above = rung.box

    def _picture(self, rung: Rung, above: Box | None) -> QIcon:
        """Return what is above as a frame, and what is chosen as a filled part of it."""
        picture = QPixmap(_ICON_PX, _ICON_PX)
        picture.fill(Qt.GlobalColor.transparent)
        outer = above or rung.box
        if outer is None or rung.box is None:
            return QIcon(picture)
        scale = (_ICON_PX - 4) / max(outer[2] - outer[0], outer[3] - outer[1])
        painter = QPainter(picture)
        painter.setPen(self.palette().color(QPalette.ColorRole.ButtonText))
        painter.drawRect(QRectF(2, 2, (outer[3] - outer[1]) * scale, (outer[2] - outer[0]) * scale))
        y0, x0, y1, x1 = rung.box
        inner = QRectF(
            2 + (x0 - outer[1]) * scale,
            2 + (y0 - outer[0]) * scale,
            max(_LEAST_PX, (x1 - x0) * scale),
            max(_LEAST_PX, (y1 - y0) * scale),
        )
        if above is not None:
            painter.fillRect(inner, QColor("#56B4E9"))
        painter.end()
        return QIcon(picture)
