"""What all docks have: the slide they are about, a task row, and the words on their use."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QComboBox, QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ..slides import Slide
from ..viewer.state import active_slide_layer, slide_of
from . import tooltips
from .task import TaskRow


class SlideWidget(QWidget):
    """A widget about the slide that is being worked on; it changes with it."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self._layer: Image | None = None
        self.slide_label = QElidingLabel()
        self.slide_label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        font = self.slide_label.font()
        font.setBold(True)
        self.slide_label.setFont(font)
        layers = viewer.layers
        layers.events.inserted.connect(self._on_layers)
        layers.events.removed.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_layers)

    @property
    def layer(self) -> Image | None:
        """The layer of the slide this widget is about."""
        return self._layer

    @property
    def slide(self) -> Slide | None:
        """The slide this widget is about."""
        return None if self._layer is None else slide_of(self._layer)

    def on_slide(self) -> None:
        """Show another slide, or none; each widget has its own."""

    def refresh(self) -> None:
        """Look again which slide is being worked on, and show it."""
        layer = active_slide_layer(self.viewer)
        if layer is not None and layer is not self._layer:
            layer.events.data.connect(self._on_pixels)
        self._layer = layer
        self.slide_label.setText("No slide is open" if self.slide is None else self.slide.name)
        self.on_slide()

    def _on_pixels(self, event: Any) -> None:
        """Show a slide that was opened anew in its layer."""
        if event.source is self._layer:
            self.refresh()

    def _on_layers(self, event: Any = None) -> None:
        if active_slide_layer(self.viewer) is not self._layer:
            self.refresh()


class Dock(SlideWidget):
    """Base of the docks with forms: ``body`` scrolls when the window is low, ``top`` and ``bottom`` stay."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(0, 0, 6, 0)
        self.scroll_area = QScrollArea()
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidget(content)
        self.task = TaskRow()
        research = QLabel(tooltips.RESEARCH_USE)
        research.setToolTip(tooltips.RESEARCH)
        research.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.top, self.bottom = QVBoxLayout(), QVBoxLayout()
        outer = QVBoxLayout(self)
        outer.addWidget(self.slide_label)
        outer.addLayout(self.top)
        outer.addWidget(self.scroll_area, 1)
        outer.addWidget(self.task)
        outer.addLayout(self.bottom)
        outer.addWidget(research)
        self.setMinimumWidth(260)

    def sizeHint(self) -> QSize:
        """Qt: a column; labels that wrap would otherwise ask for the width of their words."""
        return QSize(340, 600)


def wrapped(text: str = "") -> QLabel:
    """Return a label whose plain text wraps and can be copied."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def narrow(box: QComboBox) -> QComboBox:
    """Let a list be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box
