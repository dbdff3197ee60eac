"""Tissue and artefacts of a slide: shown by class, painted over, and put to use."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QGroupBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from ..progress import Progress
from ..slides import Slide
from ..tissue import CLASSES, TissueMask, forget_tissue, is_edited, keep_tissue, tissue_of
from ..viewer.layers import classes_data, show
from ..viewer.raster import TISSUE_COLOURS
from ..viewer.state import MASK, part_layer, slide_of
from . import tooltips
from .dock import narrow, wrapped
from .task import TaskRow

_PAINT_OPACITY = 0.4
_AUTOMATIC = "Found from the image."
_EDITED = "Edited by you. Analysis and segmentation of this slide use it."
_PAINTING = "Paint with the brush; “empty glass” erases. It counts once you choose “Use it”."
_KEPT = "Kept for this slide. What was analysed before follows when you analyse again."


class TissueBox(QGroupBox):
    """Shows the class map of a slide, lets it be edited, and keeps the edited one for the slide."""

    def __init__(self, viewer: ViewerModel, task: TaskRow) -> None:
        super().__init__("Tissue and artefacts")
        self.viewer, self._task = viewer, task
        self._layer: Image | None = None
        self._busy = False
        self.words = wrapped()
        self.legend = QLabel(_legend())
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.class_box = narrow(QComboBox())
        self.class_box.setToolTip(tooltips.CLASS)
        for name, colour in zip(CLASSES, TISSUE_COLOURS, strict=True):
            self.class_box.addItem(_swatch(colour), name)
        self.class_box.setCurrentText("tissue")
        self.class_box.currentIndexChanged.connect(self._choose_class)
        self.show_button, self.edit_button, self.use_button, self.discard_button, self.automatic_button = (
            QPushButton(name) for name in ("Show", "Edit", "Use it", "Discard", "Back to automatic")
        )
        for button, words, action in (
            (self.show_button, tooltips.SHOW_TISSUE, self.show_classes),
            (self.edit_button, tooltips.EDIT_TISSUE, self.edit),
            (self.use_button, tooltips.USE_TISSUE, self.use),
            (self.discard_button, tooltips.DISCARD_TISSUE, self.show_classes),
            (self.automatic_button, tooltips.AUTOMATIC_TISSUE, self.back_to_automatic),
        ):
            button.setToolTip(words)
            button.clicked.connect(lambda _=False, act=action: task.attempt(act))
        buttons = QHBoxLayout()
        for button in (self.show_button, self.edit_button, self.use_button, self.discard_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.words)
        layout.addWidget(self.legend)
        layout.addWidget(self.class_box)
        layout.addLayout(buttons)
        layout.addWidget(self.automatic_button)
        viewer.layers.events.removed.connect(self._refresh)
        task.busy_changed.connect(self._on_busy)
        self.show_slide(None)

    @property
    def editing(self) -> bool:
        """Whether the class map is being painted."""
        labels = self._labels()
        return labels is not None and labels.editable

    @property
    def _slide(self) -> Slide | None:
        return None if self._layer is None else slide_of(self._layer)

    def show_slide(self, layer: Image | None) -> None:
        """Be about a slide's layer, or none."""
        self._layer = layer
        self._refresh()

    def show_classes(self) -> None:
        """Show the class map in use as a layer; it is found in a thread. What was painted goes."""
        self._find(self._show)

    def edit(self) -> None:
        """Let the class map be painted with napari's own tools."""
        self._find(self._paint)

    def use(self) -> None:
        """Keep the painted map for this slide, for all analysis and segmentation from now on.

        Raises InputError for a class without a name, StoreError where it cannot be kept.
        """
        labels, slide = self._labels(), self._slide
        if labels is not None and slide is not None:
            self._show(keep_tissue(slide, labels.metadata[MASK], np.asarray(labels.data)))
            self._task.say(_KEPT)

    def back_to_automatic(self) -> None:
        """Forget the edited map of this slide, and show the automatic one."""
        slide = self._slide
        if slide is not None:
            forget_tissue(slide)
            self.show_classes()

    def _find(self, done: Any) -> None:
        slide = self._slide
        if slide is None:
            return

        def work(progress: Progress, piece: Any) -> TissueMask:
            return tissue_of(slide, progress)

        self._task.run("Looking for tissue…", work, done)

    def _show(self, mask: TissueMask) -> Labels | None:
        slide = self._slide
        if slide is None:
            return None
        labels = show(self.viewer, classes_data(slide, mask))
        labels.editable, labels.opacity = False, 1.0
        self._refresh()
        return labels

    def _paint(self, mask: TissueMask) -> None:
        labels = self._show(mask)
        if labels is not None:
            labels.visible = labels.editable = True
            self.viewer.layers.selection.active = labels
            labels.mode = "paint"
            labels.contour, labels.opacity = 0, _PAINT_OPACITY  # areas, and the slide beneath them
            self._refresh()
            self._choose_class(self.class_box.currentIndex())

    def _choose_class(self, index: int) -> None:
        labels = self._labels()
        if labels is not None and self.editing:
            labels.selected_label = index

    def _labels(self) -> Labels | None:
        slide = self._slide
        return None if slide is None else part_layer(self.viewer, slide, "classes")

    def _on_busy(self, busy: bool) -> None:
        """Other work of the dock is not to be cancelled by a look at the tissue."""
        self._busy = busy
        self._refresh()

    def _refresh(self, event: Any = None) -> None:
        slide = self._slide
        kept = slide is not None and is_edited(slide)
        shown, editing = self._labels() is not None, self.editing
        self.setEnabled(slide is not None and not self._busy)
        self.words.setText(_PAINTING if editing else _EDITED if kept else _AUTOMATIC)
        self.legend.setVisible(shown)
        self.class_box.setVisible(editing)
        self.show_button.setVisible(not shown)
        self.edit_button.setVisible(not editing)
        self.use_button.setVisible(editing)
        self.discard_button.setVisible(editing)
        self.automatic_button.setVisible(kept and not editing)


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)


def _legend() -> str:
    pairs = zip(CLASSES[1:], TISSUE_COLOURS[1:], strict=True)
    return " &nbsp; ".join(
        f'<span style="color:{colour}">■</span>&nbsp;{name.replace(" ", "&nbsp;")}' for name, colour in pairs
    )
