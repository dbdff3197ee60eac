"""The Analyse dock: decompose a slide into regions, patches and cells, and keep the result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
)

from ..hierarchy import PROFILES, analyze, default_store, open_result
from ..progress import Progress, Step
from ..slides import Slide
from ..tissue import NORMALISERS, tissue_of
from ..viewer.layers import LayerData, result_data, show, show_result, tissue_data
from ..viewer.state import require_slide_layer, result_of, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped
from .scope import VISIBLE, WHOLE, ScopeBox
from .tissue_box import TissueBox

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

_AS_THEY_ARE = "as they are"
_LOOK_S = 4.0  # how often a growing result is drawn anew


class AnalyseDock(Dock):
    """Runs the analysis of what is visible or of the whole slide, into a store."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.scope_box = ScopeBox(VISIBLE, WHOLE)
        self.profile_box = narrow(QComboBox())
        self.profile_box.addItems(list(PROFILES))
        self.profile_box.setToolTip(tooltips.PROFILE)
        self.profile_box.currentTextChanged.connect(self._show_phrases)
        self.colours_box = narrow(QComboBox())
        self.colours_box.addItems([_AS_THEY_ARE, *NORMALISERS])
        self.colours_box.setToolTip(tooltips.NORMALISE)
        self.store_edit = QLineEdit()
        self.store_edit.setToolTip(tooltips.STORE)
        choose = QPushButton("…")
        choose.setMaximumWidth(32)
        choose.setToolTip(tooltips.STORE)
        choose.clicked.connect(self._choose_store)
        where = QHBoxLayout()
        where.addWidget(self.store_edit, 1)
        where.addWidget(choose)
        form = QFormLayout()
        form.addRow("What", self.scope_box)
        form.addRow("Profile", self.profile_box)
        form.addRow("Colours", self.colours_box)
        form.addRow("Result", where)
        self.phrases_edit = QPlainTextEdit()
        self.phrases_edit.setToolTip(tooltips.PHRASES)
        self.phrases_edit.setTabChangesFocus(True)
        self.phrases_edit.setStyleSheet("border: 1px solid rgba(128, 128, 128, 140); border-radius: 3px;")
        self.phrases_edit.setMaximumHeight(130)
        self.run_button = QPushButton("Analyse")
        self.run_button.setToolTip(tooltips.ANALYSE)
        self.run_button.clicked.connect(self.run)
        self.open_button = QPushButton("Open result…")
        self.open_button.setToolTip(tooltips.OPEN_RESULT)
        self.open_button.clicked.connect(self._choose_result)
        self.summary = wrapped()
        self.tissue_box = TissueBox(self.viewer, self.task)
        self.body.addWidget(self.tissue_box)
        self.body.addLayout(form)
        self.body.addWidget(QLabel("Keep patches that fit these phrases"))
        self.body.addWidget(self.phrases_edit)
        self.body.addWidget(self.run_button)
        self.body.addWidget(self.open_button)
        self.body.addWidget(self.summary)
        self.body.addStretch(1)
        self.needs_slide(self.run_button)
        self.needs_slide(self.open_button)
        self._show_phrases()
        self.refresh()

    def on_slide(self) -> None:
        """Offer the usual place for this slide's result, and tell what there is."""
        if self.job_layer is None:  # a look at the tissue is for the slide on the screen
            self.task.cancel()
        self.tissue_box.show_slide(self.layer)
        result = None if self.layer is None else result_of(self.layer)
        if result is not None:
            self.colours_box.setCurrentText(result.normalisation or _AS_THEY_ARE)
        if self.slide is not None:
            self.store_edit.setText(str(default_store(self.slide) if result is None else result.path))
        self.summary.setText("" if result is None else in_words(result))

    @property
    def phrases(self) -> list[str]:
        """The phrases as they stand in the list."""
        return [line.strip() for line in self.phrases_edit.toPlainText().splitlines() if line.strip()]

    def run(self) -> None:
        """Analyse the chosen part, in a thread; layers appear as parts are finished."""
        self.task.attempt(self._start)

    def open(self, path: str | Path) -> None:
        """Open a result of the slide on the screen."""

        def action() -> None:
            layer = require_slide_layer(self.viewer)
            slide = slide_of(layer)
            assert slide is not None
            result = open_result(path, slide)
            show_result(self.viewer, layer, result)
            self.on_slide()

        if self.task.attempt(action) and not self.task.busy:
            self.task.say("")

    def _start(self) -> None:
        layer = require_slide_layer(self.viewer)
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        box = self.scope_box.scope(self.viewer, layer).box
        store = Path(self.store_edit.text()).expanduser()
        profile, phrases = self.profile_box.currentText(), self.phrases
        colours = self.colours_box.currentText()
        normalise = None if colours == _AS_THEY_ARE else colours

        def work(progress: Progress, piece: Any) -> tuple[Hierarchy, list[LayerData]]:
            tissue = tissue_of(slide, progress)
            piece([tissue_data(slide, tissue)])
            watch = _Watch(store, slide, progress, piece)
            try:
                result = analyze(
                    slide,
                    store,
                    profile=profile,
                    phrases=phrases,
                    box=box,
                    progress=watch,
                    tissue=tissue,
                    normalise=normalise,
                )
            finally:  # also when stopped: what was finished is in the result
                known = result_of(layer)
                if known is not None:
                    known.refresh()
            return result, result_data(result, slide)

        def done(found: tuple[Hierarchy, list[LayerData]]) -> None:
            show_result(self.viewer, layer, *found)
            if layer is self.layer:
                self.summary.setText(in_words(found[0]))

        self.start(layer, "Looking for tissue…", work, done, self._show_parts)

    def _show_parts(self, parts: list[LayerData]) -> None:
        for data in parts:
            show(self.viewer, data)

    def _show_phrases(self, name: str = "") -> None:
        self.phrases_edit.setPlainText("\n".join(PROFILES[self.profile_box.currentText()].phrases))

    def _choose_store(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Where the result goes", self.store_edit.text())
        if path:
            self.store_edit.setText(path if path.endswith(".hwsi.zarr") else f"{path}.hwsi.zarr")

    def _choose_result(self) -> None:
        start = str(Path(self.store_edit.text()).parent)
        path = QFileDialog.getExistingDirectory(self, "Open result (.hwsi.zarr)", start)
        if path:
            self.open(path)


class _Watch:
    """Passes progress on, and hands over what is finished of the result every few seconds."""

    def __init__(self, store: Path, slide: Slide, progress: Progress, piece: Any) -> None:
        self._store, self._slide, self._progress, self._piece = store, slide, progress, piece
        self._drawn, self._at = 0, time.monotonic()

    def __call__(self, step: Step) -> None:
        self._progress(step)
        now = time.monotonic()
        if step.what == "regions" and step.done > self._drawn and now - self._at > _LOOK_S:
            self._drawn, self._at = step.done, now
            self._piece(result_data(open_result(self._store, self._slide), self._slide))


def in_words(result: Hierarchy) -> str:
    """Return what a result holds."""
    regions = result.regions
    done = int((regions["status"] == "done").sum())
    return (
        f"{done} of {len(regions)} regions, {len(result.patches):,} patches of which "
        f"{len(result.selected_patches):,} kept, {len(result.cells):,} nuclei."
    )
