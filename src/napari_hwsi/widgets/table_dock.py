"""The Nuclei table dock: sort, filter and select nuclei, plot their measurements, save the chosen ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLineEdit, QPushButton, QTabWidget, QWidget

from ..cells import write_cells
from ..cells.selection import matching
from ..errors import InputError
from ..viewer.colours import TYPE, columns_of, title_of, values_of
from ..viewer.nuclei import Nuclei, fly_to_cell, nuclei_on, on_other_nuclei
from . import tooltips
from .dock import Dock, narrow, wrapped
from .nuclei_table import NucleiTable
from .plots import Plot

_KINDS = "CSV (*.csv);;GeoJSON (*.geojson);;Parquet (*.parquet)"


class TableDock(Dock):
    """Lists the nuclei that are on the slide; what is selected here is selected there, and the reverse."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._nuclei: Nuclei | None = None
        self._kept: NDArray[np.bool_] = np.empty(0, bool)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText("area_um2 > 40 and probability > 0.5")
        self.filter_line.setToolTip(tooltips.FILTER)
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.editingFinished.connect(lambda: self.task.attempt(self.filter))
        self.count = wrapped()
        self.table = NucleiTable()
        self.table.setToolTip(tooltips.NUCLEI_TABLE)
        self.table.setMinimumHeight(220)
        self.table.chosen.connect(self._choose)
        self.table.activated_row.connect(self._fly)
        self.histogram, self.scatter = Plot(), Plot()
        self.scatter.setToolTip(tooltips.LASSO)
        self.scatter.lassoed.connect(lambda points: self._choose(np.flatnonzero(self._kept)[points]))
        self.histogram_box, self.x_box, self.y_box = boxes = [narrow(QComboBox()) for _ in range(3)]
        for box in boxes:
            box.activated.connect(lambda _: self._plot())
        self.tabs = QTabWidget()
        self.tabs.addTab(self.table, "Table")
        self.tabs.addTab(_plot_page(self.histogram, ("Column", self.histogram_box)), "Histogram")
        self.tabs.addTab(_plot_page(self.scatter, ("Across", self.x_box), ("Up", self.y_box)), "Scatter")
        self.tabs.currentChanged.connect(lambda _: self._plot())
        self.select_button = QPushButton("Select all filtered")
        self.select_button.setToolTip(tooltips.SELECT_FILTERED)
        self.select_button.clicked.connect(lambda: self._choose(np.flatnonzero(self._kept)))
        self.only_button = QPushButton("Show only these")
        self.only_button.setCheckable(True)
        self.only_button.setToolTip(tooltips.SHOW_ONLY)
        self.only_button.clicked.connect(self._show_these)
        self.save_button = QPushButton("Save selection…")
        self.save_button.setToolTip(tooltips.SAVE_SELECTION)
        self.save_button.clicked.connect(self._choose_file)
        self.body.addWidget(self.filter_line)
        self.body.addWidget(self.count)
        self.body.addWidget(self.tabs, 1)
        for button in (self.select_button, self.only_button, self.save_button):
            self.body.addWidget(button)
        on_other_nuclei(self.viewer, self._look_again)
        self.refresh()

    def on_slide(self) -> None:
        """List the nuclei of this slide."""
        self._listen(nuclei_on(self.viewer, self.slide))

    def filter(self) -> None:
        """List only what fits the line. Raises InputError where it cannot be understood."""
        if self._nuclei is None:
            return
        self._kept = matching(self._nuclei.cells, self.filter_line.text())
        self.task.say("")
        self.table.rows_model.keep(self._kept)
        if self.only_button.isChecked():
            self._show_these(True)
        self._plot()
        self._on_selection()

    def save(self, path: str | Path) -> None:
        """Save the selected nuclei as CSV, GeoJSON or Parquet, by the file's ending."""
        nuclei = self._nuclei
        if nuclei is None or not len(nuclei.selected):
            raise InputError("No nucleus is selected. Choose rows of the table, or nuclei on the slide.")
        cells = nuclei.cells.select(nuclei.selected)
        write_cells(cells, path, nuclei.slide.bounds[:2])  # QuPath counts from the scanned part
        self.task.say(f"Saved {len(cells):,} nuclei to {path}.")

    def _look_again(self, event: Any = None) -> None:
        if nuclei_on(self.viewer, self.slide) is not self._nuclei:
            self.on_slide()

    def _listen(self, nuclei: Nuclei | None) -> None:
        before, self._nuclei = self._nuclei, nuclei
        if before is not nuclei:
            self.only_button.setChecked(False)
            if before is not None:
                before.changed.disconnect(self._list)
                before.selection_changed.disconnect(self._on_selection)
            if nuclei is not None:
                nuclei.changed.connect(self._list)
                nuclei.selection_changed.connect(self._on_selection)
        self._list()

    def _list(self) -> None:
        """List nuclei anew: others, or corrected ones."""
        cells = None if self._nuclei is None else self._nuclei.cells
        self.table.rows_model.show(cells)
        self._kept = np.ones(0 if cells is None else len(cells), bool)
        names = () if cells is None else columns_of(cells)
        numbers = [name for name in names if name != TYPE]
        for place, box in enumerate((self.histogram_box, self.x_box, self.y_box)):
            chosen = box.currentData()
            box.clear()
            for name in numbers:
                box.addItem(title_of(name), name)
            usual = [n for n in numbers if n != "probability" and not n.startswith("centroid")] or numbers
            first = usual[min(place // 2, len(usual) - 1)] if usual else None
            box.setCurrentIndex(box.findData(chosen if chosen in numbers else first))
        for widget in (self.tabs, self.filter_line, self.select_button, self.only_button, self.save_button):
            widget.setEnabled(cells is not None)
        if not self.task.attempt(self.filter) or cells is None:
            self._plot()
            self._on_selection()

    def _choose(self, rows: NDArray[np.int64]) -> None:
        if self._nuclei is not None:
            self._nuclei.select(rows)

    def _on_selection(self) -> None:
        """Show what is selected, here or on the slide."""
        nuclei = self._nuclei
        if nuclei is None:
            self.count.setText("No nuclei on this slide yet. Find them in the Segment cells dock.")
            return
        total, chosen = len(self._kept), len(nuclei.selected)
        self.count.setText(f"{int(self._kept.sum()):,} of {total:,} nuclei, {chosen:,} selected")
        self.table.select(nuclei.selected)
        self._mark()

    def _mark(self) -> None:
        if self._nuclei is not None:
            selected = np.zeros(len(self._kept), bool)
            selected[self._nuclei.selected] = True
            for plot in (self.histogram, self.scatter):
                if len(plot.across) == int(self._kept.sum()):
                    plot.mark(selected[self._kept])

    def _plot(self) -> None:
        """Draw the plot that is looked at."""
        page = self.tabs.currentIndex()
        names = [box.currentData() for box in (self.histogram_box, self.x_box, self.y_box)]
        none = np.empty(0)
        if self._nuclei is None or None in names:
            self.histogram.show_points(none, None, ("", ""))
            self.scatter.show_points(none, none, ("", ""))
            return
        column, across, up = (values_of(self._nuclei.cells, name)[self._kept] for name in names)
        if page == 1:
            self.histogram.show_points(column, None, (title_of(names[0]), "nuclei"))
        elif page == 2:
            self.scatter.show_points(across, up, (title_of(names[1]), title_of(names[2])))
        self._mark()

    def _show_these(self, only: bool) -> None:
        if self._nuclei is not None:
            self._nuclei.show_only(self._kept if only else None)

    def _fly(self, row: int) -> None:
        layer, nuclei = self.layer, self._nuclei
        if layer is not None and nuclei is not None:
            self.task.attempt(lambda: fly_to_cell(self.viewer, layer, nuclei, row))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save selected nuclei", "nuclei.csv", _KINDS)
        if path:
            self.task.attempt(lambda: self.save(path))


def _plot_page(plot: Plot, *rows: tuple[str, QComboBox]) -> QWidget:
    page = QWidget()
    form = QFormLayout(page)
    for name, box in rows:
        form.addRow(name, box)
    form.addRow(plot)
    return page
