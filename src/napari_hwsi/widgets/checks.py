"""What a check of an answer sends, and what it found, below the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..chat import Picture
from ..chat.answer import mpp_in_words
from ..evidence import Dependence, Occlusion, Repeats
from . import tooltips
from .dock import small, wrapped
from .picture import PictureView

Pictures = Sequence[tuple[str, Picture | None]]
"""What is sent, each with a line of words; None: no picture."""

_WARNING = "background: #e3b617; color: black; border-radius: 4px; padding: 3px 6px;"
_TALLEST = 130
_GOOD = "border: 1px solid palette(mid); border-radius: 4px; padding: 3px 6px;"


class CheckView(QWidget):
    """The pictures of a check, a button where they are to be agreed to, and the outcome."""

    def __init__(self) -> None:
        super().__init__()
        self._then: Callable[[], None] | None = None
        self.views: list[PictureView] = []
        self._pictures = QWidget()
        self._grid = QGridLayout(self._pictures)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.send_button = QPushButton("Send")
        self.send_button.setToolTip(tooltips.SEND_CHECK)
        self.send_button.clicked.connect(self._agree)
        self.verdict = wrapped()
        self.trials = small()
        self.repeats = small()
        self.occlusion = small()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        told = (self.verdict, self.trials, self.repeats, self.occlusion)
        for part in (self._pictures, self.send_button, *told):
            layout.addWidget(part)
            part.hide()
        self.hide()

    def show_pictures(self, pictures: Pictures, then: Callable[[], None] | None) -> None:
        """Show what is sent; then: called when the user has agreed to that, None where it is sent at once."""
        self._clear()
        self._then = then
        for i, (words, seen) in enumerate(pictures):
            view = PictureView(_TALLEST)
            view.show_pixels(None if seen is None else seen.pixels)
            mpp = "" if seen is None else f", {mpp_in_words(seen.mpp)}"
            self._grid.addWidget(view, i // 2 * 2, i % 2)
            self._grid.addWidget(small(f"{words}{mpp}"), i // 2 * 2 + 1, i % 2)
            self.views.append(view)
        self._pictures.setVisible(bool(pictures))
        self.send_button.setVisible(then is not None)
        self.setVisible(bool(pictures) or then is not None)

    def show_dependence(self, found: Dependence) -> None:
        """Show what the check found: a warning in black on amber, and each trial in a line."""
        warning = found.warning
        if warning is not None:
            self.verdict.setText(f"⚠ {warning}")
        elif found.verdict == "depends":
            self.verdict.setText("✓ The answer changes with the image.")
        else:
            self.verdict.setText("Whether the answer depends on the image was not found out.")
        self.verdict.setStyleSheet(_GOOD if warning is None else _WARNING)
        said = [str(trial) for trial in found.trials] + [f"Not tried: {reason}" for reason in found.left_out]
        self.trials.setText("\n".join(f"{line[:1].upper()}{line[1:]}" for line in said))
        self.send_button.hide()
        self._show(self.verdict, self.trials)

    def show_repeats(self, found: Repeats) -> None:
        """Show how many of the repetitions agree."""
        self.repeats.setText(f"Asked again: {found}")
        self._show(self.repeats)

    def show_occlusion(self, found: Occlusion) -> None:
        """Show how many units matter; which they are is told by chips and a map."""
        self.occlusion.setText(str(found))
        self._show(self.occlusion)

    def _show(self, *labels: QLabel) -> None:
        for label in labels:
            label.show()
        self.show()

    def _agree(self) -> None:
        self.send_button.hide()
        if self._then is not None:
            self._then()

    def _clear(self) -> None:
        self.views.clear()
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
