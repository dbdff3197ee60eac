"""The table of nuclei in a window: a million rows without an object for any of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (  # type: ignore[attr-defined]  # qtpy hands Signal on unsaid
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QTableView

from ..cells import Cells
from ..cells.selection import column_values, in_filter
from ..viewer.colours import PROBABILITY, TYPE, title_of

_ROW = "nucleus"
_MOST_RANGES = 2000  # Qt takes seconds over more pieces of a selection


class NucleiModel(QAbstractTableModel):
    """Rows of cells in an order; ``rows`` (n,) are those listed, as places in the cells' own table."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: tuple[str, ...] = ()
        self.rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._cells: Cells | None = None
        self._values: dict[str, NDArray[Any]] = {}
        self._mask: NDArray[np.bool_] = np.empty(0, bool)
        self._sorted: tuple[int, bool] | None = None

    def show(self, cells: Cells | None) -> None:
        """List all of these, by the column that was chosen before."""
        self.beginResetModel()
        self._cells, self._values = cells, {}
        table = () if cells is None else tuple(map(str, cells.table.columns))
        self.columns = () if cells is None else tuple(dict.fromkeys([_ROW, TYPE, PROBABILITY, *table]))
        self._mask = np.ones(0 if cells is None else len(cells), bool)
        self.rows = self._arranged()
        self.endResetModel()

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """List only some, a mask (N,), in the order they are in."""
        self.beginResetModel()
        self._mask = mask
        self.rows = self._arranged()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Qt: order by a column; equal ones stay in their own order, what was not measured comes last."""
        if 0 <= column < len(self.columns):
            self.beginResetModel()
            self._sorted = column, order == Qt.SortOrder.DescendingOrder
            self.rows = self._arranged()
            self.endResetModel()

    def places_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows are listed, ascending; those that are not listed are left out."""
        wanted = np.zeros(len(self._mask), bool)
        wanted[rows[rows < len(wanted)]] = True
        return np.flatnonzero(wanted[self.rows])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Qt: how many are listed."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Qt: how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Qt: the words in a place."""
        value = self._column(self.columns[index.column()])[self.rows[index.row()]]
        number = value.dtype.kind in "if"
        if role == Qt.ItemDataRole.TextAlignmentRole and number:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if value.dtype.kind == "f":
            return "" if np.isnan(value) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
        return str(value)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Qt: the names of the columns, with units."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        name = self.columns[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{in_filter(name)} stands for it in the filter." if name != _ROW else name
        return title_of(name) if role == Qt.ItemDataRole.DisplayRole else None

    def _column(self, name: str) -> NDArray[Any]:
        assert self._cells is not None  # there are no columns without cells
        if name not in self._values:
            own = name == _ROW and _ROW not in self._cells.table
            self._values[name] = np.arange(len(self._mask)) if own else column_values(self._cells, name)
        return self._values[name]

    def _arranged(self) -> NDArray[np.int64]:
        rows = np.flatnonzero(self._mask)
        if self._sorted is not None and self._sorted[0] < len(self.columns):
            column, falling = self._sorted
            values = self._column(self.columns[column])[rows]
            if falling:  # stable, and NaN last: ranks are turned round, not the result
                values = -np.unique(values, return_inverse=True)[1] if values.dtype.kind in "Ub" else -values
            rows = rows[np.argsort(values, kind="stable")]
        return rows


class NucleiTable(QTableView):
    """A view of the model that tells which rows are selected and which is to be flown to."""

    chosen = Signal(object)
    """Rows (n,) that the user selected."""
    activated_row = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.rows_model = NucleiModel()
        self.setModel(self.rows_model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setWordWrap(False)
        header, numbers = self.horizontalHeader(), self.verticalHeader()
        assert header is not None
        assert numbers is not None
        # A heading asks of each row whether it is selected, for a look of its own: minutes for a million.
        header.setSelectionModel(QItemSelectionModel(self.rows_model, self))
        header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        numbers.setVisible(False)
        numbers.setDefaultSectionSize(22)
        self._quiet = False
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)
        self.rows_model.modelReset.connect(self._mark)
        self._selection.selectionChanged.connect(self._tell)
        self.doubleClicked.connect(lambda index: self._fly(index.row()))

    @property
    def _selection(self) -> QItemSelectionModel:
        model = self.selectionModel()
        assert model is not None  # a view with a model has one
        return model

    def select(self, rows: NDArray[np.int64]) -> None:
        """Select rows that are selected elsewhere, the first of them in sight; nothing is told.

        More than 2000 separate pieces are not marked: Qt would take seconds.
        """
        if not np.array_equal(rows, self._rows):
            self._rows = rows
            self._mark()

    def _mark(self) -> None:
        places = self.rows_model.places_of(self._rows)
        cuts = np.flatnonzero(np.diff(places) > 1) + 1
        pieces = np.split(places, cuts) if len(places) and len(cuts) < _MOST_RANGES else []
        selection, last = QItemSelection(), max(self.rows_model.columnCount() - 1, 0)
        for piece in pieces:
            model = self.rows_model
            selection.select(model.index(int(piece[0]), 0), model.index(int(piece[-1]), last))
        self._quiet = True
        self._selection.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._quiet = False
        if pieces:
            first = self.rows_model.index(int(places[0]), 0)
            self._selection.setCurrentIndex(first, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(first)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt: Enter flies to the current row."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._fly(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def _fly(self, place: int) -> None:
        if 0 <= place < len(self.rows_model.rows):
            self.activated_row.emit(int(self.rows_model.rows[place]))

    def _tell(self, *_: object) -> None:
        if not self._quiet:
            ranges = self._selection.selection()
            pieces = (ranges[i] for i in range(len(ranges)))
            parts = [np.arange(piece.top(), piece.bottom() + 1) for piece in pieces]
            places = np.concatenate(parts) if parts else np.empty(0, np.int64)
            self._rows = np.sort(self.rows_model.rows[places])
            self.chosen.emit(self._rows)
