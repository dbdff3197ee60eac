"""Choosing who answers: measurements on this machine, or a model behind an address."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
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

from ..chat import KINDS, Kind, keep_key, list_models, sees_pictures
from ..chat.keys import key_of
from ..chat.server import ChatServer
from ..errors import HwsiError, InputError
from ..progress import Progress
from . import tooltips
from .dock import narrow, small
from .task import TaskRow

MEASURED, SERVER, *_ = (kind.title for kind in KINDS)
_SIGHT = {True: "It reads pictures.", False: "It does NOT read pictures: choose a vision model."}
_BADGES = {  # black on amber and a word: told apart without colour too
    "local": ("local", "border: 1px solid palette(mid); border-radius: 4px; padding: 1px 5px;"),
    "remote": ("REMOTE", "background: #e3b617; color: black; border-radius: 4px; padding: 1px 5px;"),
}


class AnswererBox(QWidget):
    """The list of answerers and a badge that says where they run.

    what: words on the chosen one, and server: a form for the address and the model of a server, to be placed
    where there is room.
    """

    changed = Signal()

    def __init__(self, task: TaskRow) -> None:
        super().__init__()
        self._task = task
        self.kind = narrow(QComboBox())
        for i, kind in enumerate(KINDS):
            self.kind.addItem(kind.title)
            self.kind.setItemData(i, kind.what, Qt.ItemDataRole.ToolTipRole)
        self.kind.setToolTip(tooltips.ANSWERER)
        self.what = small()
        self.state = small()
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
        self.key = QLineEdit()
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.key.setToolTip(tooltips.KEY)
        self.key.returnPressed.connect(lambda: self._task.attempt(self.keep_key))
        self.server = QWidget()
        grid = QGridLayout(self.server)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Address"), 0, 0)
        grid.addWidget(self.address, 0, 1)
        grid.addWidget(self.test_button, 0, 2)
        grid.addWidget(QLabel("Model"), 1, 0)
        grid.addWidget(self.model, 1, 1, 1, 2)
        grid.addWidget(QLabel("Key"), 2, 0)
        grid.addWidget(self.key, 2, 1, 1, 2)
        grid.addWidget(self.state, 3, 0, 1, 3)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("folder or hub id of the model")
        self.folder.setToolTip(tooltips.MODEL_FOLDER)
        self.folder.textChanged.connect(self._on_change)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addWidget(self.folder)
        self._sees: dict[str, bool] = {}
        self.kind.currentTextChanged.connect(self._on_change)
        self.address.textChanged.connect(self._on_change)
        self.model.currentTextChanged.connect(self._on_change)
        self._on_change()

    @property
    def chosen(self) -> Kind:
        """The kind of answerer that is chosen."""
        return KINDS[self.kind.currentIndex()]

    @property
    def is_server(self) -> bool:
        """Whether a model on a server is to answer."""
        return self.chosen.needs == "server"

    @property
    def name(self) -> str:
        """The answerer as :func:`napari_hwsi.ask` names it. Raises InputError where a server lacks a part."""
        prefix = self.chosen.form.partition(":")[0]
        if self.chosen.needs == "model":
            if not self.folder.text().strip():
                raise InputError("Give the folder of the model, or its name on the hub.")
            return f"{prefix}:{self.folder.text().strip()}"
        if not self.is_server:
            return prefix
        if not self.address.text().strip() or not self.model.currentText().strip():
            raise InputError("Give the address of the server and the model, or press Test to list them.")
        return f"{prefix}:{ChatServer(self.address.text()).url}#{self.model.currentText().strip()}"

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
        """Ask the server for its models, in a thread, list them, and see whether the chosen one sees."""
        url, wanted = self.address.text().strip(), self.model.currentText().strip()

        def work(progress: Progress, piece: Any) -> tuple[str, bool | None]:
            models = list_models(url)
            piece(models)
            model = wanted if wanted in models or not models else models[0]
            return model, sees_pictures(url, model, progress) if model else None

        def listed(models: tuple[str, ...]) -> None:
            self.model.clear()
            self.model.addItems(list(models))
            if wanted in models:
                self.model.setCurrentText(wanted)
            self._task.say(f"The server answers. Models: {', '.join(models) or 'none'}.")

        def done(found: tuple[str, bool | None]) -> None:
            model, sees = found
            if sees is not None:
                self._sees[f"{url}#{model}"] = sees
            self._on_change()

        self._task.run(f"Asking {url or 'the server'}…", work, done, listed)

    def keep_key(self) -> None:
        """Keep the typed key in the keyring, for the server of the address; an empty one is forgotten."""
        keep_key(ChatServer(self.address.text()).host, self.key.text())
        self.key.clear()
        self._on_change()

    def _said(self) -> str:
        """Return what is known of the server: what it lacks, its key, whether the model sees."""
        address, model = self.address.text().strip(), self.model.currentText().strip()
        if not address:
            return "Not ready: give the address of the server."
        try:
            key, source = key_of(ChatServer(address).host)
        except HwsiError as error:
            return f"Not ready: {error}"
        if not model:
            return "Not ready: press Test to list the models."
        sees = self._sees.get(f"{address}#{model}")
        said = "Press Test to see whether it reads pictures." if sees is None else _SIGHT[sees]
        return f"{said} {f'Key from {source}.' if key else 'No key.'}"

    def _on_change(self, text: str = "") -> None:
        self.server.setVisible(self.is_server)
        self.folder.setVisible(self.chosen.needs == "model")
        self.what.setText(self.chosen.what)
        self.state.setText(self._said() if self.is_server else "")
        words, style = _BADGES.get(self.where, ("", ""))
        self.badge.setText(words)
        self.badge.setStyleSheet(style)
        self.badge.setVisible(bool(words))
        self.changed.emit()
