"""What is asked again about an answer that was given: checks, repetitions, what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from napari.layers import Image
from qtpy.QtCore import QObject, QPoint, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QFileDialog, QMenu

from ..chat import Answer
from ..evidence.occlusion import UnitScale
from ..viewer.maps import show_score_map
from ..viewer.state import require_slide_layer, slide_layers, slide_of
from . import tooltips
from .asking import Occluded, checking, occluding, repeating
from .checks import Pictures
from .dock import Dock
from .talk import MORE, Turn
from .task import Work

Making: TypeAlias = Callable[[Image, Answer, bool], Work]
"""Makes the work on an answer; the last argument: whether its pictures wait for consent."""

PATCHES, REGIONS = "Leave out each patch", "Leave out each region"
OTHER, ON_DISK = "Check with another slide", "A result on disk…"
_UNITS: dict[str, UnitScale] = {PATCHES: "patch", REGIONS: "region"}


class Again(QObject):
    """Asks again, in the dock's row of work; a remote server waits for consent to the pictures.

    found: emitted with the layer, the turn and the Answer to which something was added.
    """

    found = Signal(object, object, object)

    def __init__(self, dock: Dock) -> None:
        super().__init__(dock)
        self._dock = dock
        self.menu: QMenu | None = None

    def check(self, turn: Turn, other: Image | Path | None = None) -> None:
        """Ask with the image changed; other: whose image stands for another place."""
        self._begin(turn, "Checking…", partial(checking, other=other))

    def repeat(self, turn: Turn) -> None:
        """Ask the same several times more."""
        self._begin(turn, "Asking again…", repeating, agreed=True)

    def leave_out(self, turn: Turn, scale: UnitScale) -> None:
        """Ask with one unit of the image left out at a time."""
        self._begin(turn, "Leaving out…", partial(occluding, scale=scale))

    def show_menu(self, turn: Turn) -> None:
        """Offer, below a turn's button, what has no button of its own."""
        menu = self.menu = QMenu(turn)
        menu.setToolTipsVisible(True)
        for words, scale in _UNITS.items():
            action = menu.addAction(words, partial(self.leave_out, turn, scale))
            assert action is not None  # it was just made
            action.setToolTip(tooltips.LEAVE_OUT)
        others = menu.addMenu(OTHER)
        assert others is not None
        others.setToolTipsVisible(True)
        for layer in slide_layers(self._dock.viewer):
            if layer is not self._dock.layer:
                action = others.addAction(layer.name, partial(self.check, turn, layer))
                assert action is not None
                action.setToolTip(tooltips.CHECK_WITH)
        action = others.addAction(ON_DISK, partial(self._check_with_file, turn))
        assert action is not None
        action.setToolTip(tooltips.CHECK_WITH_FILE)
        menu.aboutToHide.connect(menu.deleteLater)
        button = turn.buttons[MORE]
        menu.popup(button.mapToGlobal(QPoint(0, button.height())))

    def _check_with_file(self, turn: Turn) -> None:
        folder = QFileDialog.getExistingDirectory(self._dock, "The result of another slide")
        if folder:
            self.check(turn, Path(folder))

    def _begin(self, turn: Turn, doing: str, making: Making, agreed: bool = False) -> None:
        self._dock.task.attempt(lambda: self._start(turn, doing, making, agreed))

    def _start(self, turn: Turn, doing: str, making: Making, agreed: bool) -> None:
        layer, answer = require_slide_layer(self._dock.viewer), turn.answer
        if answer is None:
            return
        waits = answer.where == "remote" and not agreed

        def shown(pictures: Pictures) -> None:
            send = partial(self._begin, turn, doing, making, True)
            turn.check.show_pictures(pictures, send if waits else None)

        def done(found: Answer | Occluded | None) -> None:
            if found is not None:  # None: the pictures are shown, and wait
                self._over(layer, turn, found)

        self._dock.start(layer, doing, making(layer, answer, waits), done, shown)

    def _over(self, layer: Image, turn: Turn, found: Answer | Occluded) -> None:
        answer: Any = found
        if isinstance(found, Occluded):
            slide = slide_of(layer)
            assert slide is not None  # a slide's layer has its slide
            show_score_map(self._dock.viewer, slide, found.scores, part="occlusion")
            turn.check.show_occlusion(found.found)
            answer = found.answer
        turn.add(answer)
        self.found.emit(layer, turn, answer)
