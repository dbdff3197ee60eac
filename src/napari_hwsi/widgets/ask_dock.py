"""The Ask dock: a conversation about exactly what is on the screen, whose answers point at places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]  # qtpy hands it on
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QPushButton

from ..chat import Answer, ask_stream
from ..errors import HwsiError
from ..progress import Progress
from ..slides import Slide
from ..viewer.layers import LayerData, result_data, show_evidence, show_result
from ..viewer.outlines import highlight
from ..viewer.region import fly_to
from ..viewer.results import result_for
from ..viewer.state import part_layer, require_slide_layer, result_of, slide_layers, slide_of
from . import tooltips
from .answerers import AnswererBox
from .dock import Dock
from .preview import Preview
from .scope import DRAWN, VISIBLE, WHOLE, Scope, ScopeBox
from .talk import Talk, Turn
from .task import in_words

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

_LAYOUT_MS = 300
_ABOUT = {VISIBLE: "About the visible region", DRAWN: "About what is drawn", WHOLE: "About the whole slide"}


class AskDock(Dock):
    """Asks, streams the answer, and shows what it rests on.

    answered: emitted with the Answer when it is complete and shown; refused: with a line of words
    when there will be none.
    """

    answered = Signal(object)
    refused = Signal(str)

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._asked: list[str] = []
        self._recalled = 0
        self._outlined: Turn | None = None
        self._following = False
        self.scope_box = ScopeBox()
        self.answerer_box = AnswererBox(self.task)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("About", self.scope_box)
        form.addRow("By", self.answerer_box)
        form.addRow(self.answerer_box.server)
        self.top.addLayout(form)
        self.preview = Preview()
        self.talk: Talk  # that of the slide
        self._talks: dict[Slide | None, Talk] = {}
        self.body.addWidget(self.preview)
        self.body.addStretch(1)
        self.question = QLineEdit()
        self.question.setPlaceholderText("Ask about the visible region…")
        self.question.setToolTip(tooltips.QUESTION)
        self.question.installEventFilter(self)
        self.ask_button = QPushButton("Ask")
        self.clear_button = QPushButton("New")
        self.clear_button.setToolTip(tooltips.CLEAR)
        line = QHBoxLayout()
        line.addWidget(self.question, 1)
        line.addWidget(self.ask_button)
        line.addWidget(self.clear_button)
        self.bottom.addLayout(line)
        self.question.returnPressed.connect(self._send)
        self.ask_button.clicked.connect(self._send)
        self.clear_button.clicked.connect(self.clear)
        self.task.cancel_button.setText("Stop")
        self.task.cancel_button.setToolTip(tooltips.STOP)
        self.needs_slide(self.ask_button)
        self.task.busy_changed.connect(lambda busy: self.answerer_box.test_button.setEnabled(not busy))
        self.task.busy_changed.connect(self._follow)
        self._bar = self.scroll_area.verticalScrollBar()
        assert self._bar is not None  # Qt's stubs allow for none
        self._bar.rangeChanged.connect(self._scroll_down)
        self.scope_box.currentTextChanged.connect(self._on_scope)
        self.answerer_box.changed.connect(self._on_view)
        self.viewer.scene.camera.events.center.connect(self._on_view)
        self.viewer.scene.camera.events.zoom.connect(self._on_view)
        self.setFocusProxy(self.question)
        self.refresh()

    def on_slide(self) -> None:
        """Go on with the conversation about this slide; that of a slide that was closed goes with it."""
        self._outlined = None
        open_now = {slide_of(layer) for layer in slide_layers(self.viewer)}
        for slide in [slide for slide in self._talks if slide not in open_now]:
            self._talks.pop(slide).deleteLater()
        if self.slide not in self._talks:
            self._talks[self.slide] = Talk()
            self.body.insertWidget(1, self._talks[self.slide])
        self.talk = self._talks[self.slide]
        for talk in self._talks.values():
            talk.setVisible(talk is self.talk)
        self._on_view()

    def ask(self, question: str) -> None:
        """Ask, in a thread; ``answered`` or ``refused`` tells when it is over."""
        try:
            self._start(question)
        except HwsiError as error:
            self.task.say(in_words(error))
            self.refused.emit(in_words(error))

    def stop(self) -> None:
        """Stop the answer; its text so far stays."""
        self.task.cancel()

    def clear(self) -> None:
        """Begin a new conversation."""
        if self.job_layer is self.layer:
            self.task.cancel()
        self.talk.clear()
        self._outlined = None

    def show_place(self, turn: Turn, row: int) -> None:
        """Outline the places of a turn and fly to one of them."""
        if self.layer is not None and self._point(self.layer, turn, row):
            place = turn.evidence[row]
            self.task.attempt(lambda: fly_to(self.viewer, self.layer, place.box))

    def eventFilter(self, source: QObject | None, event: QEvent | None) -> bool:
        """Qt: in the question line, Up and Down bring back earlier questions, Esc stops."""
        if source is self.question and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self._asked:
                self._recall(-1 if key == Qt.Key.Key_Up else 1)
                return True
            if key == Qt.Key.Key_Escape and self.task.busy:
                self.stop()
                return True
        return bool(super().eventFilter(source, event))

    def _recall(self, step: int) -> None:
        """Show an older or a younger question; past the youngest an empty line."""
        self._recalled = min(max(self._recalled + step, 0), len(self._asked))
        self.question.setText([*self._asked, ""][self._recalled])

    def _send(self) -> None:
        question = self.question.text().strip()
        if question and not self.task.busy:
            self.question.clear()
            self.ask(question)

    def _start(self, question: str) -> None:
        layer = require_slide_layer(self.viewer)
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        answerer = self.answerer_box.name
        scope = self.scope_box.scope(self.viewer, layer)
        if self.answerer_box.is_server:
            self.preview.want(slide, scope.box)
        self._asked.append(question)
        self._recalled = len(self._asked)
        turn = self.talk.begin(question, _ABOUT[self.scope_box.currentText()])
        turn.chosen.connect(self.show_place)
        turn.pointed.connect(lambda turn, row: self._point(layer, turn, row))
        history = self.talk.answers()
        work = _work(layer, scope, question, answerer, history)
        self.start(
            layer,
            "Reading the view…",
            work,
            lambda answer: self._over(layer, turn, answer),
            lambda piece: self._on_piece(layer, turn, piece),
            lambda error: self._failed(turn, error),
        )

    def _on_piece(self, layer: Image, turn: Turn, piece: Any) -> None:
        if isinstance(piece, _Analysed):
            show_result(self.viewer, layer, piece.result, piece.data)
        elif isinstance(piece, _Said):
            turn.status.setText(piece.words)
        else:
            turn.add(piece)

    def _over(self, layer: Image, turn: Turn, answer: Answer) -> None:
        self._outlined = None
        self._point(layer, turn, -1)
        self.answered.emit(answer)

    def _failed(self, turn: Turn, error: Exception) -> None:
        turn.status.setText(in_words(error))
        self.refused.emit(in_words(error))

    def _point(self, layer: Image, turn: Turn, row: int) -> bool:
        """Outline the places of a turn on its slide, one of them thicker; return whether there are any."""
        slide = slide_of(layer)
        if slide is None or not turn.evidence:
            return False
        outlines = part_layer(self.viewer, slide, "evidence")
        if outlines is None or self._outlined is not turn:
            outlines = show_evidence(self.viewer, layer, turn.evidence)
            self._outlined = turn
        highlight(outlines, row)
        return True

    def _on_scope(self, name: str) -> None:
        self.question.setPlaceholderText(f"Ask {_ABOUT[name][0].lower()}{_ABOUT[name][1:]}…")
        self._on_view()

    def _on_view(self, event: Any = None) -> None:
        """Keep the preview true to what would be sent."""
        if not self.answerer_box.is_server or self.slide is None:
            self.preview.clear()
            return
        try:
            scope = self.scope_box.scope(self.viewer, require_slide_layer(self.viewer))
        except HwsiError as error:
            self.preview.clear(in_words(error))
        else:
            self.preview.want(self.slide, scope.box)

    def _follow(self, busy: bool) -> None:
        """Keep the end of the talk in view while it grows, and a moment longer, for the last layout."""
        if busy:
            self._following = True
        else:
            QTimer.singleShot(_LAYOUT_MS, self._stop_following)

    def _stop_following(self) -> None:
        self._following = self.task.busy

    def _scroll_down(self, least: int, most: int) -> None:
        if self._following and self._bar is not None:
            self._bar.setValue(most)


class _Said:
    """Words on what is being done."""

    def __init__(self, words: str) -> None:
        self.words = words


class _Analysed:
    """A result that has grown, with its layers made ready in the thread."""

    def __init__(self, result: Hierarchy, data: list[LayerData]) -> None:
        self.result, self.data = result, data


def _work(layer: Image, scope: Scope, question: str, answerer: str, history: list[Answer]) -> Any:
    """Return what runs in the thread: analyse what is not, then answer piece by piece."""
    slide, known = slide_of(layer), result_of(layer)
    assert slide is not None

    def work(progress: Progress, piece: Any) -> Answer:
        # About the whole slide is about what is analysed of it; a view is completed first.
        if known is None or (scope.box is not None and not known.covers(scope.box)):
            piece(_Said("This part is not analysed yet; that comes first, and is kept."))
        result = result_for(layer, scope.box, progress)
        grows = scope.box is not None and not result.covers(scope.box)
        answer = None
        try:
            for event in ask_stream(result, question, scope.box, answerer, history, progress=progress):
                if isinstance(event, Answer):
                    answer = event
                piece(event)
        finally:  # also when stopped: what was finished is in the result
            if grows:
                result.refresh()
        assert answer is not None  # the stream ends with it
        if grows or result is not known:
            piece(_Analysed(result, result_data(result, slide)))
        return answer

    return work
