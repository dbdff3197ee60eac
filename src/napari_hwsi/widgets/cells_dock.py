"""The Segment cells dock: find nuclei in a part of the slide, count and save them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QPushButton

from ..cells import segment_cells, segmenters
from ..errors import InputError
from ..progress import Progress
from ..slides import Slide
from ..viewer.drawn import points_in
from ..viewer.edits import edited_tissue
from ..viewer.layers import cells_data, show
from ..viewer.state import require_slide_layer, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped
from .scope import Scope, ScopeBox

if TYPE_CHECKING:
    from ..cells import Cells


class CellsDock(Dock):
    """Runs a segmenter on what is visible, drawn, or all of the slide."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.cells: Cells | None = None
        self.scope_box = ScopeBox()
        self.segmenter_box = narrow(QComboBox())
        self.segmenter_box.addItems(list(segmenters))
        self.segmenter_box.setToolTip(tooltips.SEGMENTER)
        form = QFormLayout()
        form.addRow("Where", self.scope_box)
        form.addRow("Segmenter", self.segmenter_box)
        self.run_button = QPushButton("Segment cells")
        self.run_button.setToolTip(tooltips.SEGMENT)
        self.run_button.clicked.connect(self.run)
        self.found = wrapped()
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip(tooltips.SAVE_CELLS)
        self.save_button.clicked.connect(self._choose_file)
        self.body.addLayout(form)
        self.body.addWidget(self.run_button)
        self.body.addWidget(self.found)
        self.body.addWidget(self.save_button)
        self.body.addStretch(1)
        self.task.busy_changed.connect(lambda busy: self.run_button.setEnabled(not busy))
        self.refresh()

    def on_slide(self) -> None:
        """Forget the nuclei of another slide."""
        self.task.cancel()
        self.cells = None
        self.found.setText("")
        self.save_button.hide()

    def run(self) -> None:
        """Find the nuclei of the chosen part, in a thread."""
        self.task.attempt(self._start)

    def save(self, path: str | Path) -> None:
        """Save what was found as GeoJSON or Parquet, by the file's ending."""
        if self.cells is not None and self.slide is not None:
            save_cells(self.slide, self.cells, Path(path))
            self.task.say(f"Saved {len(self.cells):,} nuclei to {path}.")

    def _start(self) -> None:
        layer, segmenter = require_slide_layer(self.viewer), self.segmenter_box.currentText()
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        scope = self.scope_box.scope(self.viewer, layer)

        def work(progress: Progress, piece: Any) -> Cells:
            cells = segment_cells(
                slide, box=scope.box, segmenter=segmenter, progress=progress, tissue=edited_tissue(slide)
            )
            return cells if scope.area is None else cells.select(points_in(scope.area, cells.centroids))

        self.task.run("Looking for nuclei…", work, lambda cells: self._show(slide, scope, cells))

    def _show(self, slide: Slide, scope: Scope, cells: Cells) -> None:
        self.cells = cells
        self.found.setText(in_words(slide, scope, cells))
        self.save_button.setVisible(len(cells) > 0)
        show(self.viewer, cells_data(slide, cells))

    def _choose_file(self) -> None:
        kinds = "GeoJSON (*.geojson);;Parquet (*.parquet)"
        path, _ = QFileDialog.getSaveFileName(self, "Save nuclei", "nuclei.geojson", kinds)
        if path:
            self.task.attempt(lambda: self.save(path))


def in_words(slide: Slide, scope: Scope, cells: Cells) -> str:
    """Return how many nuclei there are, per mm² of the part that was looked at, and of which types."""
    y, x = slide.require_mpp()
    if scope.area is not None:
        pixels = float(scope.area.area)
    else:
        box = scope.box or slide.bounds
        pixels = float((box[2] - box[0]) * (box[3] - box[1]))
    mm2 = pixels * y * x / 1e6
    words = f"{len(cells):,} nuclei in {mm2:.3g} mm²: {len(cells) / mm2:,.0f} per mm²."
    if len(cells.type_names) > 1:
        counts = np.bincount(cells.types, minlength=len(cells.type_names))
        kinds = (f"{n:,} {name}" for name, n in zip(cells.type_names, counts, strict=True))
        words += f"\n{', '.join(kinds)}."
    return words


def save_cells(slide: Slide, cells: Cells, path: Path) -> None:
    """Write nuclei as GeoJSON or Parquet. Raises InputError for another ending, StoreError."""
    kind = path.suffix.lower()
    if kind not in (".geojson", ".json", ".parquet"):
        raise InputError(f"{path.name} should end in .geojson or .parquet.")
    if kind == ".parquet":
        cells.to_parquet(path)
    else:  # QuPath counts from the scanned part
        cells.to_geojson(path, origin=slide.bounds[:2])
