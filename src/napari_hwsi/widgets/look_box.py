"""How nuclei look on the slide: coloured by type or a measurement, as outlines or filled."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import QBuffer, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGroupBox, QLabel

from ..slides import Slide
from ..viewer.colours import Colouring, columns_of, title_of
from ..viewer.nuclei import Nuclei, nuclei_on
from . import tooltips
from .dock import narrow
from .task import TaskRow

_SWATCHES = 9
_SIDE, _EDGE = 11, "#808080"


class LookBox(QGroupBox):
    """Recolours the nuclei that are on a slide; hidden where there are none."""

    def __init__(self, viewer: ViewerModel, task: TaskRow) -> None:
        super().__init__("Colours")
        self.viewer, self._task = viewer, task
        self.nuclei: Nuclei | None = None
        self.column_box = narrow(QComboBox())
        self.column_box.setToolTip(tooltips.COLOUR_BY)
        self.column_box.activated.connect(lambda _: task.attempt(self.recolour))
        self.filled = QCheckBox("Filled")
        self.filled.setToolTip(tooltips.FILLED)
        self.filled.clicked.connect(self._fill)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow("Colour by", self.column_box)
        form.addRow(self.filled)
        form.addRow(self.legend)
        self.hide()

    def show_slide(self, slide: Slide | None) -> None:
        """Be about the nuclei of a slide, or none."""
        if self.nuclei is not None:
            self.nuclei.changed.disconnect(self._tell, missing_ok=True)
            self.nuclei.colours_changed.disconnect(self._tell, missing_ok=True)
        nuclei = self.nuclei = nuclei_on(self.viewer, slide)
        self.column_box.clear()
        if nuclei is not None:
            for column in columns_of(nuclei.cells):
                self.column_box.addItem(title_of(column), column)
            self.filled.setChecked(nuclei.filled)
            nuclei.changed.connect(self._tell)
            nuclei.colours_changed.connect(self._tell)
            self._tell()
        self.setVisible(nuclei is not None)

    def recolour(self) -> None:
        """Colour by the chosen column."""
        if self.nuclei is not None:
            self.nuclei.colour_by(self.column_box.currentData())

    def _tell(self) -> None:
        """Show what the nuclei are coloured by now."""
        if self.nuclei is not None:
            self.column_box.setCurrentIndex(self.column_box.findData(self.nuclei.colouring.column))
            self.legend.setText(legend(self.nuclei.colouring))

    def _fill(self, filled: bool) -> None:
        if self.nuclei is not None:
            self.nuclei.fill(filled)


def legend(colouring: Colouring) -> str:
    """Return the colours with what they stand for, as rich text."""
    count = len(colouring.colours)
    if colouring.kinds:
        words = named(colouring.colours, colouring.kinds)
        return words + (f"The colours repeat after {count} types." if len(colouring.kinds) > count else "")
    steps = np.linspace(0, count - 2, _SWATCHES).astype(int)
    bar = "".join(square(colour) for colour in colouring.colours[steps])
    ends = f"{colouring.low:.3g} {bar} {colouring.high:.3g}"
    words = f"{ends}<br>1st to 99th percentile"
    missing = (colouring.classes == count).any()
    return words + (f"<br>{square(colouring.colours[-1])}&nbsp;not measured" if missing else "")


def named(colours: NDArray[np.float64], names: Sequence[str]) -> str:
    """Return names behind squares of their colours, (K, 4) over and over, as rich text in two columns."""
    cells = [
        f"<td>{square(colours[i % len(colours)])}</td><td>{html.escape(name)}&nbsp;&nbsp;</td>"
        for i, name in enumerate(names)
    ]
    rows = "".join(f"<tr>{''.join(cells[i : i + 2])}</tr>" for i in range(0, len(cells), 2))
    return f"<table cellpadding=1>{rows}</table>"


def square(colour: NDArray[np.float64]) -> str:
    """Return a square of a colour, (4,) RGBA from 0 to 1, as rich text; its edge is seen on any ground."""
    picture, content = QImage(_SIDE, _SIDE, QImage.Format.Format_RGB32), QBuffer()
    picture.fill(QColor(_EDGE))
    painter = QPainter(picture)
    painter.fillRect(1, 1, _SIDE - 2, _SIDE - 2, QColor.fromRgbF(*map(float, colour[:3])))
    painter.end()
    picture.save(content, "PNG")
    return f'<img src="data:image/png;base64,{bytes(content.data().toBase64().data()).decode()}">'
