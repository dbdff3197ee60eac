"""Running core functions in a thread, with progress, an estimate and a cancel that is felt at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt.utils import WorkerBase
from superqt.utils._qthreading import WorkerBaseSignals

from ..errors import Cancelled, HwsiError
from ..progress import Progress, Step
from . import tooltips

logger = logging.getLogger(__name__)

_COUNTED_S = 3.0  # shorter waits are not worth a number

Work = Callable[[Progress, Callable[[object], None]], Any]
"""What runs in the thread: it gets ``progress`` and a function that hands a piece of the result over."""


class _Signals(WorkerBaseSignals):
    told = Signal(object)
    handed = Signal(object)


class _Worker(WorkerBase[Any]):
    def __init__(self, work: Work, after: threading.Event | None) -> None:
        super().__init__(SignalsClass=_Signals)
        self._work: Work | None = work
        self._after = after
        self.over = threading.Event()

    def work(self) -> Any:
        """Do the work, once the work before it has let go."""
        work, self._work = self._work, None  # what it holds, such as a slide, goes when it is over
        assert work is not None  # a worker runs once
        try:
            while self._after is not None and not self._after.wait(0.1):
                self._check()
            self._check()
            return work(self._tell, self._hand)
        finally:
            self.over.set()

    def _check(self) -> None:
        if self.abort_requested:
            raise Cancelled("Stopped.")

    def _tell(self, step: Step) -> None:
        self._check()
        self.told.emit(step)

    def _hand(self, piece: object) -> None:
        self._check()
        self.handed.emit(piece)


class Task(QObject):
    """One run of some work. All signals arrive on the Qt thread; none after :meth:`cancel`.

    Qt deletes it when it has ended.
    """

    stepped = Signal(object)
    handed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, work: Work, after: Task | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.running = False
        # Work that was cancelled may need a moment to let go of its files: the next waits for it.
        self._worker: _Worker = _Worker(work, None if after is None else after._worker.over)
        self._worker.told.connect(self._on_told)
        self._worker.handed.connect(self._on_handed)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self.destroyed.connect(self._worker.quit)

    def start(self) -> None:
        """Begin."""
        self.running = True
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next step of the work; what it still gives is dropped."""
        if self.running:
            self._worker.quit()
            self._end(self.cancelled)

    def _on_told(self, step: Step) -> None:
        if self.running:
            self.stepped.emit(step)

    def _on_handed(self, piece: object) -> None:
        if self.running:
            self.handed.emit(piece)

    def _on_returned(self, value: object) -> None:
        if self.running:
            self._end(self.succeeded, value)

    def _on_errored(self, error: Exception) -> None:
        if self.running:
            self._end(self.failed, error)

    def _end(self, signal: Any, *values: object) -> None:
        self.running = False
        signal.emit(*values)
        self.ended.emit()
        self.deleteLater()


def in_words(error: Exception) -> str:
    """Return what to tell the user of an error; one that is not ours goes to the log with its traceback."""
    if isinstance(error, HwsiError):
        return str(error)
    logger.error("Unexpected error", exc_info=error)
    return f"Something went wrong: {type(error).__name__}: {error}. The log has the details."


def time_left(seconds: float) -> str:
    """Return a rough duration in words."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 3600:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"


class TaskRow(QWidget):
    """Progress bar, Cancel and a line of words; runs one piece of work at a time.

    Where nothing tells how long it takes, the seconds are counted; a bar that moves to and fro would have the
    whole window drawn anew with each move, for it holds a canvas of OpenGL.
    """

    busy_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._what, self._since, self._first = "", 0.0, 0
        self._doing = ""
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._count)
        self._done: Callable[[Any], None] | None = None
        self._failed: Callable[[Exception], None] | None = None
        self._stopped: Callable[[], None] | None = None
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(tooltips.CANCEL)
        self.cancel_button.clicked.connect(self.cancel)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.words)
        self._show_busy(False)
        self.words.hide()

    @property
    def busy(self) -> bool:
        """Whether work is running."""
        return self._task is not None and self._task.running

    def run(
        self,
        doing: str,
        work: Work,
        done: Callable[[Any], None],
        piece: Callable[[Any], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        """Run ``work`` in a thread and call ``done`` with what it returns; earlier work is cancelled.

        doing: what is said meanwhile; piece: called with each piece the work hands over; failed:
        called with an error, after it has been shown; stopped: called when it was cancelled, likewise.
        """
        self.cancel()
        task = Task(work, after=self._task, parent=self)
        task.stepped.connect(self._on_step)
        if piece is not None:
            task.handed.connect(piece)
        task.succeeded.connect(self._on_success)
        task.failed.connect(self._on_failure)
        task.cancelled.connect(self._on_cancel)
        self._task, self._what, self._since = task, "", time.monotonic()
        self._done, self._failed, self._stopped = done, failed, stopped
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self._tell(doing)
        self._show_busy(True)
        task.start()

    def cancel(self) -> None:
        """Stop the work, if any."""
        if self._task is not None:
            self._task.cancel()

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something short at once; a refusal of ours is shown here. Return whether it went well."""
        try:
            action()
        except HwsiError as error:
            self.say(in_words(error))
            return False
        return True

    def say(self, words: str) -> None:
        """Show a line of plain words; none hides it."""
        self.words.setText(words)
        self.words.setVisible(bool(words))

    def _on_step(self, step: Step) -> None:
        now = time.monotonic()
        if step.what != self._what:
            self._what, self._since, self._first = step.what, now, step.done
        self.bar.setRange(0, max(1, step.total))
        self.bar.setValue(step.done)
        finished = step.done - self._first
        what = step.what.capitalize()
        words = f"{what}: {step.done} of {step.total}" if step.total > 1 else f"{what}…"
        if step.part:
            words += f", {step.part}"
        if finished > 0 and step.total > step.done:
            words += f" · {time_left((now - self._since) / finished * (step.total - step.done))}"
        self._tell(words)

    def _tell(self, doing: str) -> None:
        self._doing = doing
        self._count()

    def _count(self) -> None:
        waited = time.monotonic() - self._since
        counted = self.bar.maximum() == 1 and waited > _COUNTED_S
        self.say(f"{self._doing} · {waited:.0f} s" if counted else self._doing)

    def _on_success(self, value: object) -> None:
        done = self._done
        self._let_go()
        self.say("")
        if done is not None:
            self.attempt(lambda: done(value))

    def _on_failure(self, error: Exception) -> None:
        failed = self._failed
        self._let_go()
        self.say(in_words(error))
        if failed is not None:
            failed(error)

    def _on_cancel(self) -> None:
        stopped = self._stopped
        self._let_go()
        self.say("Stopped. What was finished is kept.")
        if stopped is not None:
            stopped()

    def _let_go(self) -> None:
        self._done = self._failed = self._stopped = None  # they hold the slide
        self._show_busy(False)

    def _show_busy(self, busy: bool) -> None:
        (self._clock.start if busy else self._clock.stop)()
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)
        self.busy_changed.emit(busy)
