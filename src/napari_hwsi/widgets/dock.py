"""What all docks have: the slide they are about, a task row, and the words on their use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import napari
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import (  # type: ignore[attr-defined]  # qtpy hands it on unsaid
    QKeySequence,
    QShortcut,
    QShowEvent,
)
from qtpy.QtWidgets import (
    QComboBox,
    QDockWidget,
    QFrame,
    QLabel,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from ..errors import InputError
from ..slides import Slide
from ..viewer.state import HOW_TO_OPEN, active_slide_layer, show_only, slide_layers, slide_of
from . import tooltips
from .task import TaskRow, Work


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
    """Base of the docks with forms: ``body`` scrolls when the window is low, ``top`` and ``bottom`` stay.

    Work belongs to the slide it was started on: it goes on while another is looked at, and stops with
    Cancel, with that slide's layer, and with the dock.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._job: tuple[Image, Slide | None] | None = None  # whose slide the row works on
        self._placed = False
        self._starters: list[QPushButton] = []
        self.slides_box = narrow(QComboBox())
        self.slides_box.setToolTip(tooltips.SLIDES)
        self.slides_box.setAccessibleName("Show only this slide")
        self.slides_box.activated.connect(self._show_only)
        self.hint = wrapped(HOW_TO_OPEN)
        self.hint.hide()
        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(0, 0, 6, 0)
        self.scroll_area = QScrollArea()
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidget(content)
        self.task = TaskRow()
        self.task.busy_changed.connect(self._on_busy)
        self.task_slide = QElidingLabel()
        self.task_slide.hide()
        research = QLabel(tooltips.RESEARCH_USE)
        research.setToolTip(tooltips.RESEARCH)
        research.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.top, self.bottom = QVBoxLayout(), QVBoxLayout()
        outer = QVBoxLayout(self)
        outer.addWidget(self.slide_label)
        outer.addWidget(self.slides_box)
        outer.addWidget(self.hint)
        outer.addLayout(self.top)
        outer.addWidget(self.scroll_area, 1)
        outer.addWidget(self.task_slide)
        outer.addWidget(self.task)
        outer.addLayout(self.bottom)
        outer.addWidget(research)
        self.setMinimumWidth(260)
        for event in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.events.renamed,
        ):
            event.connect(self._list_slides)

    @property
    def job_layer(self) -> Image | None:
        """The layer of the slide that is worked on in the row, None where none is."""
        return None if self._job is None else self._job[0]

    def start(
        self,
        layer: Image,
        doing: str,
        work: Work,
        done: Callable[[Any], None],
        piece: Callable[[Any], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        """Run work on a slide's layer, as :meth:`TaskRow.run` does; another slide may be looked at meanwhile.

        Raises InputError while the row is at work.
        """
        if self.task.busy:
            raise InputError("Other work is still running here. Wait for it, or cancel it.")

        def finish(value: Any) -> None:
            done(value)
            if layer is not self._layer:
                self.task.say("Finished.")

        self._job = (layer, slide_of(layer))
        self.task_slide.setText(f"On {layer.name}")
        self.task.run(doing, work, finish, piece, failed, stopped)

    def needs_slide(self, button: QPushButton) -> None:
        """Let a button work only with a slide and a free row; without a slide a line says how to go on."""
        self._starters.append(button)

    def button(self, name: str, tooltip: str, action: Callable[[], Any]) -> QPushButton:
        """Return a button that does something about the slide; what refuses it is said in the row."""
        button = QPushButton(name)
        button.setToolTip(tooltip)
        button.clicked.connect(lambda: self.task.attempt(action))
        self.needs_slide(button)
        return button

    def refresh(self) -> None:
        """Look again which slide is being worked on; what was said about another goes."""
        if not self.task.busy:
            self.task.say("")
            self.task_slide.hide()
        super().refresh()
        self.hint.setVisible(bool(self._starters) and self._layer is None)
        self._enable()
        self._list_slides()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt: become a tab beside our other docks, once; afterwards the place is the user's to choose."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self._join_tabs)

    def changeEvent(self, event: QEvent | None) -> None:
        """Qt: taken out of the window, as napari does to close a dock: nobody could cancel its work."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and _dock_of(self) is None:
            self.task.cancel()

    def _join_tabs(self) -> None:
        """napari puts each new dock below the last, where a form has no room."""
        window, dock = self.window(), _dock_of(self)
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        area = window.dockWidgetArea(dock)
        others = [other for form in window.findChildren(Dock) if (other := _dock_of(form)) is not None]
        beside = [
            d for d in others if d is not dock and window.dockWidgetArea(d) == area and not d.isFloating()
        ]
        beside = [d for d in beside if not d.isHidden()]
        if beside and not any(d in window.tabifiedDockWidgets(dock) for d in beside):
            window.tabifyDockWidget(beside[0], dock)
            dock.raise_()

    def _show_only(self, row: int) -> None:
        layers = slide_layers(self.viewer)
        if row < len(layers):
            show_only(self.viewer, layers[row])

    def _list_slides(self, event: Any = None) -> None:
        """Where more than one slide is open, a list of them stands in place of the name."""
        layers = slide_layers(self.viewer)
        self.slides_box.clear()
        self.slides_box.addItems([layer.name for layer in layers])
        if self._layer in layers:
            self.slides_box.setCurrentIndex(layers.index(self._layer))
        self.slides_box.setVisible(len(layers) > 1)
        self.slide_label.setVisible(len(layers) < 2)

    def _on_busy(self, busy: bool) -> None:
        layer = self.job_layer
        if not busy:
            self._job = None
        # Words on the end of the work stay, and whose they are, until another slide is looked at.
        self.task_slide.setVisible(layer is not None and (busy or layer is not self._layer))
        self._enable()

    def _enable(self) -> None:
        for button in self._starters:
            button.setEnabled(self._layer is not None and not self.task.busy)

    def _on_layers(self, event: Any = None) -> None:
        self._stop_orphan()
        super()._on_layers(event)

    def _on_pixels(self, event: Any) -> None:
        self._stop_orphan()
        super()._on_pixels(event)

    def _stop_orphan(self) -> None:
        """Stop work on a slide that is gone, or whose pixels are others now."""
        if self._job is not None:
            layer, slide = self._job
            if layer not in self.viewer.layers or slide_of(layer) is not slide:
                self.task.cancel()
                self.task.say("")
                self.task_slide.hide()

    def sizeHint(self) -> QSize:
        """Qt: a column; labels that wrap would otherwise ask for the width of their words."""
        return QSize(340, 600)


def open_named(viewer: napari.Viewer, name: str, beside: bool = True) -> QWidget:
    """Show one of the docks by its name in the Plugins menu, and return its widget; an open one is raised.

    beside: as a tab of the docks that are there.
    """
    dock, widget = viewer.window.add_plugin_dock_widget("napari-hwsi", name, tabify=beside)
    dock.show()
    dock.raise_()
    return widget


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock of the window that a widget is in."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def bind_keys(widget: QWidget, keys: Mapping[str, Callable[[], None]]) -> None:
    """Let keys do something while the focus is in a widget."""
    for key, action in keys.items():
        shortcut = QShortcut(QKeySequence(key), widget)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(action)


def wrapped(text: str = "") -> QLabel:
    """Return a label whose plain text wraps and can be copied."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def small(text: str = "") -> QLabel:
    """Return such a label for remarks."""
    label = wrapped(text)
    font = label.font()
    font.setPointSizeF(font.pointSizeF() * 0.85)
    font.setItalic(True)
    label.setFont(font)
    return label


def narrow(box: QComboBox) -> QComboBox:
    """Let a list be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box
