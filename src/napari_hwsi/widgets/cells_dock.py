"""The Segment cells dock: find nuclei in a part of the slide, count and save them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import shapely
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QPushButton, QWidget

from ..cells import segment_cells
from ..errors import InputError
from ..progress import Progress
from ..slides import Slide
from ..tissue import TissueMask, tissue_of
from ..viewer.drawn import points_in
from ..viewer.layers import cells_data, show
from ..viewer.nuclei import Nuclei, nuclei_of, nuclei_on, on_other_nuclei
from ..viewer.state import FOUND, require_slide_layer, slide_of
from . import tooltips
from .dock import Dock, open_named, wrapped
from .growing import Gathering, Growing, Grown
from .look_box import LookBox
from .scope import Scope, ScopeBox
from .segmenter_box import SegmenterBox

if TYPE_CHECKING:
    from ..cells import Cells

PARTIAL = "The search was stopped: a part is missing, and at the seams of tiles some may be double."

_NEXT = {
    "List": ("Nuclei table", tooltips.OPEN_TABLE),
    "Count": ("Count nuclei", tooltips.OPEN_COUNT),
    "Correct": ("Correct nuclei", tooltips.OPEN_CORRECT),
}
"""What is done with nuclei once there are some: the docks for it."""


@dataclass(frozen=True)
class Found:
    """Nuclei of a slide with words on them, kept in its layer until it goes."""

    slide: Slide
    cells: Cells
    words: str
    searched: Any = None
    """Where they were looked for, a shapely geometry in level-0 px (x, y); None where that is not known."""


class CellsDock(Dock):
    """Runs a segmenter on what is visible, drawn, or all of the slide."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.scope_box = ScopeBox()
        self.segmenter_box = SegmenterBox()
        self.segmenter_box.changed.connect(self._enable)
        form = QFormLayout()
        form.addRow("Where", self.scope_box)
        form.addRow("Segmenter", self.segmenter_box)
        form.addRow(self.segmenter_box.words)
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
        self.look_box = LookBox(self.viewer, self.task)
        self.body.addWidget(self.save_button)
        self.body.addWidget(self.look_box)
        self.next_box = QWidget()
        row = QHBoxLayout(self.next_box)
        row.setContentsMargins(0, 0, 0, 0)
        self.next_buttons = [QPushButton(short) for short in _NEXT]
        for button, (name, words) in zip(self.next_buttons, _NEXT.values(), strict=True):
            button.setToolTip(words)
            button.clicked.connect(lambda _, name=name: open_named(napari_viewer, name))
            row.addWidget(button)
        self.body.addWidget(self.next_box)
        self.body.addStretch(1)
        self.needs_slide(self.run_button)
        on_other_nuclei(self.viewer, self._look_again)
        self.refresh()

    def _enable(self) -> None:
        super()._enable()
        if self.segmenter_box.lacking:
            self.run_button.setEnabled(False)

    def on_slide(self) -> None:
        """Show what was found on this slide."""
        kept = None if self.layer is None else self.layer.metadata.get(FOUND)
        # A slide that was opened anew by other colours has nuclei of its own.
        self._kept: Found | None = kept if kept is not None and kept.slide is self.slide else None
        self.found.setText("" if self._kept is None else self._kept.words)
        self.save_button.setVisible(self._kept is not None and len(self._kept.cells) > 0)
        self.look_box.show_slide(self.slide)
        nuclei = nuclei_on(self.viewer, self.slide)
        self.next_box.setVisible(nuclei is not None)
        if nuclei is not None:
            nuclei.changed.connect(self._on_cells, unique=True)

    def _look_again(self, event: Any = None) -> None:
        if nuclei_on(self.viewer, self.slide) is not self.look_box.nuclei:
            self.on_slide()

    def _on_cells(self) -> None:
        nuclei = nuclei_on(self.viewer, self.slide)
        if nuclei is not None and not nuclei.growing:
            self.on_slide()

    @property
    def cells(self) -> Cells | None:
        """What was found on the slide, None where nothing was looked for."""
        return None if self._kept is None else self._kept.cells

    def run(self) -> None:
        """Find the nuclei of the chosen part, in a thread."""
        self.task.attempt(self._start)

    def save(self, path: str | Path) -> None:
        """Save what was found as GeoJSON or Parquet, by the file's ending."""
        if self.cells is not None and self.slide is not None:
            save_cells(self.slide, self.cells, Path(path))
            self.task.say(f"Saved {len(self.cells):,} nuclei to {path}.")

    def _start(self) -> None:
        layer, segmenter = require_slide_layer(self.viewer), self.segmenter_box.chosen
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        scope = self.scope_box.scope(self.viewer, layer)

        def work(progress: Progress, piece: Any) -> Found:
            tissue = tissue_of(slide, progress)
            cells = segment_cells(
                slide,
                box=scope.box,
                segmenter=segmenter,
                progress=progress,
                tissue=tissue,
                piece=Gathering(piece, scope.area),
            )
            if scope.area is not None:
                cells = cells.select(points_in(scope.area, cells.centroids))
            y0, x0, y1, x1 = scope.box or slide.bounds
            searched = shapely.box(x0, y0, x1, y1) if scope.area is None else scope.area
            return Found(slide, cells, in_words(slide, scope, cells, tissue), searched)

        growing = Growing(self.viewer, slide)
        self.start(
            layer,
            "Looking for nuclei…",
            work,
            lambda found: self._show(layer, found),
            lambda grown: self._grow(layer, growing, grown),
            lambda _: self._stop(layer, growing, self.task.words.text()),
            lambda: self._stop(layer, growing, "Stopped."),
        )

    def _grow(self, layer: Image, growing: Growing, grown: Grown) -> None:
        new = growing.show(grown)
        if layer is self.layer:
            self.found.setText(f"{len(grown.index.cells):,} nuclei so far")
            self.save_button.hide()
            if new:
                self.look_box.show_slide(self.slide)
                self.next_box.show()

    def _stop(self, layer: Image, growing: Growing, words: str) -> None:
        """Say what became of the nuclei of a search that did not come to its end."""
        slide = slide_of(layer)
        if growing.nuclei is None or slide is None or layer not in self.viewer.layers:
            return
        part = growing.stop()
        if part is None:
            self.task.say(f"{words} The nuclei from before are back.")
        else:
            found = Found(slide, part, f"{len(part):,} nuclei in what was searched. {PARTIAL}")
            follow_corrections(self.viewer, layer, found, growing.nuclei)
            self.task.say(f"{words} The nuclei found until then are kept.")
        if layer is self.layer:
            self.on_slide()

    def _show(self, layer: Image, found: Found) -> None:
        nuclei = nuclei_of(show(self.viewer, cells_data(found.slide, found.cells, found.searched)))
        assert nuclei is not None  # a layer of cells shows nuclei
        follow_corrections(self.viewer, layer, found, nuclei)
        if layer is self.layer:
            self.on_slide()

    def _choose_file(self) -> None:
        kinds = "GeoJSON (*.geojson);;Parquet (*.parquet)"
        path, _ = QFileDialog.getSaveFileName(self, "Save nuclei", "nuclei.geojson", kinds)
        if path:
            self.task.attempt(lambda: self.save(path))


def follow_corrections(viewer: ViewerModel, layer: Image, found: Found, nuclei: Nuclei) -> None:
    """Let what was found on a slide's layer be the corrected nuclei: these are saved and fused."""

    def follow() -> None:
        words = f"{found.words}\nCorrected by hand: {len(nuclei.cells):,} nuclei now."
        now = replace(found, cells=nuclei.cells, words=words if nuclei.can_undo else found.words)
        if nuclei.layer is not None:
            nuclei.layer.metadata[FOUND] = now
        if nuclei_on(viewer, found.slide) is nuclei:
            layer.metadata[FOUND] = now

    follow()
    nuclei.changed.connect(follow, priority=1)  # before docks look at what was found


def in_words(slide: Slide, scope: Scope, cells: Cells, tissue: TissueMask) -> str:
    """Return how many nuclei there are, per mm² of tissue in the part looked at, and of which types."""
    y, x = slide.require_mpp()
    mm2 = tissue_pixels(slide, scope, tissue) * y * x / 1e6
    words = f"{len(cells):,} nuclei in {mm2:.3g} mm² of tissue"
    words += f": {len(cells) / mm2:,.0f} per mm² of tissue." if mm2 > 0 else "."
    if len(cells.type_names) > 1:
        counts = np.bincount(cells.types, minlength=len(cells.type_names))
        kinds = (f"{n:,} {name}" for name, n in zip(cells.type_names, counts, strict=True))
        words += f"\n{', '.join(kinds)}."
    return words


def tissue_pixels(slide: Slide, scope: Scope, tissue: TissueMask) -> float:
    """Return the area of the tissue within a part of a slide, in level-0 pixels."""
    if scope.area is None:
        return tissue.area_in(scope.box or slide.bounds)
    dy, dx = tissue.downsample
    y, x = np.nonzero(tissue.mask)
    pixels = shapely.box(x * dx, y * dy, (x + 1) * dx, (y + 1) * dy)
    shapely.prepare(scope.area)
    within, met = shapely.contains(scope.area, pixels), shapely.intersects(scope.area, pixels)
    cut = shapely.intersection(scope.area, pixels[met & ~within])
    return float(within.sum() * dy * dx + shapely.area(cut).sum())


def save_cells(slide: Slide, cells: Cells, path: Path) -> None:
    """Write nuclei as GeoJSON or Parquet. Raises InputError for another ending, StoreError."""
    kind = path.suffix.lower()
    if kind not in (".geojson", ".json", ".parquet"):
        raise InputError(f"{path.name} should end in .geojson or .parquet.")
    if kind == ".parquet":
        cells.to_parquet(path)
    else:  # QuPath counts from the scanned part
        cells.to_geojson(path, origin=slide.bounds[:2])
