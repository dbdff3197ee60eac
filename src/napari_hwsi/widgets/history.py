"""The conversations about a slide: a list of them, a new one, and what can be done with one."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QAction  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QMenu, QPushButton, QSizePolicy, QWidget

from . import tooltips
from .dock import narrow

SAVE, REPORT, DELETE = "Save the conversation…", "Draft a report…", "Delete the conversation"


class History(QWidget):
    """Chooses a conversation. Signals: the row chosen; a new one is wanted; an entry of the menu."""

    chosen = Signal(int)
    new = Signal()
    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.titles = narrow(QComboBox())
        self.titles.setToolTip(tooltips.CONVERSATIONS)
        self.titles.setAccessibleName("Conversation")
        self.titles.activated.connect(self.chosen)
        self.new_button = _button("New", tooltips.NEW_CONVERSATION)
        self.new_button.clicked.connect(self.new)
        self.more_button = _button("More", tooltips.MORE_CONVERSATION)
        menu = QMenu(self)
        for entry in (SAVE, REPORT):
            menu.addAction(entry, lambda entry=entry: self.wanted.emit(entry))
        menu.addSeparator()
        self.always = QAction("Check every answer", menu)
        menu.addAction(self.always)
        self.always.setCheckable(True)
        self.always.setToolTip(tooltips.ALWAYS_CHECK)
        menu.addSeparator()
        menu.addAction(DELETE, lambda: self.wanted.emit(DELETE))
        menu.setToolTipsVisible(True)
        self.more_button.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.titles, 1)
        row.addWidget(self.new_button)
        row.addWidget(self.more_button)

    def show_titles(self, titles: Sequence[str], current: int) -> None:
        """List conversations, one of them chosen."""
        with QSignalBlocker(self.titles):
            self.titles.clear()
            self.titles.addItems(list(titles))
            self.titles.setCurrentIndex(current)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
    return button
