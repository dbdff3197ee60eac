"""What an analysis will take, told while its settings are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..errors import HwsiError
from ..hierarchy import PatchOptions, Profile
from ..hierarchy.estimate import Estimate, estimate, names_of
from ..slides import Slide
from ..tissue import TissueMask, tissue_of
from ..units import Box
from . import tooltips
from .task import Task

_WAIT_MS = 400  # after the last change of a setting or a move of the view


@dataclass(frozen=True)
class Request:
    """The settings of a run that an estimate is asked for."""

    slide: Slide
    profile: Profile
    segmenter: str
    parts: tuple[str, ...]
    options: PatchOptions
    device: str
    store: Path
    box: Box | None


class EstimateBox(QWidget):
    """Asks for the settings a moment after they changed, and shows what they come to.

    The tissue is looked for once a slide, in a thread; all else is quick. ``told`` is emitted with each
    estimate, None where there is none.
    """

    told = Signal(object)

    def __init__(self, request: Callable[[], Request | None]) -> None:
        """request: gives the settings as they stand, None where nothing can be run."""
        super().__init__()
        self._request = request
        self._task: Task | None = None
        self._tissue: tuple[Slide, TissueMask] | None = None
        self.estimate: Estimate | None = None
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setToolTip(tooltips.ESTIMATE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self._look)

    def changed(self, *_: object) -> None:
        """Estimate anew, once changes have come to rest."""
        self._timer.start()

    def forget_tissue(self) -> None:
        """Look for the tissue again: it has been edited."""
        self._tissue = None
        self.changed()

    def stop(self) -> None:
        """Stop looking."""
        self._timer.stop()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        if self._task is not None:
            self._task.cancel()
        asked = self._request() if self.isVisible() else None
        if asked is None:
            self._show(None)
            return
        known = self._tissue

        def work(progress: object, piece: object) -> tuple[TissueMask, Estimate]:
            tissue = known[1] if known is not None and known[0] is asked.slide else tissue_of(asked.slide)
            names = names_of(asked.profile, asked.segmenter, asked.options, asked.device)
            found = estimate(
                asked.slide,
                tissue,
                names,
                asked.parts,
                asked.profile,
                asked.segmenter,
                asked.options,
                asked.store,
                asked.box,
            )
            return tissue, found

        def done(found: tuple[TissueMask, Estimate]) -> None:
            self._tissue = asked.slide, found[0]
            self._show(found[1])

        def failed(error: Exception) -> None:
            self._show(None, str(error) if isinstance(error, HwsiError) else "")

        self._task = Task(work, after=self._task, parent=self)
        self._task.succeeded.connect(done)
        self._task.failed.connect(failed)
        self._task.start()

    def _show(self, found: Estimate | None, words: str = "") -> None:
        self.estimate = found
        self.words.setText(words if found is None else str(found))
        self.words.setVisible(bool(self.words.text()))
        self.told.emit(found)
