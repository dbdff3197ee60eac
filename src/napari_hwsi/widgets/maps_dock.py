"""The Maps dock: what scores lie on the slide, as layers, side by side, as shapes and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
)

from ..errors import InputError
from ..evidence.maps import ENDINGS, ScoreMap, maps_of, write_maps
from ..progress import Progress
from ..viewer.layers import show_slide
from ..viewer.linked import Link
from ..viewer.maps import show_above, show_score_map
from ..viewer.state import require_slide_layer, result_of, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped

_NONE = "This slide is not analysed yet, or no result of it is open: see the Analyse dock."


class MapsDock(Dock):
    """Shows the maps of the slide's result: the filter's relevance, each phrase, CCAF."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._maps: dict[str, ScoreMap] = {}
        self._of: tuple[object, object] | None = None  # the result they are of, as it stood
        self._link: Link | None = None
        self.map_box = narrow(QComboBox())
        self.map_box.setToolTip(tooltips.SCORE_MAP)
        self.percentile_box = QCheckBox("As percentiles")
        self.percentile_box.setToolTip(tooltips.PERCENTILE)
        self.beside_box = QCheckBox("Keep the last one")
        self.beside_box.setToolTip(tooltips.KEEP_MAP)
        self.words = wrapped()
        self.show_button = self.button("Show map", tooltips.SHOW_SCORES, self._show)
        self.linked_button = self.button("In a linked window", tooltips.LINKED, self._linked)
        self.save_button = self.button("Save maps…", tooltips.SAVE_MAPS, self._choose_file)
        self.threshold_box = QDoubleSpinBox()
        self.threshold_box.setDecimals(4)
        self.threshold_box.setToolTip(tooltips.THRESHOLD)
        self.above_button = self.button("Outline", tooltips.OUTLINE, self._outline)
        form = QFormLayout()
        form.addRow("Map", self.map_box)
        form.addRow(self.percentile_box)
        form.addRow(self.beside_box)
        group = QGroupBox("Where scores are at least")
        row = QHBoxLayout(group)
        row.addWidget(self.threshold_box, 1)
        row.addWidget(self.above_button)
        self.body.addLayout(form)
        for widget in (self.show_button, self.linked_button, group, self.save_button, self.words):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self.map_box.currentIndexChanged.connect(lambda _: self._describe())
        self.percentile_box.toggled.connect(lambda _: self._describe())
        self.viewer.layers.events.inserted.connect(self._on_result)
        self.refresh()

    def on_slide(self) -> None:
        """Offer the maps of this slide's result."""
        self._fill()

    def chosen(self) -> ScoreMap:
        """Return the map that is chosen, as scores or percentiles; raises InputError where there is none."""
        self._fill()
        one = self._maps.get(self.map_box.currentText())
        if one is None:
            raise InputError(_NONE)
        return one.percentiles() if self.percentile_box.isChecked() else one

    def save(self, path: str | Path) -> None:
        """Write all maps of the result in a thread; the file's ending decides the form."""
        layer = require_slide_layer(self.viewer)
        maps = [one.percentiles() if self.percentile_box.isChecked() else one for one in self._all()]
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        target = Path(path)

        def work(progress: Progress, piece: Any) -> list[Path]:
            thumbnail = np.asarray(slide.thumbnail(1024)) if target.suffix == ".png" else None
            origin = slide.bounds[:2]  # QuPath counts from the scanned part
            return write_maps(maps, target, thumbnail=thumbnail, progress=progress, origin=origin)

        def done(files: list[Path]) -> None:
            self.task.say(f"Saved {len(maps)} maps to {files[0].parent / files[0].name}.")

        self.start(layer, "Writing…", work, done)

    def _all(self) -> list[ScoreMap]:
        self._fill()
        if not self._maps:
            raise InputError(_NONE)
        return list(self._maps.values())

    def _show(self) -> None:
        layer = require_slide_layer(self.viewer)
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        show_score_map(self.viewer, slide, self.chosen(), self.beside_box.isChecked())

    def _linked(self) -> None:
        """Open the slide with this map in a second window that looks where this one does."""
        slide, one = slide_of(require_slide_layer(self.viewer)), self.chosen()
        assert slide is not None  # a slide's layer has its slide
        other = napari.Viewer(title=f"{one.name} · {slide.name}")
        show_slide(other, slide)
        show_score_map(other, slide, one)
        self._link = Link(self.viewer, other)

    def _outline(self) -> None:
        slide = slide_of(require_slide_layer(self.viewer))
        assert slide is not None  # a slide's layer has its slide
        show_above(self.viewer, slide, self.chosen(), self.threshold_box.value())

    def _fill(self) -> None:
        """Take in the maps of the result as it is now."""
        result = None if self.layer is None else result_of(self.layer)
        now = None if result is None else (result, result.facts)
        if (
            self._of is not None
            and now is not None
            and all(a is b for a, b in zip(self._of, now, strict=True))
        ):
            return
        maps = {} if result is None else {one.name: one for one in maps_of(result)}
        self._of = now
        if maps.keys() != self._maps.keys():
            chosen = self.map_box.currentText()
            self.map_box.blockSignals(True)
            self.map_box.clear()
            self.map_box.addItems(list(maps))
            self.map_box.setCurrentIndex(max(0, self.map_box.findText(chosen)))
            self.map_box.blockSignals(False)
        self._maps = maps
        self._describe()

    def _on_result(self, event: Any = None) -> None:
        """A new result is shown by new layers."""
        self._fill()

    def _describe(self) -> None:
        one = self._maps.get(self.map_box.currentText())
        if one is None:
            self.words.setText(_NONE)
        else:
            shown = one.percentiles() if self.percentile_box.isChecked() else one
            low, high = shown.limits
            self.threshold_box.setRange(low, high)
            self.threshold_box.setSingleStep((high - low) / 20)
            known = shown.scores[np.isfinite(shown.scores)]
            if len(known):
                self.threshold_box.setValue(float(np.percentile(known, 90)))
            unit = "percentiles among the units" if shown.values == "percentile" else "raw scores"
            self.words.setText(f"{len(known):,} {one.scale} scores, {low:.3g} to {high:.3g}; {unit}.")
        self._enable()

    def _enable(self) -> None:
        super()._enable()
        for button in (self.show_button, self.linked_button, self.above_button, self.save_button):
            button.setEnabled(self.layer is not None and not self.task.busy)

    def _choose_file(self) -> None:
        forms = ";;".join(f"*{ending} (*{ending})" for ending in ENDINGS)
        path, _ = QFileDialog.getSaveFileName(self, "Save maps", "maps.ome.zarr", forms)
        if path:
            self.save(path)
