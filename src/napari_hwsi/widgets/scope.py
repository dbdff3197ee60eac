"""Choosing a part of the slide: what is visible, what is drawn, or all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QComboBox

from ..units import Box
from ..viewer.drawn import area_box, drawn_area
from ..viewer.region import require_visible_box
from . import tooltips
from .dock import narrow

VISIBLE, DRAWN, WHOLE = "Visible region", "Drawn shapes", "Whole slide"


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
        chosen = self.currentText()
        if chosen == VISIBLE:
            return Scope(require_visible_box(viewer, layer))
        if chosen == DRAWN:
            area = drawn_area(viewer, layer)
            return Scope(area_box(layer, area), area)
        return Scope(None)
