"""The Correct nuclei dock: paint, delete, merge and split nuclei of a part of the slide, and keep that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton
from skimage.draw import line as pixels_of_line

from ..cells import Correction, Editable, correct
from ..cells.corrections import merge, split_at_waist, split_by_line
from ..errors import InputError
from ..progress import Progress
from ..viewer.layers import correction_data, show
from ..viewer.nuclei import Nuclei, nuclei_on, on_other_nuclei
from ..viewer.region import require_visible_box
from ..viewer.state import EDITABLE, part_layer, require_slide_layer, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped

_EDITS = "hwsi_edits"  # the nuclei that a layer of labels is a part of
_BRUSH_UM = 3.0
_NOT_IN_STORE = "Corrections change the Nuclei layer and what you save of it, not a result on disk."
_HOW = (
    "Paint with napari's brush and eraser, or use the buttons. Only nuclei that lie wholly in this part can "
    "be changed. It counts once you choose “Keep”."
)
_IDLE = "Zoom to where nuclei are wrong, to at most about 1 mm."


class CorrectDock(Dock):
    """Lets the nuclei of the visible region be edited as labels, and merges them back."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._tool: str | None = None
        self._nuclei_visible = True
        self.words = wrapped(_IDLE)
        self.edit_button = self._button("Edit visible region", tooltips.EDIT_NUCLEI, self.edit)
        self.new_button = self._button("New nucleus", tooltips.NEW_NUCLEUS, self.new_nucleus)
        self.type_box = narrow(QComboBox())
        self.type_box.setToolTip(tooltips.NEW_TYPE)
        self.type_box.setAccessibleName("Type of new nuclei")
        self.tool_buttons = {
            tool: self._button(name, words, lambda tool=tool: self.take(tool))
            for tool, name, words in (
                ("delete", "Delete", tooltips.DELETE_NUCLEI),
                ("merge", "Merge", tooltips.MERGE_NUCLEI),
                ("split", "Split", tooltips.SPLIT_NUCLEI),
            )
        }
        for button in self.tool_buttons.values():
            button.setCheckable(True)
        self.undo_button = self._button("Undo", tooltips.UNDO_STROKE, self.undo_stroke)
        self.keep_button = self._button("Keep", tooltips.KEEP_NUCLEI, self.keep)
        self.discard_button = self._button("Discard", tooltips.DISCARD_NUCLEI, self.discard)
        self.undo_last_button = self._button(
            "Undo last correction", tooltips.UNDO_CORRECTION, self.undo_correction
        )
        grid = QGridLayout()
        rows = (
            (self.new_button, self.undo_button),
            (*self.tool_buttons.values(),),
            (self.keep_button, self.discard_button),
        )
        for i, row in enumerate(rows):
            for k, button in enumerate(row):
                grid.addWidget(button, i, k * 6 // len(row), 1, 6 // len(row))
        self.body.addWidget(self.words)
        self.body.addWidget(self.edit_button)
        self.body.addWidget(self.type_box)
        self.body.addLayout(grid)
        self.body.addWidget(self.undo_last_button)
        self.body.addWidget(wrapped(_NOT_IN_STORE))
        self.body.addStretch(1)
        self.needs_slide(self.edit_button)
        self.task.busy_changed.connect(lambda _: self.on_slide())
        self.viewer.layers.events.removed.connect(self._on_removed)
        on_other_nuclei(self.viewer, self._look_again)
        self.refresh()

    @property
    def labels(self) -> Labels | None:
        """The layer that is edited on this slide, None where none is."""
        return None if self.slide is None else part_layer(self.viewer, self.slide, "correction")

    @property
    def nuclei(self) -> Nuclei | None:
        """The nuclei of this slide that are on the screen."""
        return nuclei_on(self.viewer, self.slide)

    def on_slide(self) -> None:
        """Show what can be done on this slide now."""
        labels, nuclei = self.labels, self.nuclei
        editing = labels is not None
        self.words.setText(_HOW if editing else _IDLE)
        self.edit_button.setVisible(not editing)
        for button in (
            self.new_button,
            self.undo_button,
            self.keep_button,
            self.discard_button,
            *self.tool_buttons.values(),
        ):
            button.setVisible(editing)
            button.setEnabled(not self.task.busy)
        names = () if nuclei is None else nuclei.cells.type_names
        if [self.type_box.itemText(i) for i in range(self.type_box.count())] != [*names]:
            self.type_box.clear()
            self.type_box.addItems([*names])
        self.type_box.setVisible(editing and len(names) > 1)
        can_undo = nuclei is not None and nuclei.can_undo and not editing
        self.undo_last_button.setVisible(can_undo)
        self.undo_last_button.setEnabled(not self.task.busy)

    def edit(self) -> None:
        """Show the nuclei of the visible region as labels to be painted. Raises InputError."""
        layer = require_slide_layer(self.viewer)
        if self.labels is not None:
            raise InputError("Nuclei are being edited already. Keep or discard that first.")
        nuclei = self.nuclei
        if nuclei is None:
            raise InputError("There are no nuclei on this slide yet. Find them in the Segment cells dock.")
        if nuclei.growing:
            raise InputError("More nuclei are still being found. Wait for them, or cancel the search.")
        part = Editable.of(nuclei.slide, nuclei.cells, require_visible_box(self.viewer, layer))
        labels = show(self.viewer, correction_data(part))
        assert isinstance(labels, Labels)
        labels.metadata[_EDITS], nuclei.editing = nuclei, True
        labels.preserve_labels = True
        labels.brush_size = max(1, round(_BRUSH_UM / part.resolution[0]))
        labels.mouse_drag_callbacks.append(self._on_drag)
        labels.events.mode.connect(self._on_mode)
        if nuclei.layer is not None:
            self._nuclei_visible, nuclei.layer.visible = nuclei.layer.visible, False
        self.viewer.layers.selection.active = labels
        self.task.say("")
        self.new_nucleus()
        self.on_slide()

    def new_nucleus(self) -> None:
        """Take napari's brush, with a label that no nucleus has."""
        labels, part = self._editing()
        labels.selected_label = part.unused(labels.data)
        labels.mode = "paint"
        self.viewer.layers.selection.active = labels

    def take(self, tool: str) -> None:
        """Let clicks and drags on the labels 'delete', 'merge' or 'split'; taken again, move the view."""
        labels, _ = self._editing()
        dropped = tool == self._tool
        labels.mode = "pan_zoom"
        labels.mouse_pan = dropped
        self._hold(None if dropped else tool)
        self.viewer.layers.selection.active = labels

    def use(self, tool: str, places: NDArray[np.floating]) -> None:
        """Delete, merge or split what a line of (M, 2) places (y, x) in label pixels touches.

        Raises InputError.
        """
        labels, part = self._editing()
        data = np.asarray(labels.data)
        touched = np.setdiff1d(_under(data, places), [0])
        unused = part.unused(data)
        if tool == "delete":
            changed = np.where(np.isin(data, touched), 0, data)
        elif tool == "merge":
            changed = merge(data, touched.tolist())
        elif np.ptp(places, axis=0).max() < 1:
            label = int(touched[0]) if len(touched) else 0
            changed = split_at_waist(data, label, float(np.mean(part.resolution)), unused)
        else:
            changed = split_by_line(data, places, unused)
        where = np.nonzero(changed != data)
        labels.data_setitem(where, changed[where])  # into napari's own history

    def undo_stroke(self) -> None:
        """Take back the last change of the labels."""
        self._editing()[0].undo()

    def keep(self) -> None:
        """Merge the labels back into the nuclei, in a thread. Raises InputError."""
        labels, part = self._editing()
        layer, nuclei = require_slide_layer(self.viewer), labels.metadata[_EDITS]
        if nuclei.layer not in self.viewer.layers or nuclei.cells is not part.cells:
            raise InputError("These nuclei are no longer there. Discard this, and edit others.")
        edited, kind = np.array(labels.data), max(self.type_box.currentIndex(), 0)

        def work(progress: Progress, piece: Any) -> Correction:
            return correct(part, edited, kind)

        def done(correction: Correction) -> None:
            nuclei.correct(correction)
            if labels in self.viewer.layers:
                self.viewer.layers.remove(labels)
            gone, new = len(correction.reversal.rows), correction.reversal.added
            self.task.say(f"Kept: {gone:,} nuclei replaced or deleted, {new:,} traced anew.")
            if nuclei is not self.nuclei and nuclei.layer is not None:
                self.task.say(f"{self.task.words.text()} They are in the layer “{nuclei.layer.name}”.")

        self.start(layer, "Measuring what changed…", work, done)

    def discard(self) -> None:
        """Let the edited labels go."""
        self.viewer.layers.remove(self._editing()[0])

    def undo_correction(self) -> None:
        """Bring back the nuclei from before the last correction that was kept."""
        if self.nuclei is not None:
            self.nuclei.undo()
            self.task.say("The last correction is undone.")
        self.on_slide()

    def _button(self, name: str, words: str, action: Any) -> QPushButton:
        button = QPushButton(name)
        button.setToolTip(words)
        button.clicked.connect(lambda: self.task.attempt(action))
        return button

    def _editing(self) -> tuple[Labels, Editable]:
        labels = self.labels
        if labels is None:
            raise InputError("Nothing is being edited. Choose “Edit visible region” first.")
        return labels, labels.metadata[EDITABLE]

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        if self._tool is None or event.button != 1:
            return
        places = [layer.world_to_data(event.position)[-2:]]
        yield
        while event.type == "mouse_move":
            places.append(layer.world_to_data(event.position)[-2:])
            yield
        tool = self._tool
        self.task.say("")
        self.task.attempt(lambda: self.use(tool, np.array(places)))

    def _look_again(self, event: Any = None) -> None:
        self.on_slide()

    def _on_mode(self, event: Any) -> None:
        """Another tool was taken from napari's own."""
        self._hold(None)

    def _hold(self, tool: str | None) -> None:
        self._tool = tool
        for name, button in self.tool_buttons.items():
            button.setChecked(name == tool)

    def _on_removed(self, event: Any) -> None:
        """Kept, discarded, or removed in the layer list: the nuclei are seen again."""
        if EDITABLE in event.value.metadata:
            self._hold(None)
            nuclei: Nuclei = event.value.metadata[_EDITS]
            nuclei.editing = False
            if nuclei.layer is not None and nuclei is nuclei_on(self.viewer, slide_of(event.value)):
                nuclei.layer.visible = self._nuclei_visible
            self.on_slide()


def _under(labels: NDArray[np.integer], places: NDArray[np.floating]) -> NDArray[np.integer]:
    """Return the labels under a line of places (M, 2)."""
    points = np.rint(places).astype(int)
    points = np.concatenate([points, points[-1:]])
    found = [np.stack(pixels_of_line(*a, *b), 1) for a, b in pairwise(points)]
    y, x = np.concatenate(found).T
    inside = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
    return np.unique(labels[y[inside], x[inside]])
