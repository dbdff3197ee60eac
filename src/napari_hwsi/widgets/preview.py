"""The picture that a server would be sent, before it is."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..chat import Picture, picture_of
from ..chat.answer import mpp_in_words
from ..progress import Progress
from ..slides import Slide
from ..units import Box
from . import tooltips
from .dock import wrapped
from .picture import PictureView
from .task import Task, in_words

_REST_MS = 400


class Preview(QWidget):
    """Reads the picture of a box in a thread, a moment after the last change, and shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: Picture | None = None
        self._wanted: tuple[Slide, Box | None] | None = None
        self._task: Task | None = None
        self.caption = wrapped()
        self.view = PictureView()
        self.view.setToolTip(tooltips.PREVIEW)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        layout.addWidget(self.caption)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self._read)

    def want(self, slide: Slide, box: Box | None) -> None:
        """Show the picture of a box (None: the whole slide) soon."""
        self._wanted = (slide, box)
        self._timer.start()

    def clear(self, words: str = "") -> None:
        """Show no picture, but a line of words."""
        self._timer.stop()
        self._wanted = None
        if self._task is not None:
            self._task.cancel()
        self._show(None, words)

    def _read(self) -> None:
        if self._wanted is None:
            return
        if self._task is not None:
            self._task.cancel()
        slide, box = self._wanted

        def work(progress: Progress, piece: Any) -> Picture:
            return picture_of(slide, box or slide.bounds)

        self._task = Task(work, parent=self)
        self._task.succeeded.connect(self._on_picture)
        self._task.failed.connect(lambda error: self._show(None, in_words(error)))
        self._task.start()

    def _on_picture(self, seen: Picture) -> None:
        height, width = seen.pixels.shape[:2]
        self._show(seen, f"Sent with the question: {width} x {height} px at {mpp_in_words(seen.mpp)}")

    def _show(self, seen: Picture | None, words: str) -> None:
        self.picture = seen
        self.view.show_pixels(None if seen is None else seen.pixels)
        self.caption.setText(words)
        self.caption.setVisible(bool(words))
