"""Questions to click on."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from . import tooltips


class Suggestions(QWidget):
    """A few questions, one below the other. asked: one was clicked."""

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.buttons: list[QPushButton] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self.hide()

    def show_questions(self, questions: Sequence[str]) -> None:
        """Offer these questions; none takes no room."""
        if [button.text() for button in self.buttons] != list(questions):
            for button in self.buttons:
                button.deleteLater()
            self.buttons = [self._button(question) for question in questions]
        self.setVisible(bool(questions))

    def _button(self, question: str) -> QPushButton:
        button = QPushButton(question)
        button.setToolTip(f"{question}\n{tooltips.SUGGESTION}")
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setStyleSheet("QPushButton { text-align: left; padding: 3px 6px; }")
        button.clicked.connect(lambda: self.asked.emit(question))
        self._layout.addWidget(button)
        return button
