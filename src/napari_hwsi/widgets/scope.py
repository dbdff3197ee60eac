"""Choosing a part of the slide: what is visible, drawn or selected, or all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from ..errors import InputError
from ..units import Box, as_box, intersect
from ..viewer.drawn import area_box, drawn_area
from ..viewer.nuclei import nuclei_on
from ..viewer.region import require_visible_box
from ..viewer.state import slide_of
from . import tooltips
from .dock import narrow

VISIBLE, DRAWN, SELECTED, WHOLE = "Visible region", "Drawn shapes", "Selected nuclei", "Whole slide"
ABOUT = {
    VISIBLE: "About the visible region",
    DRAWN: "About what is drawn",
    SELECTED: "About the selected nuclei",
    WHOLE: "About the whole slide",
}
_SHORT = {VISIBLE: "View", DRAWN: "Drawn", SELECTED: "Nuclei", WHOLE: "Slide"}


@dataclass(frozen=True)
class Scope:
    """A part of a slide. box: None is the whole slide; area: the drawn area within the box, if drawn."""

    box: Box | None
    area: Any = None


class ScopeBox(QComboBox):
    """The list of parts to choose from."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.addItems(names or (VISIBLE, DRAWN, WHOLE))
        self.setToolTip(tooltips.SCOPE)
        narrow(self)

    def scope(self, viewer: ViewerModel, layer: Image) -> Scope:
        """Return the chosen part as it is now. Raises InputError where nothing is visible or drawn."""
        return scope_of(self.currentText(), viewer, layer)


class ScopeButtons(QWidget):
    """The parts side by side, each one click away."""

    currentTextChanged = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for name, short in _SHORT.items():
            button = QPushButton(short)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setStyleSheet("QPushButton { padding: 3px 1px; }")
            button.setToolTip(tooltips.SCOPES[name])
            button.setAccessibleName(name)
            self._group.addButton(button)
            self.buttons[name] = button
            row.addWidget(button, 1)
            button.toggled.connect(lambda on, name=name: self.currentTextChanged.emit(name) if on else None)
        self.buttons[VISIBLE].setChecked(True)

    def currentText(self) -> str:
        """Return the name of the chosen part."""
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def setCurrentText(self, name: str) -> None:
        """Choose a part by its name."""
        self.buttons[name].setChecked(True)

    def scope(self, viewer: ViewerModel, layer: Image) -> Scope:
        """Return the chosen part as it is now. Raises InputError where there is nothing of it."""
        return scope_of(self.currentText(), viewer, layer)


def scope_of(name: str, viewer: ViewerModel, layer: Image) -> Scope:
    """Return a part of a slide as it is now. Raises InputError where there is nothing of it."""
    if name == VISIBLE:
        return Scope(require_visible_box(viewer, layer))
    if name == DRAWN:
        area = drawn_area(viewer, layer)
        return Scope(area_box(layer, area), area)
    return Scope(_selected_box(viewer, layer) if name == SELECTED else None)


def _selected_box(viewer: ViewerModel, layer: Image) -> Box:
    """Return the box round the selected nuclei, clipped to the slide."""
    slide = slide_of(layer)
    nuclei = nuclei_on(viewer, slide)
    if slide is None or nuclei is None or not len(nuclei.selected):
        raise InputError("No nuclei are selected. Click some on the slide, or choose them in the table.")
    bounds = nuclei.cells.contours.bounds[nuclei.selected].astype(np.float64)
    around = as_box((*bounds[:, :2].min(0).tolist(), *bounds[:, 2:].max(0).tolist()))
    box = intersect(around, (0, 0, *slide.shape))
    if box is None:
        raise InputError("The selected nuclei lie beside the slide.")
    return box
