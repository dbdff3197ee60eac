"""A conversation on the screen: questions, answers as plain text, and chips for what they rest on."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QEnterEvent, QResizeEvent
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..chat.answer import Answer, mpp_in_words
from ..evidence import Evidence
from . import tooltips
from .dock import wrapped

_CHIP_MARGIN = 8


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
    """One question and its answer, growing as it comes."""

    chosen = Signal(object, int)
    pointed = Signal(object, int)  # -1: at none

    def __init__(self, question: str, about: str) -> None:
        super().__init__()
        self.question = question
        self.answer: Answer | None = None
        self.evidence: list[Evidence] = []
        self.chips: list[Chip] = []
        asked = wrapped(question)
        font = asked.font()
        font.setBold(True)
        asked.setFont(font)
        self.text = wrapped()
        self.text.hide()
        self.status = _small(about)
        self._places = QVBoxLayout()
        self._places.setSpacing(2)
        self._notes = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (asked, self.text, self._places, self.status, self._notes):
            layout.addLayout(part) if isinstance(part, QVBoxLayout) else layout.addWidget(part)
        self.setObjectName("turn")
        self.setStyleSheet("#turn { background: rgba(128, 128, 128, 40); border-radius: 6px; }")

    def add(self, piece: Any) -> None:
        """Add what :func:`napari_hwsi.ask_stream` yields: text, a place, or at last the answer."""
        if isinstance(piece, str):
            self._say(self.text.text() + piece)
        elif isinstance(piece, Evidence):
            self._add_place(piece)
        elif isinstance(piece, Answer):
            self._finish(piece)

    def _say(self, text: str) -> None:
        self.text.setText(text)
        self.text.show()

    def _add_place(self, place: Evidence) -> None:
        row = len(self.evidence)
        chip = Chip(row + 1, place)
        chip.clicked.connect(lambda: self.chosen.emit(self, row))
        chip.entered.connect(lambda: self.pointed.emit(self, row))
        chip.left.connect(lambda: self.pointed.emit(self, -1))
        self.evidence.append(place)
        self.chips.append(chip)
        self._places.addWidget(chip)

    def _finish(self, answer: Answer) -> None:
        self.answer = answer
        self._say(answer.text.strip())
        for place in answer.evidence[len(self.evidence) :]:
            self._add_place(place)
        by = answer.answerer if answer.model is None else f"{answer.model}"
        seen = "" if answer.picture_mpp is None else f", picture at {mpp_in_words(answer.picture_mpp)}"
        self.status.setText(f"{by} ({answer.where}{seen})")
        for note in answer.notes:
            self._notes.addWidget(_small(note))


class Talk(QWidget):
    """The turns of a conversation, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[Turn] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def begin(self, question: str, about: str) -> Turn:
        """Add a turn for a question."""
        turn = Turn(question, about)
        self.turns.append(turn)
        self._layout.addWidget(turn)
        return turn

    def answers(self) -> list[Answer]:
        """Return the answers given so far."""
        return [turn.answer for turn in self.turns if turn.answer is not None]

    def clear(self) -> None:
        """Forget the conversation."""
        for turn in self.turns:
            turn.deleteLater()
        self.turns.clear()


def _small(text: str) -> QLabel:
    label = wrapped(text)
    font = label.font()
    font.setPointSizeF(font.pointSizeF() * 0.85)
    font.setItalic(True)
    label.setFont(font)
    return label
