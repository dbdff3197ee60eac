"""The CCAF dock: which cells of a patch count, and which patches hold alike cells."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QTableWidget, QTableWidgetItem

from ..errors import InputError
from ..hierarchy.fused import PER_REGION, FusedCells, fuse_cells, fused_of, fuser_for, patches_of
from ..progress import Progress, tell
from ..slides import Slide
from ..tissue import region_grid
from ..units import Box
from ..viewer.drawn import points_in
from ..viewer.layers import attention_data, show
from ..viewer.region import fly_to
from ..viewer.state import FOUND, require_slide_layer, result_of, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped
from .scope import DRAWN, VISIBLE, Scope, ScopeBox

KEPT = "Kept patches"
_LISTED = 50
_MARGIN_UM = 12.0  # shown around a nucleus that is flown to
_CELL, _PATCH = ("Share", "Kind", "Patch"), ("Patch", "Nuclei", "Likeness")


class CcafDock(Dock):
    """Fuses cells by CCAF, colours each by its share of the attention, and compares patches by cell token."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.fused: FusedCells | None = None
        self._drawn = False  # whether what is fused is one drawn set, not patches of the grid
        self.scope_box = ScopeBox(VISIBLE, DRAWN, KEPT)
        self.scope_box.setToolTip(tooltips.CCAF_SCOPE)
        self.device_box = narrow(QComboBox())
        self.device_box.addItems(["auto", "cpu", "cuda", "mps"])
        self.device_box.setToolTip(tooltips.CCAF_DEVICE)
        form = QFormLayout()
        form.addRow("Where", self.scope_box)
        form.addRow("Device", self.device_box)
        self.run_button = QPushButton("Fuse cells")
        self.run_button.setToolTip(tooltips.FUSE)
        self.run_button.clicked.connect(self.run)
        self.found = wrapped()
        self.cell_table = _table(_CELL, tooltips.MOST_ATTENDED)
        self.cell_table.itemSelectionChanged.connect(self._show_cell)
        self.patch_table = _table(_PATCH, tooltips.LIKENESS)
        self.patch_table.itemSelectionChanged.connect(self._compare)
        self.cell_label, self.patch_label = QLabel("Most attended"), QLabel("Patches by their cells")
        self.body.addLayout(form)
        self.body.addWidget(self.run_button)
        self.body.addWidget(self.found)
        for widget in (self.cell_label, self.cell_table, self.patch_label, self.patch_table):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self.needs_slide(self.run_button)
        self.refresh()

    def on_slide(self) -> None:
        """Forget what was fused on another slide."""
        self._show(None)

    def run(self) -> None:
        """Fuse the cells of the chosen part, in a thread."""
        self.task.attempt(self._start)

    def _start(self) -> None:
        layer, device = require_slide_layer(self.viewer), self.device_box.currentText()
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        kept = self.scope_box.currentText() == KEPT
        scope = Scope(None) if kept else self.scope_box.scope(self.viewer, layer)
        result, found = result_of(layer), layer.metadata.get(FOUND)
        if kept and result is None:
            raise InputError("There is no result whose kept patches could be fused. Analyse the slide first.")

        def work(progress: Progress, piece: Any) -> FusedCells:
            if kept and result is not None and result.fuses:
                tell(progress, 0, 1, "reading what is fused")
                return fused_of(result)
            from ..encoders.batches import choose_device  # torch is loaded here, off the window's thread

            grid, box = region_grid(slide), scope.box or slide.bounds
            if found is not None and found.slide is slide and not kept:
                cells = found.cells.in_box(box)
            elif result is not None:
                cells = result.cells_in(box, tokens=True)
            else:
                raise InputError("No cells are known here. Find them in the Segment cells dock.")
            tell(progress, 0, 1, "loading CCAF")
            on_gpu = choose_device(device).type == "cuda"
            fuser = fuser_for(cells, device, "bfloat16" if on_gpu else "float32")
            tell(progress, 0, 1, "fusing")
            sets = patches_of(grid, cells)
            if scope.area is not None:  # what is drawn is one set
                sets = np.where(points_in(scope.area, cells.centroids), 0, -1)
            if kept and result is not None:
                chosen = result.selected_patches
                sets[~np.isin(sets, chosen["region"] * PER_REGION + chosen["patch"])] = -1
            return fuse_cells(cells, sets, fuser)

        def done(fused: FusedCells) -> None:
            show(self.viewer, attention_data(slide, fused.cells, fused.shares, fused.set_of))
            if layer is self.layer:
                self._drawn = scope.area is not None
                self._show(fused)

        self.start(layer, "Fusing cells…", work, done)

    def _show(self, fused: FusedCells | None) -> None:
        self.fused = fused
        several = fused is not None and len(fused.sets) > 1
        for widget, wanted in (
            (self.cell_label, fused is not None),
            (self.cell_table, fused is not None),
            (self.patch_label, several),
            (self.patch_table, several),
        ):
            widget.setVisible(wanted)
        self.found.setText("" if fused is None else in_words(fused))
        if fused is None:
            return
        rows = fused.most_attended[:_LISTED]
        names = fused.cells.type_names
        owners = fused.set_of
        _fill(
            self.cell_table,
            [
                (
                    int(row),
                    f"{fused.shares[row]:.3f}",
                    names[fused.cells.types[row]],
                    self._name(int(owners[row])),
                )
                for row in rows
            ],
        )
        self._list_patches(np.full(len(fused.sets), np.nan))

    def _list_patches(self, likeness: np.ndarray) -> None:
        fused = self.fused
        assert fused is not None
        counts = np.diff(fused.offsets)
        order = np.argsort(np.where(np.isnan(likeness), -counts, -likeness), kind="stable")
        with _Quiet(self.patch_table):
            _fill(
                self.patch_table,
                [
                    (
                        int(row),
                        self._name(int(row)),
                        f"{counts[row]}",
                        "" if np.isnan(likeness[row]) else f"{likeness[row]:.3f}",
                    )
                    for row in order
                ],
            )

    def _name(self, row: int) -> str:
        assert self.fused is not None
        if self._drawn:
            return "drawn"
        region, patch = divmod(int(self.fused.sets[row]), PER_REGION)
        return f"{region}/{patch}"

    def _show_cell(self) -> None:
        row = _chosen(self.cell_table)
        if row is not None and self.fused is not None:
            self._fly(_round(self.fused.cells.contours[row], self.slide))

    def _compare(self) -> None:
        row = _chosen(self.patch_table)
        if row is None or self.fused is None:
            return
        self._list_patches(self.fused.likeness(row))
        if self.slide is not None:
            region, patch = divmod(int(self.fused.sets[row]), PER_REGION)
            y0, x0, y1, x1 = map(int, region_grid(self.slide).patch_boxes(region)[patch])
            self._fly((y0, x0, y1, x1))

    def _fly(self, box: Box) -> None:
        layer = self.layer
        if layer is not None:
            self.task.attempt(lambda: fly_to(self.viewer, layer, box))


def in_words(fused: FusedCells) -> str:
    """Return what was fused, and what the colours mean."""
    sets = f"{len(fused.sets):,} patches" if len(fused.sets) > 1 else "one set"
    return (
        f"{len(fused.cells):,} nuclei fused in {sets}. Colour: rank of the share of each nucleus in the "
        f"attention of its set, from {fused.shares.min():.3g} to {fused.shares.max():.3g}."
    )


class _Quiet:
    """Keeps a table from telling of changes that are ours."""

    def __init__(self, table: QTableWidget) -> None:
        self._table = table

    def __enter__(self) -> None:
        self._table.blockSignals(True)

    def __exit__(self, *_: object) -> None:
        self._table.blockSignals(False)


def _table(columns: tuple[str, ...], tooltip: str) -> QTableWidget:
    table = QTableWidget(0, len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.setToolTip(tooltip)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setMinimumHeight(150)
    header, numbers = table.horizontalHeader(), table.verticalHeader()
    assert header is not None
    assert numbers is not None
    header.setSectionResizeMode(header.ResizeMode.Stretch)
    numbers.setVisible(False)
    return table


def _fill(table: QTableWidget, rows: list[tuple[Any, ...]]) -> None:
    """Show rows whose first value is what the row stands for."""
    table.clearSelection()
    table.setRowCount(len(rows))
    for i, (number, *texts) in enumerate(rows):
        for j, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, number)
            table.setItem(i, j, item)


def _chosen(table: QTableWidget) -> int | None:
    items = table.selectedItems()
    return int(items[0].data(Qt.ItemDataRole.UserRole)) if items else None


def _round(contour: np.ndarray, slide: Slide | None) -> Box:
    mpp = (1.0, 1.0) if slide is None or slide.mpp is None else slide.mpp
    margin = _MARGIN_UM / np.array(mpp)
    (y0, x0), (y1, x1) = contour.min(0) - margin, contour.max(0) + margin
    return int(y0), int(x0), int(np.ceil(y1)), int(np.ceil(x1))
