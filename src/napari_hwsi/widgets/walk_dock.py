"""The Walk dock: a model walks the slide, or your own viewing is recorded; drawn, replayed, kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QSpinBox,
)

from ..chat.server import ChatServer
from ..chat.walk import Budget, Step, Walk, walk_stream
from ..errors import InputError
from ..progress import Progress
from ..viewer.recorder import Recorder
from ..viewer.region import fly_to
from ..viewer.results import result_for
from ..viewer.state import require_slide_layer, slide_of
from ..viewer.walked import show_walk
from . import tooltips
from .dock import Dock, wrapped

_LOOK_MS, _REPLAY_MS = 250, 1400


class WalkDock(Dock):
    """Walks of the slide that is worked on."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.walk: Walk | None = None
        """The walk that is shown."""
        self._recorder: Recorder | None = None
        self._timer, self._replay_timer = QTimer(self), QTimer(self)
        self._timer.timeout.connect(self._look)
        self._replay_timer.timeout.connect(self._next)
        self._at = 0
        self.question, self.address, self.model = QLineEdit(), QLineEdit(), QLineEdit()
        self.question.setPlaceholderText("What is to be found out?")
        self.address.setPlaceholderText("http://localhost:11434/v1")
        self.address.setToolTip(tooltips.ADDRESS)
        self.model.setPlaceholderText("a model that sees")
        self.steps_box = QSpinBox()
        self.steps_box.setRange(1, 100)
        self.steps_box.setValue(12)
        self.steps_box.setToolTip(tooltips.WALK_STEPS)
        self.sent = wrapped(tooltips.WALK_SENT)
        self.start_button = self.button("Let it walk", tooltips.WALK, lambda: self._start(None))
        self.on_button = self.button("Go on", tooltips.WALK_ON, lambda: self._start(self.walk))
        group = QGroupBox("A model walks")
        form = QFormLayout(group)
        form.addRow("Question", self.question)
        form.addRow("Server", self.address)
        form.addRow("Model", self.model)
        form.addRow("Steps", self.steps_box)
        row = QHBoxLayout()
        row.addWidget(self.start_button)
        row.addWidget(self.on_button)
        form.addRow(row)
        form.addRow(self.sent)
        own = QGroupBox("Your own viewing")
        own_form = QFormLayout(own)
        self.record_button = self.button("Record", tooltips.RECORD, self._record)
        self.record_button.setCheckable(True)
        self.note_edit = QLineEdit()
        self.note_edit.setPlaceholderText("a note on what is in view")
        self.note_edit.returnPressed.connect(lambda: self.task.attempt(self._note))
        own_form.addRow(self.record_button)
        own_form.addRow("Note", self.note_edit)
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setMinimumHeight(160)
        self.list.setToolTip(tooltips.STEPS)
        self.list.currentRowChanged.connect(self._fly)
        self.answer = wrapped()
        self.replay_button = self.button("Replay", tooltips.REPLAY, self._replay)
        self.save_button = self.button("Save…", tooltips.SAVE_WALK, self._choose_save)
        self.open_button = self.button("Open…", tooltips.OPEN_WALK, self._choose_open)
        buttons = QHBoxLayout()
        for button in (self.replay_button, self.save_button, self.open_button):
            buttons.addWidget(button)
        for widget in (group, own, self.list, self.answer):
            self.body.addWidget(widget)
        self.body.addLayout(buttons)
        self.body.addStretch(1)
        self.refresh()

    def on_slide(self) -> None:
        """A walk belongs to its slide."""
        self._stop_recording()
        self._replay_timer.stop()
        slide = self.slide
        if self.walk is not None and (slide is None or self.walk.fingerprint != slide.fingerprint):
            self._show(None)

    def show_walk(self, walk: Walk) -> None:
        """Show a walk and draw it on the slide; raises InputError for one on another slide."""
        slide = slide_of(require_slide_layer(self.viewer))
        assert slide is not None  # a slide's layer has its slide
        show_walk(self.viewer, slide, walk)
        self._show(walk)

    def save(self, path: str | Path) -> None:
        """Save the walk as JSON; raises InputError where there is none."""
        if self.walk is None:
            raise InputError("There is no walk to save.")
        self.walk.save(path)
        self.task.say(f"Saved {len(self.walk.steps)} steps to {path}.")

    def _start(self, so_far: Walk | None) -> None:
        layer, question = require_slide_layer(self.viewer), self.question.text().strip()
        if not self.model.text().strip() or not self.address.text().strip():
            raise InputError("Give the address of a server and the name of a model that sees.")
        if not question:
            raise InputError("Say what the model is to find out.")
        endpoint = f"{ChatServer(self.address.text()).url}#{self.model.text().strip()}"
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        budget = Budget(self.steps_box.value())
        so_far = None if so_far is None or so_far.walker != "model" else so_far
        self._show(so_far or Walk(slide.fingerprint, question, "model", self.model.text().strip()))

        def work(progress: Progress, piece: Any) -> Walk:
            result = result_for(layer, None, progress)
            for event in walk_stream(
                result, question, endpoint, None, budget, so_far=so_far, progress=progress
            ):
                piece(event)
            assert isinstance(event, Walk)  # it ends with the walk
            return event

        def step(event: Step | Walk) -> None:
            if isinstance(event, Step) and self.walk is not None and layer is self.layer:
                self.show_walk(self.walk.with_step(event))
                if event.kind == "look" and event.box is not None:
                    fly_to(self.viewer, layer, event.box)

        def done(walk: Walk) -> None:
            if layer is self.layer:
                self.show_walk(walk)

        self.start(layer, "Walking…", work, done, step)

    def _record(self) -> None:
        if not self.record_button.isChecked():
            self._stop_recording()
            return
        layer = require_slide_layer(self.viewer)
        so_far = self.walk if self.walk is not None and self.walk.walker == "person" else None
        self._recorder = Recorder(self.viewer, layer, so_far)
        self._show(self._recorder.walk)
        self._timer.start(_LOOK_MS)
        self.record_button.setText("Stop recording")

    def _look(self) -> None:
        if self._recorder is not None and self._recorder.look() is not None:
            self.show_walk(self._recorder.walk)

    def _note(self) -> None:
        if self._recorder is None:
            raise InputError("Notes belong to a recording: press Record first.")
        self._recorder.note(self.note_edit.text())
        self.note_edit.clear()
        self.show_walk(self._recorder.walk)

    def _stop_recording(self) -> None:
        self._timer.stop()
        self._recorder = None
        self.record_button.setChecked(False)
        self.record_button.setText("Record")

    def _replay(self) -> None:
        if self._replay_timer.isActive():
            self._replay_timer.stop()
            return
        if not self.list.count():
            raise InputError("There is no walk to replay.")
        self._stop_recording()
        self._at = 0
        self._next()
        self._replay_timer.start(_REPLAY_MS)

    def _next(self) -> None:
        if self._at >= self.list.count():
            self._replay_timer.stop()
            return
        self.list.setCurrentRow(self._at)
        self._at += 1

    def _fly(self, row: int) -> None:
        layer = self.layer
        if self.walk is None or not 0 <= row < len(self.walk.steps) or not isinstance(layer, Image):
            return
        box = self.walk.steps[row].box
        if box is not None and self._recorder is None:  # what is recorded is not moved
            self.task.attempt(lambda: fly_to(self.viewer, layer, box))

    def _show(self, walk: Walk | None) -> None:
        self.walk = walk
        self.list.blockSignals(True)
        self.list.clear()
        for i, step in enumerate(() if walk is None else walk.steps, 1):
            self.list.addItem(f"{i}. {step}")
            item = self.list.item(i - 1)
            assert item is not None  # it was added
            item.setToolTip(step.told)
        self.list.scrollToBottom()
        self.list.blockSignals(False)
        said = walk is not None and bool(walk.answer)
        self.answer.setText(f"{walk.answer}\n\nIt ended because {walk.ended}." if walk and said else "")
        self._enable()

    def _enable(self) -> None:
        super()._enable()
        by_model = self.walk is not None and self.walk.walker == "model" and bool(self.walk.steps)
        self.on_button.setEnabled(by_model and not self.task.busy)

    def _choose_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save walk", "walk.json", "JSON (*.json)")
        if path:
            self.save(path)

    def _choose_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open walk", "", "JSON (*.json)")
        if path:
            self.show_walk(Walk.load(path))
