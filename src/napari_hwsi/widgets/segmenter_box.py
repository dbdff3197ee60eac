"""Which segmenter finds nuclei: a list that says of each what it is, needs and lacks."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QComboBox

from ..cells import find_segmenter, segmenters
from ..cells.segmenter import Offer, offered
from ..errors import InputError
from . import tooltips
from .dock import narrow, wrapped


class SegmenterBox(QComboBox):
    """A segmenter by name, or ``name:source`` typed in; ``words`` say what it is, to be placed below."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        narrow(self)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setToolTip(tooltips.SEGMENTER)
        self.words = wrapped()
        faint = self.palette().brush(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
        for row, (name, offer) in enumerate(segmenters.items()):
            lacking = offer.lacking()
            self.addItem(name)
            self.setItemData(row, in_words(offer, lacking), Qt.ItemDataRole.ToolTipRole)
            if lacking:
                self.setItemData(row, faint, Qt.ItemDataRole.ForegroundRole)
        self.lacking: str | None = None
        self.currentTextChanged.connect(self._on_text)
        self.setCurrentText(find_segmenter().name)
        self._on_text()

    @property
    def chosen(self) -> str:
        """What is chosen, as ``name`` or ``name:source``."""
        return self.currentText().strip()

    def _on_text(self) -> None:
        try:
            offer = offered(self.chosen)
        except InputError as error:
            self.lacking = str(error)
            self.words.setText(self.lacking)
        else:
            # Weights that are named need not lie where they are looked for.
            self.lacking = None if ":" in self.chosen else offer.lacking()
            self.words.setText(in_words(offer, self.lacking))
        self.changed.emit()


def in_words(offer: Offer, lacking: str | None) -> str:
    """Return what a segmenter is and needs, what was never tried, and what is lacking with its remedy."""
    words = [f"{offer.what[0].upper()}{offer.what[1:]}", f"Needs {offer.needs}"]
    if offer.unverified:
        words.append(f"Unverified: {offer.unverified}")
    if lacking:
        words.append(f"{lacking[0].upper()}{lacking[1:]}")
    return "\n".join(f"{line}." for line in words)
