"""Documents as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QMarginsF, QSizeF
from qtpy.QtGui import QPageLayout, QPageSize, QPdfWriter, QTextDocument
from qtpy.QtWidgets import QFileDialog, QWidget

from ..chat.documents import Block, as_page, save_document
from ..disk import written_whole
from ..errors import StoreError

_DPI = 150
_FORMS = {"PDF (*.pdf)": ".pdf", "HTML (*.html)": ".html", "Markdown (*.md)": ".md"}
_MARGIN_MM = 18.0


def save_as(blocks: Sequence[Block], file: str | Path) -> Path:
    """Write a document as ``.pdf``, ``.md`` or ``.html``; return the file.

    May run outside the Qt thread. Raises InputError for another ending, StoreError where the disk refuses.
    """
    path = Path(file)
    if path.suffix != ".pdf":
        return save_document(blocks, path)
    try:
        with written_whole(path) as draft:
            _print(as_page(blocks), draft)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}.") from error
    return path


def ask_where(parent: QWidget, title: str) -> str:
    """Let the user choose a file and its form; return it, empty where they thought better of it."""
    file, form = QFileDialog.getSaveFileName(parent, title, "", ";;".join(_FORMS))
    return file if not file or Path(file).suffix in _FORMS.values() else file + _FORMS.get(form, ".pdf")


def _print(page: str, path: Path) -> None:
    writer = QPdfWriter(str(path))
    writer.setResolution(_DPI)
    writer.setPageLayout(
        QPageLayout(
            QPageSize(QPageSize.PageSizeId.A4),
            QPageLayout.Orientation.Portrait,
            QMarginsF(_MARGIN_MM, _MARGIN_MM, _MARGIN_MM, _MARGIN_MM),
            QPageLayout.Unit.Millimeter,
        )
    )
    document = QTextDocument()
    document.documentLayout().setPaintDevice(writer)  # type: ignore[union-attr]  # a document has a layout
    document.setHtml(page)
    document.setPageSize(QSizeF(writer.width(), writer.height()))
    document.print(writer)
