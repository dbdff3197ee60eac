"""The Ask dock: a conversation about exactly what is on the screen, whose answers point at places."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]  # qtpy hands it on
from qtpy.QtGui import QGuiApplication, QKeyEvent
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QPushButton

from ..chat import Answer
from ..chat.conversations import Conversation
from ..chat.suggestions import suggestions
from ..errors import HwsiError
from ..slides import Slide
from ..viewer.evidence import show_evidence
from ..viewer.layers import show_result
from ..viewer.outlines import highlight
from ..viewer.region import fly_to
from ..viewer.state import part_layer, require_slide_layer, result_of, slide_layers, slide_of
from . import tooltips
from .again import Again
from .answerers import AnswererBox
from .asking import Analysed, Plan, Said, answering, keeping, reading, writing
from .dock import Dock, bind_keys
from .history import DELETE, History
from .paper import ask_where
from .preview import Preview
from .scope import ABOUT, ScopeButtons
from .suggestions import Suggestions
from .talk import CHECK, COPY, EDIT, REPEAT, Talk, Turn
from .talks import Talks
from .task import Task, in_words

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

_LAYOUT_MS, _REST_MS = 300, 400


class AskDock(Dock):
    """Asks, streams the answer, and shows what it rests on.

    answered: emitted with the Answer when it is complete and shown; checked: with the Answer about which more
    was found out; refused: with a line of words when there will be none; saved: with the file of a document.
    """

    answered = Signal(object)
    checked = Signal(object)
    refused = Signal(str)
    saved = Signal(object)

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._asked: list[str] = []
        self._recalled = 0
        self._outlined: Turn | None = None
        self._following = False
        self._edited: Turn | None = None
        self._keeping: Task | None = None
        self._beside: dict[Slide | None, Hierarchy] = {}  # results whose conversations were read
        self.scope_box = ScopeButtons()
        self.answerer_box = AnswererBox(self.task)
        self.again = Again(self)
        self.history = History()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("About", self.scope_box)
        form.addRow("By", self.answerer_box)
        form.addRow(self.answerer_box.what)
        form.addRow(self.answerer_box.server)
        self.top.addLayout(form)
        self.top.addWidget(self.history)
        self.preview = Preview()
        self.suggestions = Suggestions()
        self.talks = Talks()
        self.body.addWidget(self.preview)
        self.body.addWidget(self.talks)
        self.body.addWidget(self.suggestions)
        self.body.addStretch(1)
        self.question = QLineEdit()
        self.question.setPlaceholderText("Ask about the visible region…")
        self.question.setToolTip(tooltips.QUESTION)
        self.question.setAccessibleName("Question")
        self.question.installEventFilter(self)
        self.ask_button = QPushButton("Ask")
        line = QHBoxLayout()
        line.addWidget(self.question, 1)
        line.addWidget(self.ask_button)
        self.bottom.addLayout(line)
        self.question.returnPressed.connect(self._send)
        self.ask_button.clicked.connect(self._send)
        self.history.new.connect(self.begin)
        self.history.chosen.connect(lambda row: self.talks.show_talk(self.talks.here[row]))
        self.history.wanted.connect(self._on_menu)
        self.suggestions.asked.connect(self.ask)
        self.talks.chosen.connect(self.show_place)
        self.talks.pointed.connect(self._on_pointed)
        self.talks.wanted.connect(self._on_action)
        self.again.found.connect(self._on_found)
        self.task.cancel_button.setText("Stop")
        self.task.cancel_button.setToolTip(tooltips.STOP)
        self.needs_slide(self.ask_button)
        self.task.busy_changed.connect(lambda busy: self.answerer_box.test_button.setEnabled(not busy))
        self.task.busy_changed.connect(self._follow)
        self._bar = self.scroll_area.verticalScrollBar()
        assert self._bar is not None  # Qt's stubs allow for none
        self._bar.rangeChanged.connect(self._scroll_down)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._suggest)
        self.talks.changed.connect(self._on_talks)
        self.scope_box.currentTextChanged.connect(self._on_scope)
        self.answerer_box.changed.connect(self._on_view)
        self.viewer.scene.camera.events.center.connect(self._on_view)
        self.viewer.scene.camera.events.zoom.connect(self._on_view)
        self._bind_keys()
        self.setFocusProxy(self.question)
        self.refresh()

    def on_slide(self) -> None:
        """Go on with the conversation about this slide; those of a slide that was closed go with it."""
        self._outlined = None
        if self.talks.use(
            self.slide, {slide_of(layer) for layer in slide_layers(self.viewer)} | {self.slide}
        ):
            self._read_kept()
        self._on_view()

    @property
    def talk(self) -> Talk:
        """The conversation that is shown."""
        return self.talks.shown

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

    def begin(self) -> None:
        """Begin a new conversation; the others stay in the list."""
        self._edited = None
        self.talks.begin_anew()
        self.question.setFocus()

    def delete(self) -> None:
        """Delete the conversation that is shown."""
        if self.job_layer is self.layer:
            self.task.cancel()
        self.talks.delete_shown()
        self._keep(self.layer)

    def check(self, turn: Turn) -> None:
        """Ask the turn's question again with the image changed; a remote server waits for consent first."""
        self.again.check(turn)

    def save(self, file: str, entry: str) -> None:
        """Write the conversation, or a report drafted from it, as PDF, HTML or Markdown; in a thread."""
        layer, answers = require_slide_layer(self.viewer), tuple(self.talk.answers())
        self.start(layer, "Writing…", writing(layer, answers, file, entry), self.saved.emit)

    def show_place(self, turn: Turn, row: int) -> None:
        """Outline the places of a turn and fly to one of them."""
        if self.layer is not None and self._point(self.layer, turn, row):
            place = turn.evidence[row]
            self.task.attempt(lambda: fly_to(self.viewer, self.layer, place.box))

    def eventFilter(self, source: QObject | None, event: QEvent | None) -> bool:
        """Qt: in the question line, Up and Down bring back earlier questions, Esc stops, Alt+1 to Alt+9 fly
        to the places of the last answer.
        """
        if source is self.question and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self._asked:
                self._recall(-1 if key == Qt.Key.Key_Up else 1)
                return True
            if event.modifiers() & Qt.KeyboardModifier.AltModifier and Qt.Key.Key_1 <= key <= Qt.Key.Key_9:
                self._fly_to_last(key - Qt.Key.Key_1)
                return True
            if key == Qt.Key.Key_Escape and (self.task.busy or self._edited is not None):
                self.stop()
                self._edited = None
                return True
        return bool(super().eventFilter(source, event))

    def _bind_keys(self) -> None:
        """Let keys do what the buttons of the last answer do."""
        edit, check = partial(self._act_on_last, EDIT), partial(self._act_on_last, CHECK)
        bind_keys(self, {"Ctrl+Shift+N": self.begin, "Ctrl+Shift+E": edit, "Ctrl+Shift+K": check})

    def _fly_to_last(self, row: int) -> None:
        if self.talk.turns and row < len(self.talk.turns[-1].evidence):
            self.show_place(self.talk.turns[-1], row)

    def _act_on_last(self, name: str) -> None:
        if self.talk.turns and self.talk.turns[-1].answer is not None:
            self._on_action(self.talk.turns[-1], name)

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
        if self.answerer_box.chosen.picture:
            self.preview.want(slide, scope.box)
        self._asked.append(question)
        self._recalled = len(self._asked)
        if self._edited is not None:
            self.talks.branch(self._edited)
            self._edited = None
        history = tuple(self.talk.answers())
        turn = self.talks.begin_turn(question, ABOUT[self.scope_box.currentText()])
        self._on_talks()
        plan = Plan(layer, scope.box, question, answerer, history)
        self.start(
            layer,
            "Reading the view…",
            answering(plan),
            lambda answer: self._over(layer, turn, answer),
            lambda piece: self._on_piece(layer, turn, piece),
            lambda error: self._failed(turn, error),
        )

    def _on_piece(self, layer: Image, turn: Turn, piece: Any) -> None:
        if isinstance(piece, Analysed):
            show_result(self.viewer, layer, piece.result, piece.data)
        elif isinstance(piece, Said):
            turn.status.setText(piece.words)
        else:
            turn.add(piece)

    def _over(self, layer: Image, turn: Turn, answer: Answer) -> None:
        self._outlined = None
        self._point(layer, turn, -1)
        self._keep(layer)
        self._on_talks()
        self.answered.emit(answer)
        if self.history.always.isChecked() and layer is self.layer:
            self.check(turn)

    def _failed(self, turn: Turn, error: Exception) -> None:
        turn.status.setText(in_words(error))
        self.refused.emit(in_words(error))

    def _on_action(self, turn: Turn, name: str) -> None:
        if name == COPY and turn.answer is not None:
            clipboard = QGuiApplication.clipboard()
            assert clipboard is not None  # there is one where there is a window
            clipboard.setText(f"{turn.question}\n\n{turn.answer}")
            self.task.say("Copied.")
        elif name == EDIT:
            self._edited = turn
            self.question.setText(turn.question)
            self.question.setFocus()
        elif name == CHECK:
            self.check(turn)
        elif name == REPEAT:
            self.again.repeat(turn)
        else:
            self.again.show_menu(turn)

    def _on_found(self, layer: Image, turn: Turn, answer: Answer) -> None:
        """Something was found out about an answer: more places are outlined, and all is kept."""
        if any(place.source == "occlusion" for place in answer.evidence):
            self._outlined = None
            self._point(layer, turn, -1)
        self._keep(layer)
        self.checked.emit(answer)

    def _on_menu(self, entry: str) -> None:
        if entry == DELETE:
            self.delete()
            return
        if not self.talk.answers():
            self.task.say("Nothing is answered yet in this conversation.")
            return
        file = ask_where(self, entry)
        if file:
            self.task.attempt(lambda: self.save(file, entry))

    def _on_talks(self) -> None:
        here = self.talks.here
        self.history.show_titles([talk.title for talk in here], here.index(self.talk))
        self._rest.start()

    def _read_kept(self) -> None:
        """Bring back, in a thread, what was asked about this slide before."""
        layer, slide = self.layer, self.slide
        if layer is None:
            return
        task = Task(reading(layer), parent=self)
        task.succeeded.connect(lambda found: self._on_kept(slide, *found))
        task.failed.connect(lambda error: self.task.say(in_words(error)))
        task.start()

    def _on_kept(self, slide: Slide | None, result: Hierarchy | None, kept: tuple[Conversation, ...]) -> None:
        if result is not None:
            self._beside[slide] = result
        self.talks.add_kept(slide, kept)

    def _keep(self, layer: Image | None) -> None:
        """Write the conversations of a slide beside its result, in a thread, one writing after the other."""
        slide = None if layer is None else slide_of(layer)
        result = None if layer is None else result_of(layer) or self._beside.get(slide)
        if result is None:
            return
        self._keeping = Task(keeping(result, self.talks.of(slide)), after=self._keeping, parent=self)
        self._keeping.failed.connect(lambda error: self.task.say(in_words(error)))
        self._keeping.start()

    def _on_pointed(self, turn: Turn, row: int) -> None:
        if self.layer is not None:
            self._point(self.layer, turn, row)

    def _point(self, layer: Image, turn: Turn, row: int) -> bool:
        """Outline the places of a turn on its slide, one of them thicker; return whether there are any."""
        slide = slide_of(layer)
        if slide is None or not turn.evidence:
            return False
        outlines = part_layer(self.viewer, slide, "evidence", turn.question)
        if outlines is None or self._outlined is not turn:
            outlines = show_evidence(self.viewer, layer, turn.evidence, turn.question)
            self._outlined = turn
        highlight(outlines, row)
        return True

    def _on_scope(self, name: str) -> None:
        self.question.setPlaceholderText(f"Ask {ABOUT[name][0].lower()}{ABOUT[name][1:]}…")
        self._on_view()

    def _on_view(self, event: Any = None) -> None:
        """Keep the preview and the suggestions true to what would be asked about."""
        self._rest.start()
        if not self.answerer_box.chosen.picture or self.slide is None:
            self.preview.clear()
            return
        try:
            scope = self.scope_box.scope(self.viewer, require_slide_layer(self.viewer))
        except HwsiError as error:
            self.preview.clear(in_words(error))
        else:
            self.preview.want(self.slide, scope.box)

    def _suggest(self) -> None:
        """Offer questions that suit what is on the screen, unless an answer is being given."""
        layer, slide = self.layer, self.slide
        questions: tuple[str, ...] = ()
        if layer is not None and slide is not None and not self.task.busy:
            try:
                box = self.scope_box.scope(self.viewer, layer).box
                questions = suggestions(slide.mpp, box, result_of(layer), self.answerer_box.is_server)
            except HwsiError:  # nothing of the slide is there to ask about
                questions = ()
        self.suggestions.show_questions(questions)

    def _follow(self, busy: bool) -> None:
        """Keep the end of the talk in view while it grows, and a moment longer, for the last layout."""
        if busy:
            self._following = True
            self.suggestions.show_questions(())
        else:
            QTimer.singleShot(_LAYOUT_MS, lambda: setattr(self, "_following", self.task.busy))
            self._rest.start()

    def _scroll_down(self, least: int, most: int) -> None:
        if self._following and self._bar is not None:
            self._bar.setValue(most)
