"""Choosing who answers: measurements on this machine, or a model behind an address."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..chat.endpoint import list_models
from ..chat.server import ChatServer
from ..errors import InputError
from ..progress import Progress
from . import tooltips
from .dock import narrow
from .task import TaskRow

MEASURED, SERVER = "Measured facts", "Model server"
_BADGES = {  # black on amber and a word: told apart without colour too
    "local": ("local", "border: 1px solid palette(mid); border-radius: 4px; padding: 1px 5px;"),
    "remote": ("REMOTE", "background: #e3b617; color: black; border-radius: 4px; padding: 1px 5px;"),
}


class AnswererBox(QWidget):
    """The list of answerers and a badge that says where they run.

    server: a form for the address and the model of a server, to be placed where there is room.
    """

    changed = Signal()

    def __init__(self, task: TaskRow) -> None:
        super().__init__()
        self._task = task
        self.kind = narrow(QComboBox())
        self.kind.addItems([MEASURED, SERVER])
        self.kind.setToolTip(tooltips.ANSWERER)
        self.badge = QLabel()
        self.badge.setToolTip(tooltips.BADGE)
        first = QHBoxLayout()
        first.addWidget(self.kind, 1)
        first.addWidget(self.badge)
        self.address = QLineEdit()
        self.address.setPlaceholderText("http://localhost:11434/v1")
        self.address.setToolTip(tooltips.ADDRESS)
        self.test_button = QPushButton("Test")
        self.test_button.setToolTip(tooltips.TEST)
        self.test_button.clicked.connect(self.test)
        self.model = narrow(QComboBox())
        self.model.setEditable(True)
        self.model.setToolTip(tooltips.MODEL)
        self.server = QWidget()
        grid = QGridLayout(self.server)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Address"), 0, 0)
        grid.addWidget(self.address, 0, 1)
        grid.addWidget(self.test_button, 0, 2)
        grid.addWidget(QLabel("Model"), 1, 0)
        grid.addWidget(self.model, 1, 1, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        self.kind.currentTextChanged.connect(self._on_change)
        self.address.textChanged.connect(self._on_change)
        self._on_change()

    @property
    def is_server(self) -> bool:
        """Whether a model on a server is to answer, which is sent a picture."""
        return bool(self.kind.currentText() == SERVER)

    @property
    def name(self) -> str:
        """The answerer as :func:`napari_hwsi.ask` names it. Raises InputError where a server lacks a part."""
        if not self.is_server:
            return "measured"
        if not self.address.text().strip() or not self.model.currentText().strip():
            raise InputError("Give the address of the server and the model, or press Test to list them.")
        return f"endpoint:{ChatServer(self.address.text()).url}#{self.model.currentText().strip()}"

    @property
    def where(self) -> str:
        """'local', 'remote', or '' while there is no address."""
        if not self.is_server:
            return "local"
        try:
            return ChatServer(self.address.text()).where
        except InputError:
            return ""

    def use_server(self, address: str, model: str) -> None:
        """Let a model on a server answer."""
        self.kind.setCurrentText(SERVER)
        self.address.setText(address)
        self.model.setCurrentText(model)

    def test(self) -> None:
        """Ask the server for its models, in a thread, and list them."""
        url = self.address.text().strip()

        def work(progress: Progress, piece: Any) -> tuple[str, ...]:
            return list_models(url)

        def done(models: tuple[str, ...]) -> None:
            chosen = self.model.currentText()
            self.model.clear()
            self.model.addItems(list(models))
            if chosen in models:
                self.model.setCurrentText(chosen)
            self._task.say(f"The server answers. Models: {', '.join(models) or 'none'}.")

        self._task.run(f"Asking {url or 'the server'}…", work, done)

    def _on_change(self, text: str = "") -> None:
        self.server.setVisible(self.is_server)
        words, style = _BADGES.get(self.where, ("", ""))
        self.badge.setText(words)
        self.badge.setStyleSheet(style)
        self.badge.setVisible(bool(words))
        self.changed.emit()
