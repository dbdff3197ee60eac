"""How much is magnified: buttons, a number to type, the scale bar, and how napari draws a move."""

from __future__ import annotations

import re
from typing import Any

from napari.components import ViewerModel
from napari.settings import get_settings
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from ..errors import InputError
from ..viewer.drawing import decided_by_environment, draw_without_waiting, draws_without_waiting
from ..viewer.region import magnification, set_magnification
from . import tooltips
from .dock import wrapped
from .task import TaskRow

MAGNIFICATIONS = (1, 2, 5, 10, 20, 40)
_LARGEST = 1000.0
_WAITS = "The window waits until the pixels of a move are read."
_FREE = "The window stays free; pixels follow when they are read."
_SESSION = " NAPARI_ASYNC is set: this lasts until napari is closed."


class Magnification(QWidget):
    """The magnification on the screen, to see and to set, and the scale bar."""

    def __init__(self, viewer: ViewerModel, task: TaskRow) -> None:
        super().__init__()
        self.viewer, self._task, self._known = viewer, task, False
        self.edit = QLineEdit()
        self.edit.setToolTip(tooltips.MAGNIFICATION_EDIT)
        self.edit.setMaximumWidth(90)
        self.edit.editingFinished.connect(self._typed)
        self.scale_bar = QCheckBox("Scale bar")
        self.scale_bar.setToolTip(tooltips.SCALE_BAR)
        overlay = viewer.canvas.overlays["scale_bar"]
        self.scale_bar.setChecked(overlay.visible)
        self.scale_bar.toggled.connect(lambda on: setattr(overlay, "visible", on))
        overlay.events.visible.connect(self._on_scale_bar)
        first = QHBoxLayout()
        first.addWidget(QLabel("Magnification"))
        first.addWidget(self.edit)
        first.addStretch(1)
        first.addWidget(self.scale_bar)
        self.buttons = {}
        row = QHBoxLayout()
        row.setSpacing(2)
        for value in MAGNIFICATIONS:
            button = QPushButton(f"{value}x")
            button.setCheckable(True)
            button.setMinimumWidth(30)
            button.setToolTip(tooltips.MAGNIFICATION.format(value=value, um=10 / value))
            button.clicked.connect(lambda _=False, v=value: self._set(v))
            self.buttons[value] = button
            row.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addLayout(row)
        viewer.scene.camera.events.zoom.connect(self.show_now)

    def set_known(self, known: bool) -> None:
        """Say whether there is a slide whose pixel size is known."""
        self._known = known
        self.edit.setEnabled(known)
        for button in self.buttons.values():
            button.setEnabled(known)
        self.show_now()

    def set(self, value: float) -> None:
        """Zoom to a magnification. Raises InputError for a senseless one."""
        if not 0 < value <= _LARGEST:
            raise InputError(f"{value:g}x is no magnification. Give one above 0 and up to {_LARGEST:g}.")
        set_magnification(self.viewer, value)
        self.show_now()

    def show_now(self, event: Any = None) -> None:
        """Show the magnification on the screen."""
        now = magnification(self.viewer)
        if not self.edit.hasFocus() or not self.edit.isModified():
            self.edit.setText(f"{now:.2g}x" if self._known else "–")
        for value, button in self.buttons.items():
            button.setChecked(self._known and abs(now / value - 1) < 0.02)

    def _typed(self) -> None:
        if not self.edit.isModified():
            return
        text = self.edit.text()
        self.edit.setModified(False)
        number = re.fullmatch(r"\s*(\d+(?:[.,]\d+)?)\s*[xX×]?\s*", text)
        if number is None:
            self._task.say(f"{text!r} is not a magnification, such as 10x.")
        else:
            self._set(float(number[1].replace(",", ".")))
        self.show_now()

    def _set(self, value: float) -> None:
        if self._task.attempt(lambda: self.set(value)):
            self._task.say("")

    def _on_scale_bar(self, event: Any = None) -> None:
        self.scale_bar.setChecked(self.viewer.canvas.overlays["scale_bar"].visible)


class DrawingSwitch(QWidget):
    """A button that switches napari's asynchronous rendering, and a line on its present state."""

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton()
        self.button.setToolTip(tooltips.DRAWING)
        self.button.clicked.connect(lambda: draw_without_waiting(not draws_without_waiting()))
        self.words = wrapped()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.words)
        get_settings().experimental.events.async_.connect(self._show)
        self._show()

    def _show(self, event: Any = None) -> None:
        on = draws_without_waiting()
        self.button.setText(f"Turn asynchronous drawing {'off' if on else 'on'}")
        self.words.setText((_FREE if on else _WAITS) + (_SESSION if decided_by_environment() else ""))
