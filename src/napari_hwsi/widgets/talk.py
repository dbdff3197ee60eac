"""A conversation on the screen: questions, answers as plain text, and chips for what they rest on."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QEnterEvent, QPalette, QResizeEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..chat import Picture
from ..chat.answer import Answer, choices_in_words, mpp_in_words
from ..chat.conversations import Conversation
from ..chat.rendering import PLACE, UNFOUNDED, as_html, plain_html
from ..evidence import Evidence
from . import tooltips
from .checks import CheckView
from .dock import small, wrapped
from .picture import PictureView

COPY, EDIT, CHECK, REPEAT, MORE = "Copy", "Edit", "Check", "Repeat", "More"
MOST_CHIPS = 24

_CHIP_MARGIN = 8
_LINKS = ("#0b5cad", "#7cc4ff")  # on light, on dark
_LINKED = (
    Qt.TextInteractionFlag.TextSelectableByMouse
    | Qt.TextInteractionFlag.LinksAccessibleByMouse
    | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
)


class Chip(QPushButton):
    """A place that an answer rests on: its number and what is there, on as many lines as it takes."""

    entered = Signal()
    left = Signal()

    def __init__(self, rank: int, place: Evidence) -> None:
        super().__init__()
        self.place = place
        self.words = wrapped(f"{rank} · {place.note or place.scale}")
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self.words.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.words.setParent(self)
        score = "" if place.score is None else f", score {place.score:.4g}"
        # A note may be a model's words: escaped, so that no markup of theirs is drawn.
        self.setToolTip(f"<qt>{html.escape(f'{place}{score}')}<br>{html.escape(tooltips.CHIP)}</qt>")
        self.setAccessibleName(self.words.text())
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Qt: be as high as the words are at this width; a button does not do so by itself."""
        super().resizeEvent(event)
        width = self.width() - 2 * _CHIP_MARGIN
        height = self.words.heightForWidth(width)
        self.words.setGeometry(_CHIP_MARGIN, 3, width, height)
        self.setFixedHeight(height + 6)

    def enterEvent(self, event: QEnterEvent | None) -> None:
        """Qt: the pointer has come."""
        super().enterEvent(event)
        self.entered.emit()

    def leaveEvent(self, event: QEvent | None) -> None:
        """Qt: the pointer has gone."""
        super().leaveEvent(event)
        self.left.emit()


class Turn(QFrame):
    """One question and its answer, growing as it comes.

    chosen: a place was clicked; pointed: the pointer is on it, -1: on none; wanted: a button was pressed,
    COPY, EDIT, CHECK, REPEAT or MORE.
    """

    chosen = Signal(object, int)
    pointed = Signal(object, int)
    wanted = Signal(object, str)

    def __init__(self, question: str, about: str = "") -> None:
        super().__init__()
        self.question = question
        self.answer: Answer | None = None
        self.evidence: list[Evidence] = []
        self.chips: list[Chip] = []
        self.said = ""
        asked = wrapped(question)
        font = asked.font()
        font.setBold(True)
        asked.setFont(font)
        self.text = wrapped()
        self.text.linkActivated.connect(self._follow)
        self.picture = PictureView(tallest=110)
        self.picture.setToolTip(tooltips.SENT)
        self.status = small(about)
        self.more = small()
        self.check = CheckView()
        self._places = QVBoxLayout()
        self._places.setSpacing(2)
        self._notes = QVBoxLayout()
        self.action_row = QWidget()
        buttons = QHBoxLayout(self.action_row)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(2)
        self.buttons = {name: self._action(name, buttons) for name in (COPY, EDIT, CHECK, REPEAT, MORE)}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (asked, self.text, self._places, self.more, self.picture, self.status, self._notes):
            layout.addLayout(part) if isinstance(part, QVBoxLayout) else layout.addWidget(part)
        layout.addWidget(self.check)
        layout.addWidget(self.action_row)
        for hidden in (self.text, self.more, self.action_row):
            hidden.hide()
        self.setObjectName("turn")
        self.setStyleSheet("#turn { background: rgba(128, 128, 128, 40); border-radius: 6px; }")

    def add(self, piece: Any) -> None:
        """Add what :func:`napari_hwsi.ask_stream` yields, or the picture that is sent."""
        if isinstance(piece, str):
            self._say(self.said + piece)
        elif isinstance(piece, Evidence):
            self._add_place(piece)
        elif isinstance(piece, Picture):
            self.picture.show_pixels(piece.pixels)
        elif isinstance(piece, Answer):
            self._finish(piece)

    def changeEvent(self, event: QEvent | None) -> None:
        """Qt: with another theme links have another colour."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._render()

    def _say(self, text: str) -> None:
        self.said = text
        self.text.setText(text)
        self.text.show()

    def _render(self) -> None:
        """Draw the words of the whole answer as the harmless HTML they are made into."""
        if getattr(self, "answer", None) is None or self.answer is None:  # Qt calls before it is made
            return
        statements = self.answer.statements
        body = as_html(statements) if statements else plain_html(self.answer.text)
        dark = self.text.palette().color(QPalette.ColorRole.WindowText).lightness() > 127
        page = f"<style>a {{ color: {_LINKS[dark]}; }} p {{ margin: 0 0 4px 0; }}</style>{body}"
        if self.text.text() != page:
            self.text.setTextFormat(Qt.TextFormat.RichText)
            self.text.setTextInteractionFlags(_LINKED)
            self.text.setText(page)

    def _follow(self, link: str) -> None:
        row = link.removeprefix(PLACE)
        if link.startswith(PLACE) and row.isdigit() and int(row) < len(self.evidence):
            self.chosen.emit(self, int(row))

    def _add_place(self, place: Evidence) -> None:
        row = len(self.evidence)
        self.evidence.append(place)
        if row >= MOST_CHIPS:
            self.more.setText(f"and {row + 1 - MOST_CHIPS:,} more places, outlined on the slide")
            self.more.show()
            return
        chip = Chip(row + 1, place)
        chip.clicked.connect(lambda: self.chosen.emit(self, row))
        chip.entered.connect(lambda: self.pointed.emit(self, row))
        chip.left.connect(lambda: self.pointed.emit(self, -1))
        self.chips.append(chip)
        self._places.addWidget(chip)

    def _clear_places(self) -> None:
        self.more.hide()
        self.evidence.clear()
        for chip in self.chips:
            self._places.removeWidget(chip)
            chip.deleteLater()
        self.chips.clear()

    def _finish(self, answer: Answer) -> None:
        first = self.answer is None
        self.answer = answer
        self._say(answer.text.strip())
        self._render()
        if list(answer.evidence[: len(self.evidence)]) != self.evidence:
            self._clear_places()
        for place in answer.evidence[len(self.evidence) :]:
            self._add_place(place)
        by = answer.answerer if answer.model is None else f"{answer.model}"
        seen = "" if answer.picture_mpp is None else f", picture at {mpp_in_words(answer.picture_mpp)}"
        self.status.setText(f"{by} ({answer.where}{seen})")
        if first:
            notes = list(answer.notes)
            if any(not rows for _, rows in answer.statements):
                notes.append(f"{UNFOUNDED} names no place.")
            if answer.choices:
                notes.append(f"Could have begun with: {choices_in_words(answer.choices)}.")
            for note in notes:
                self._notes.addWidget(small(note))
        if answer.dependence is not None:
            self.check.show_dependence(answer.dependence)
        if answer.repeats is not None:
            self.check.show_repeats(answer.repeats)
        self.buttons[REPEAT].setVisible(answer.model is not None)
        self.action_row.show()

    def _action(self, name: str, row: QHBoxLayout) -> QPushButton:
        button = QPushButton(name)
        button.setToolTip(tooltips.TURN[name])
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setStyleSheet("QPushButton { padding: 2px 1px; }")
        button.clicked.connect(lambda: self.wanted.emit(self, name))
        row.addWidget(button, 1)
        return button


class Talk(QWidget):
    """The turns of a conversation, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[Turn] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    @property
    def title(self) -> str:
        """What the list of conversations calls it."""
        answered = Conversation(tuple(self.answers()))
        return answered.title if answered.answers or not self.turns else self.turns[0].question

    def begin(self, question: str, about: str = "") -> Turn:
        """Add a turn for a question."""
        turn = Turn(question, about)
        self.turns.append(turn)
        self._layout.addWidget(turn)
        return turn

    def answers(self) -> list[Answer]:
        """Return the answers given so far."""
        return [turn.answer for turn in self.turns if turn.answer is not None]
