"""The Analyse dock: decompose a slide into regions, patches and cells, and keep the result."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
)

from ..encoders import DescriptorEncoder
from ..errors import InputError
from ..hierarchy import (
    PROFILES,
    REGION_SHAPES,
    PatchOptions,
    analyze,
    default_store,
    open_result,
)
from ..hierarchy.filter import KEEP
from ..hierarchy.plan import PARTS
from ..progress import Progress, Step
from ..slides import Slide
from ..tissue import NORMALISERS, PER_SIDE, tissue_of
from ..viewer.layers import LayerData, result_data, show, show_result, tissue_data
from ..viewer.reader import STORE_SUFFIX
from ..viewer.results import open_store
from ..viewer.state import require_slide_layer, result_of, slide_of
from . import tooltips
from .dock import Dock, narrow, wrapped
from .estimate_box import EstimateBox, Request
from .ladder_box import LadderBox
from .scope import VISIBLE, WHOLE, ScopeBox
from .tissue_box import TissueBox

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy
    from ..hierarchy.estimate import Estimate

_AS_THEY_ARE = "as they are"
_PARTS = ("Patches", "Nuclei")  # as PARTS
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
        self.device_box = narrow(QComboBox())
        self.device_box.addItems(["auto", "cpu", "cuda", "mps"])
        self.device_box.setToolTip(tooltips.DEVICE)
        self.part_boxes = {part: QCheckBox(name) for part, name in zip(PARTS, _PARTS, strict=True)}
        chosen = QHBoxLayout()
        for box in self.part_boxes.values():
            box.setChecked(True)
            box.setToolTip(tooltips.PARTS)
            chosen.addWidget(box)
        chosen.addStretch(1)
        self.region_box = narrow(QComboBox())
        self.region_box.addItems(list(REGION_SHAPES))
        self.region_box.setToolTip(tooltips.REGIONS)
        self.survivors_box = QSpinBox()
        self.survivors_box.setRange(KEEP - 1, PER_SIDE**2)
        self.survivors_box.setSpecialValueText("all patches")
        self.survivors_box.setSuffix(" a region")
        self.survivors_box.setToolTip(tooltips.SURVIVORS)
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
        form.addRow("Device", self.device_box)
        form.addRow("Parts", chosen)
        form.addRow("Regions", self.region_box)
        form.addRow("Encode", self.survivors_box)
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
        self.estimate_box = EstimateBox(self._request)
        self.estimate_box.told.connect(self._name_button)
        self.ladder_box = LadderBox(self.viewer)
        self.body.addWidget(self.tissue_box)
        self.body.addLayout(form)
        self.body.addWidget(QLabel("Keep patches that fit these phrases"))
        self.body.addWidget(self.phrases_edit)
        self.body.addWidget(self.estimate_box)
        self.body.addWidget(self.run_button)
        self.body.addWidget(self.open_button)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.ladder_box)
        self.body.addStretch(1)
        self.needs_slide(self.run_button)
        self.needs_slide(self.open_button)
        self.setAcceptDrops(True)
        self._shown: Hierarchy | None = None
        self._show_phrases()
        for signal in (
            self.scope_box.currentIndexChanged,
            self.device_box.currentIndexChanged,
            self.region_box.currentIndexChanged,
            self.colours_box.currentIndexChanged,
            self.survivors_box.valueChanged,
            self.store_edit.textChanged,
            *(box.toggled for box in self.part_boxes.values()),
        ):
            signal.connect(self.estimate_box.changed)
        for button in (self.tissue_box.use_button, self.tissue_box.automatic_button):
            button.clicked.connect(self.estimate_box.forget_tissue)
        for event in (self.viewer.scene.camera.events.zoom, self.viewer.scene.camera.events.center):
            event.connect(self._on_move)
        self.refresh()

    def on_slide(self) -> None:
        """Offer the usual place for this slide's result, and tell what there is."""
        if self.job_layer is None:  # a look at the tissue is for the slide on the screen
            self.task.cancel()
        self.tissue_box.show_slide(self.layer)
        result = None if self.layer is None else result_of(self.layer)
        if result is not None and result is not self._shown:
            options = result.options
            self.colours_box.setCurrentText(options.normalise or _AS_THEY_ARE)
            self.region_box.setCurrentText(options.regions)
            self.survivors_box.setValue(options.survivors or self.survivors_box.minimum())
        if self.slide is not None:
            self.store_edit.setText(str(default_store(self.slide) if result is None else result.path))
        self._show_result(result)
        self.estimate_box.forget_tissue()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts to compute."""
        return tuple(part for part, box in self.part_boxes.items() if box.isChecked())

    @property
    def options(self) -> PatchOptions:
        """How patches become vectors and regions."""
        colours, survivors = self.colours_box.currentText(), self.survivors_box.value()
        everything = survivors == self.survivors_box.minimum() or not self.survivors_box.isEnabled()
        return PatchOptions(
            None if colours == _AS_THEY_ARE else colours,
            None if everything else survivors,
            "adaptive" if self.region_box.currentText() == "adaptive" else "square",
        )

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

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Qt: take results."""
        if event is not None and _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Qt: open the results that are dropped, each on its slide, which is opened where it is not."""
        for path in [] if event is None else _dropped(event):
            if self.task.attempt(partial(open_store, self.viewer, path)) and not self.task.busy:
                self.task.say("")

    def _start(self) -> None:
        layer = require_slide_layer(self.viewer)
        slide = slide_of(layer)
        assert slide is not None  # a slide's layer has its slide
        slide.require_mpp()
        box = self.scope_box.scope(self.viewer, layer).box
        store = Path(self.store_edit.text()).expanduser()
        profile, phrases = self.profile_box.currentText(), self.phrases
        parts, options, device = self.parts, self.options, self.device_box.currentText()
        if not parts:
            raise InputError("No part is chosen. Choose patches, nuclei or both.")

        def work(progress: Progress, piece: Any) -> tuple[Hierarchy, list[LayerData]]:
            tissue = tissue_of(slide, progress)
            piece((None, [tissue_data(slide, tissue)]))
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
                    parts=parts,
                    device=device,
                    normalise=options.normalise,
                    survivors=options.survivors,
                    regions=options.regions,
                )
            finally:  # also when stopped: what was finished is in the result
                known = result_of(layer)
                if known is not None:
                    known.refresh()
            return result, result_data(result, slide)

        def done(found: tuple[Hierarchy, list[LayerData]]) -> None:
            show_result(self.viewer, layer, *found)
            if layer is self.layer:
                self._show_result(found[0])

        def growing(found: tuple[Hierarchy | None, list[LayerData]]) -> None:
            for data in found[1]:
                show(self.viewer, data)
            if found[0] is not None and layer is self.layer:
                self.summary.setText(in_words(found[0]))

        again = self.estimate_box.changed
        self.start(layer, "Looking for tissue…", work, done, growing, lambda _: again(), again)

    def _request(self) -> Request | None:
        """Return what would be run now, for an estimate of it."""
        if self._layer is None or self.slide is None or self.slide.mpp is None or self.task.busy:
            return None
        try:
            box = self.scope_box.scope(self.viewer, self._layer).box
        except InputError:  # the slide is out of view
            return None
        profile, store = PROFILES[self.profile_box.currentText()], Path(self.store_edit.text())
        device = self.device_box.currentText()
        return Request(
            self.slide, profile, profile.segmenter, self.parts, self.options, device, store.expanduser(), box
        )

    def _name_button(self, found: Estimate | None) -> None:
        self.run_button.setText("Go on" if found is not None and found.begun and found.left else "Analyse")

    def _show_result(self, result: Hierarchy | None) -> None:
        self._shown = result
        self.summary.setText("" if result is None else in_words(result))
        self.ladder_box.show_result(self.layer, result)
        self.estimate_box.changed()

    def _on_move(self, event: Any = None) -> None:
        if self.scope_box.currentText() == VISIBLE:
            self.estimate_box.changed()

    def _on_layers(self, event: Any = None) -> None:
        """A result can come by other doors, such as dropping it on the canvas."""
        super()._on_layers(event)
        if self._layer is not None and not self.task.busy and result_of(self._layer) is not self._shown:
            self.on_slide()

    def _show_phrases(self, name: str = "") -> None:
        profile = PROFILES[self.profile_box.currentText()]
        self.phrases_edit.setPlainText("\n".join(profile.phrases))
        self.survivors_box.setEnabled(profile.encoder != DescriptorEncoder.name)
        self.estimate_box.changed()

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
            result = open_result(self._store, self._slide)
            self._piece((result, result_data(result, self._slide)))


def _dropped(event: QDropEvent) -> list[str]:
    """Return the results among what is dragged."""
    mime = event.mimeData()
    paths = [] if mime is None else [url.toLocalFile().rstrip("/") for url in mime.urls()]
    return [path for path in paths if path.endswith(STORE_SUFFIX)]


def in_words(result: Hierarchy) -> str:
    """Return what a result holds."""
    regions, nuclei = result.regions, len(result.cell_column("types"))
    done, kept = int((regions["status"] == "done").sum()), len(result.selected_patches)
    words = [
        f"{done} of {len(regions)} regions, {len(result.patches):,} patches of which {kept:,} kept, "
        f"{nuclei:,} nuclei."
    ]
    tissue = regions["reason"] != "no tissue"
    for part, name in zip(PARTS, _PARTS, strict=True):
        if not regions.loc[tissue, part].all():
            words.append(f"{name} in {int(regions[part].sum())} of {int(tissue.sum())} with tissue.")
    if len(result.adaptive_regions):
        words.append(f"Adaptive regions: {len(result.adaptive_regions)}.")
    if result.two_steps is not None:
        words.append(str(result.two_steps))
    return " ".join(words)
