"""Going to a place of the slide: by its coordinates, or to a view that was named."""

from __future__ import annotations

import re
from collections.abc import Callable

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..errors import InputError
from ..slides import Slide
from ..viewer.bookmarks import Bookmarks
from ..viewer.region import centre_on, show_box, view_box
from ..viewer.state import slide_of
from . import tooltips
from .task import TaskRow

PX, UM = "px", "µm"
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_ROWS = 4


class Places(QGroupBox):
    """A field for coordinates, and the bookmarks of the slide."""

    def __init__(self, viewer: ViewerModel, task: TaskRow) -> None:
        super().__init__("Places")
        self.viewer, self._task = viewer, task
        self._layer: Image | None = None
        self._names: list[str] = []
        self.place_edit = QLineEdit()
        self.place_edit.setPlaceholderText("y, x")
        self.place_edit.setToolTip(tooltips.GO_TO)
        self.unit_box = QComboBox()
        self.unit_box.addItems([PX, UM])
        self.unit_box.setToolTip(tooltips.UNIT)
        self.go_button = QPushButton("Go")
        self.go_button.setToolTip(tooltips.GO_TO)
        self.go_button.clicked.connect(lambda: self._attempt(self._go_to_typed))
        self.place_edit.returnPressed.connect(self.go_button.click)
        self.name_edit = QLineEdit()
        self.name_edit.setPlaceholderText("name this view")
        self.name_edit.setToolTip(tooltips.BOOKMARK)
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip(tooltips.BOOKMARK)
        self.keep_button.clicked.connect(lambda: self._attempt(self.keep_view))
        self.name_edit.returnPressed.connect(self.keep_button.click)
        self.list = QListWidget()
        self.list.setToolTip(tooltips.BOOKMARKS)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)  # long names are elided
        self.list.setSpacing(1)
        self.list.setMaximumHeight(_ROWS * (self.fontMetrics().height() + 6))
        self.list.itemActivated.connect(lambda item: self._attempt(self.go_to_bookmark))
        self.list.itemChanged.connect(lambda item: self._attempt(lambda: self._rename(item)))
        self.list.currentRowChanged.connect(lambda row: self._enable())
        self.fly_button, self.rename_button, self.delete_button = (
            QPushButton(name) for name in ("Go", "Rename", "Delete")
        )
        self.fly_button.clicked.connect(lambda: self._attempt(self.go_to_bookmark))
        self.rename_button.clicked.connect(lambda: self.list.editItem(self.list.currentItem()))
        self.delete_button.clicked.connect(lambda: self._attempt(self.delete))
        layout = QVBoxLayout(self)
        layout.addLayout(_row(self.place_edit, self.unit_box, self.go_button))
        layout.addLayout(_row(self.name_edit, self.keep_button))
        layout.addWidget(self.list)
        layout.addLayout(_row(self.fly_button, self.rename_button, self.delete_button))
        self.show_slide(None)

    def show_slide(self, layer: Image | None) -> None:
        """Show the bookmarks of a slide's layer, or none."""
        self._layer = layer
        self.setEnabled(layer is not None)
        known = layer is not None and self._slide(layer).mpp is not None
        self.unit_box.setEnabled(known)
        if not known:
            self.unit_box.setCurrentText(PX)
        self._task.attempt(self._list)

    def go_to(self, y: float, x: float, unit: str = PX) -> None:
        """Centre the view on a place, counted from the slide's top left corner.

        unit: 'px' of level 0 or 'µm'. Raises InputError for a place off the slide, ResolutionError
        for µm on a slide without mpp.
        """
        layer = self._layer
        if layer is None:
            return
        slide = self._slide(layer)
        step = slide.require_mpp() if unit == UM else (1.0, 1.0)
        if not (0 <= y < slide.shape[0] * step[0] and 0 <= x < slide.shape[1] * step[1]):
            ends = f"y {slide.shape[0] * step[0]:.6g}, x {slide.shape[1] * step[1]:.6g} {unit}"
            raise InputError(f"{slide.name} goes from 0, 0 to {ends}.")
        centre_on(self.viewer, layer, (y / step[0], x / step[1]))

    def keep_view(self) -> None:
        """Keep the present view under the name in the field. Raises InputError, StoreError."""
        if self._layer is not None:
            name = self.name_edit.text().strip()
            self._bookmarks(self._layer).add(name, view_box(self.viewer, self._layer))
            self.name_edit.clear()
            self._list(name)

    def go_to_bookmark(self) -> None:
        """Show the chosen bookmark as it was kept."""
        if self._layer is not None and (name := self._chosen()) is not None:
            show_box(self.viewer, self._layer, self._bookmarks(self._layer)[name])

    def delete(self) -> None:
        """Forget the chosen bookmark."""
        if self._layer is not None and (name := self._chosen()) is not None:
            self._bookmarks(self._layer).delete(name)
            self._list()

    def _go_to_typed(self) -> None:
        self.go_to(*read_place(self.place_edit.text()), self.unit_box.currentText())

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something; what an earlier attempt was refused for goes when one succeeds."""
        if self._task.attempt(action):
            self._task.say("")

    def _rename(self, item: QListWidgetItem) -> None:
        row, name = self.list.row(item), item.text().strip()
        try:
            if self._layer is not None and name != self._names[row]:
                self._bookmarks(self._layer).rename(self._names[row], name)
                self._names[row] = name
        finally:
            self.list.blockSignals(True)
            item.setText(self._names[row])
            self.list.blockSignals(False)

    def _list(self, chosen: str | None = None) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        self._names = []
        try:
            if self._layer is not None:
                self._names = list(self._bookmarks(self._layer).places())
        finally:
            for name in self._names:
                item = QListWidgetItem(name)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                self.list.addItem(item)
            self.list.blockSignals(False)
            if chosen in self._names:
                self.list.setCurrentRow(self._names.index(chosen))
            self.list.setVisible(bool(self._names))
            for button in (self.fly_button, self.rename_button, self.delete_button):
                button.setVisible(bool(self._names))
            self._enable()

    def _enable(self) -> None:
        for button in (self.fly_button, self.rename_button, self.delete_button):
            button.setEnabled(self._chosen() is not None)

    def _chosen(self) -> str | None:
        row = self.list.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None

    def _bookmarks(self, layer: Image) -> Bookmarks:
        return Bookmarks(self._slide(layer).fingerprint)

    def _slide(self, layer: Image) -> Slide:
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        return slide


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def read_place(text: str) -> tuple[float, float]:
    """Return (y, x) of '1200, 3400' or, in any order, 'x 3400 y 1200'. Raises InputError for other words."""
    named = dict(re.findall(rf"\b([xy])\s*[:=]?\s*({_NUMBER})", text.lower()))
    if set(named) == {"x", "y"}:
        return float(named["y"]), float(named["x"])
    numbers = re.fullmatch(rf"\s*[(\[]?\s*({_NUMBER})[\s,;]+({_NUMBER})\s*[)\]]?\s*", text)
    if named or numbers is None:
        raise InputError(f"{text!r} is not a place: give y and x, such as 1200, 3400, or x 3400 y 1200.")
    return float(numbers[1]), float(numbers[2])
