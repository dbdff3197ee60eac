"""The conversations about the slides that are open, of which one is on the screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..chat.conversations import Conversation
from ..slides import Slide
from .talk import Talk, Turn


class Talks(QWidget):
    """All conversations; :attr:`shown` is the one that is seen. Signals are those of its turns.

    changed: the list of conversations, or which is shown.
    """

    chosen = Signal(object, int)
    pointed = Signal(object, int)
    wanted = Signal(object, str)
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[Slide | None, list[Talk]] = {}
        self._last: dict[Slide | None, Talk] = {}
        self._slide: Slide | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    @property
    def shown(self) -> Talk:
        """The conversation that is seen."""
        return self._last[self._slide]

    @property
    def here(self) -> list[Talk]:
        """The conversations about the slide that is worked on, oldest first."""
        return self._of[self._slide]

    def of(self, slide: Slide | None) -> list[Conversation]:
        """Return the conversations about a slide as they stand."""
        return [Conversation(tuple(talk.answers())) for talk in self._of.get(slide, ())]

    def use(self, slide: Slide | None, still_open: Collection[Slide | None]) -> bool:
        """Show the last conversation about a slide; return whether the slide was not known before.

        Those about slides that are no longer open are forgotten.
        """
        for closed in [known for known in self._of if known not in still_open]:
            self._last.pop(closed)
            for talk in self._of.pop(closed):
                talk.deleteLater()
        new = slide not in self._of
        self._slide = slide
        if new:
            self._of[slide] = []
            self._last[slide] = self._add()
        self.show_talk(self.shown)
        return new

    def show_talk(self, talk: Talk) -> None:
        """Show one of the conversations about this slide."""
        self._last[self._slide] = talk
        for each in (one for talks in self._of.values() for one in talks):
            each.setVisible(each is talk)
        self.changed.emit()

    def begin_anew(self) -> None:
        """Show a conversation that is still empty."""
        empty = [talk for talk in self.here if not talk.turns]
        self.show_talk(empty[0] if empty else self._add())

    def begin_turn(self, question: str, about: str = "", talk: Talk | None = None) -> Turn:
        """Add a turn to a conversation, the one that is shown where None."""
        turn = (talk or self.shown).begin(question, about)
        turn.chosen.connect(self.chosen)
        turn.pointed.connect(self.pointed)
        turn.wanted.connect(self.wanted)
        return turn

    def branch(self, turn: Turn) -> None:
        """Show a new conversation that goes on from before a turn of the one that is shown."""
        before = self.shown.turns[: self.shown.turns.index(turn)] if turn in self.shown.turns else []
        talk = self._add()
        self._fill(talk, Conversation(tuple(each.answer for each in before if each.answer is not None)))
        self.show_talk(talk)

    def delete_shown(self) -> None:
        """Forget the conversation that is shown, and show the youngest of the others."""
        talk = self.shown
        self.here.remove(talk)
        self.show_talk(self.here[-1] if self.here else self._add())
        talk.deleteLater()

    def add_kept(self, slide: Slide | None, kept: Sequence[Conversation]) -> None:
        """Put conversations from before the others; the youngest is shown where nothing was asked yet."""
        if slide not in self._of or not kept:
            return
        now, self._of[slide] = self._of[slide], []
        for conversation in kept:
            self._fill(self._add(slide), conversation)
        if not any(talk.turns for talk in now):
            self._last[slide] = self._of[slide][-1]
        self._of[slide] += now
        self.show_talk(self.shown)

    def _add(self, slide: Slide | None = None) -> Talk:
        talk = Talk()
        talk.hide()
        self._layout.addWidget(talk)
        self._of[slide or self._slide].append(talk)
        return talk

    def _fill(self, talk: Talk, conversation: Conversation) -> None:
        for answer in conversation.answers:
            self.begin_turn(answer.question, talk=talk).add(answer)
