"""The Count nuclei dock: counts and densities by region with intervals, and maps of density and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from ..cells.density import DensityMap
from ..errors import InputError
from ..progress import Progress, tell
from ..tissue import tissue_of
from ..viewer.colours import type_colours
from ..viewer.counts import Regions, count_by_region, not_searched, regions_of, save_counts, tissue_within
from ..viewer.density import BINS_UM, MapKind, bar_colours, limits, map_kinds, show_map, values_of
from ..viewer.nuclei import Nuclei, nuclei_on, on_other_nuclei
from ..viewer.region import fly_to
from ..viewer.state import require_slide_layer, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped
from .look_box import named, square

TISSUE, AREA = "tissue", "the whole region"
_NONE = "No nuclei on this slide yet. Find them in the Segment cells dock."
_SWATCHES = 9


class CountDock(Dock):
    """Counts the nuclei on the screen in drawn shapes, the view and the slide; maps where they are dense."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._nuclei: Nuclei | None = None
        self._regions = Regions({})
        self.counts: pd.DataFrame | None = None
        """What the table shows, as :func:`.count_by_region` gives it."""
        self.ground_box = narrow(QComboBox())
        self.ground_box.addItems([TISSUE, AREA])
        self.ground_box.setToolTip(tooltips.GROUND)
        form = QFormLayout()
        form.addRow("Per mm² of", self.ground_box)
        self.count_button = self.button("Count nuclei", tooltips.COUNT, self._count)
        self.words = wrapped()
        self.table = QTableWidget()
        self.table.setToolTip(tooltips.COUNTS)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(260)
        numbers = self.table.verticalHeader()
        assert numbers is not None
        numbers.setVisible(False)
        numbers.setDefaultSectionSize(22)
        self.table.currentCellChanged.connect(lambda row, *_: self._fly(row))
        self.table.cellClicked.connect(lambda row, _: self._fly(row))
        self.save_button = QPushButton("Save table…")
        self.save_button.setToolTip(tooltips.SAVE_COUNTS)
        self.save_button.clicked.connect(self._choose_file)
        self.map_box, self.bin_box = narrow(QComboBox()), narrow(QComboBox())
        self.map_box.setToolTip(tooltips.MAP_OF)
        for side in BINS_UM:
            self.bin_box.addItem(f"{side} µm", side)
        self.bin_box.setCurrentIndex(BINS_UM.index(128))
        self.bin_box.setToolTip(tooltips.BINS)
        self.map_button = self.button("Show map", tooltips.SHOW_MAP, self._map)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        group = QGroupBox("Map")
        map_form = QFormLayout(group)
        map_form.addRow("Of", self.map_box)
        map_form.addRow("Bins", self.bin_box)
        map_form.addRow(self.map_button)
        map_form.addRow(self.legend)
        self.body.addLayout(form)
        for widget in (self.count_button, self.words, self.table, self.save_button, group):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        on_other_nuclei(self.viewer, self._look_again)
        self.refresh()

    def on_slide(self) -> None:
        """Be about the nuclei of this slide; what was counted of others goes."""
        if self._nuclei is not None:
            self._nuclei.changed.disconnect(self._renew, missing_ok=True)
        self._nuclei = nuclei_on(self.viewer, self.slide)
        if self._nuclei is not None:
            self._nuclei.changed.connect(self._renew)
        self.legend.setText("")
        self._renew()

    def count(self) -> None:
        """Count in the shapes that are drawn, the visible region and the whole slide, in a thread."""
        self.task.attempt(self._count)

    def map(self) -> None:
        """Show the chosen map, in a thread."""
        self.task.attempt(self._map)

    def save(self, path: str | Path) -> None:
        """Save the table as CSV. Raises InputError where nothing was counted, StoreError."""
        if self.counts is None:
            raise InputError("Nothing is counted yet. Choose “Count nuclei” first.")
        save_counts(self.counts, path)
        self.task.say(f"Saved {len(self.counts):,} rows to {path}.")

    def _count(self) -> None:
        layer, nuclei = require_slide_layer(self.viewer), self._require_nuclei()
        cells, searched, regions = nuclei.cells, nuclei.searched, regions_of(self.viewer, layer)
        slide, of_tissue = nuclei.slide, self.ground_box.currentText() == TISSUE

        def work(progress: Progress, piece: Any) -> pd.DataFrame:
            tissue = tissue_of(slide, progress) if of_tissue else None
            tell(progress, 0, 1, "counting")
            return count_by_region(cells, regions.outlines, searched, tissue)

        def done(counts: pd.DataFrame) -> None:
            if nuclei is self._nuclei and nuclei.cells is cells:
                self._show(counts, regions, searched is not None)

        self.start(layer, "Counting…", work, done)

    def _map(self) -> None:
        layer, nuclei = require_slide_layer(self.viewer), self._require_nuclei()
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        cells, searched = nuclei.cells, nuclei.searched
        kind, side = self.map_box.currentData(), self.bin_box.currentData()

        def work(progress: Progress, piece: Any) -> DensityMap:
            tissue, box = tissue_of(slide, progress), None
            if searched is not None:
                x0, y0, x1, y1 = searched.bounds
                box = (y0, x0, y1, x1)
                if not searched.equals(searched.envelope):  # a box bounds the map by itself, to the pixel
                    tissue = tissue_within(tissue, searched)
            tell(progress, 0, 1, "mapping")
            return cells.density_map(box, tissue, side)

        def done(found: DensityMap) -> None:
            shown = show_map(self.viewer, slide, found, kind)
            shown.visible |= layer.visible
            if layer is self.layer:
                self.legend.setText(legend(found, kind))

        self.start(layer, "Mapping…", work, done)

    def _require_nuclei(self) -> Nuclei:
        if self._nuclei is None:
            raise InputError(_NONE)
        return self._nuclei

    def _look_again(self, event: Any = None) -> None:
        if nuclei_on(self.viewer, self.slide) is not self._nuclei:
            self.on_slide()

    def _renew(self) -> None:
        """Forget counts of nuclei that have changed, and offer the maps there are."""
        self.counts, self._regions = None, Regions({})
        self.table.hide()
        self.save_button.hide()
        self.words.setText(_NONE if self._nuclei is None else "")
        chosen = self.map_box.currentData()
        kinds = [] if self._nuclei is None else map_kinds(self._nuclei.cells.type_names)
        self.map_box.clear()
        for kind in kinds:
            self.map_box.addItem(kind.title, kind)
        if chosen in kinds:
            self.map_box.setCurrentIndex(kinds.index(chosen))
        self._enable()

    def _enable(self) -> None:
        super()._enable()
        for button in (self.count_button, self.map_button):
            button.setEnabled(self._nuclei is not None and not self.task.busy)

    def _show(self, counts: pd.DataFrame, regions: Regions, known: bool) -> None:
        self.counts, self._regions = counts, regions
        rows = in_rows(counts)
        self.table.blockSignals(True)
        self.table.clear()
        self.table.setRowCount(len(rows))
        self.table.setColumnCount(len(rows.columns))
        self.table.setHorizontalHeaderLabels([name.strip() for name in rows.columns])
        for i, row in enumerate(rows.itertuples(index=False)):
            for j, text in enumerate(row):
                item = QTableWidgetItem(text)
                if rows.columns[j] not in ("Region", "Type"):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)
        self.table.setCurrentCell(-1, -1)
        self.table.resizeColumnsToContents()
        self.table.blockSignals(False)
        self.table.show()
        self.save_button.show()
        self.words.setText("\n".join([*regions.refused, *in_words(counts, known)]))

    def _fly(self, row: int) -> None:
        layer, counts = self.layer, self.counts
        if layer is not None and counts is not None and row >= 0:
            box = self._regions.box(str(counts["region"].iloc[row]))
            self.task.attempt(lambda: fly_to(self.viewer, layer, box))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save counts", "counts.csv", "CSV (*.csv)")
        if path:
            self.task.attempt(lambda: self.save(path))


def in_rows(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts as words, a column a heading; types and shares only where types are told apart."""
    ground = "tissue_mm2" if counts["tissue_mm2"].notna().any() else "shape_mm2"
    rows = {"Region": counts["region"]}
    typed = (counts["type"] != "all").any()
    if typed:
        rows["Type"] = counts["type"]
    rows["Nuclei"] = counts["cells"].map("{:,}".format)
    rows["per mm²"] = counts["density_per_mm2"].map(_whole)
    rows["95 %"] = _between(counts["density_low_per_mm2"], counts["density_high_per_mm2"], _whole)
    rows["mm² of tissue" if ground == "tissue_mm2" else "mm²"] = counts[ground].map("{:.3g}".format)
    if typed:
        rows["Share"] = counts["share"].map(_percent)
        rows["95 % "] = _between(counts["share_low"], counts["share_high"], _percent)
    return pd.DataFrame(rows)


def in_words(counts: pd.DataFrame, known: bool) -> list[str]:
    """Return what must be known to read counts rightly. known: whether it is where nuclei were looked for."""
    if not known:
        return ["The search for nuclei was stopped or still runs: where they are missing is not known."]
    partly = not_searched(counts)
    if not partly:
        return []
    without = counts["tissue_mm2"].isna().all()
    return [
        f"Nuclei were not looked for in all of: {', '.join(partly)}. "
        + ("Their densities are too low." if without else "Densities there are of the searched tissue.")
    ]


def legend(found: DensityMap, kind: MapKind) -> str:
    """Return the colours of a map with what they stand for, as rich text."""
    clear = "Clear: no tissue, or nothing was looked for there."
    if kind.what == "prevailing":
        return named(type_colours(len(found.type_names)), found.type_names) + clear
    low, high = limits(values_of(found, kind), kind)
    bar = "".join(square(colour) for colour in bar_colours(_SWATCHES))
    unit = "of the nuclei" if kind.what == "share" else "per mm² of tissue"
    ends = (_percent(low), _percent(high)) if kind.what == "share" else (_whole(low), _whole(high))
    return f"{ends[0]} {bar} {ends[1]} {unit}<br>{clear}"


def _between(low: pd.Series, high: pd.Series, said: Any) -> list[str]:
    return [f"{said(a)} to {said(b)}" if a == a else "" for a, b in zip(low, high, strict=True)]


def _whole(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.0f}"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.1f} %"
