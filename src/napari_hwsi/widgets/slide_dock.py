"""The Slide dock: what is known of the slide, its pixel size, magnification, and getting about."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from ..errors import ResolutionError
from ..progress import Progress
from ..slides import Slide
from ..tissue import stain_kind
from ..viewer.layers import replace_scale
from ..viewer.reader import OPENABLE, open_in
from ..viewer.reopen import set_icc
from ..viewer.trouble import Trouble, watch
from . import tooltips
from .dock import Dock, narrow, wrapped
from .magnification import DrawingSwitch, Magnification
from .picture import PictureView
from .places import Places
from .task import Task, in_words

_TROUBLE = "The file does not answer. It is tried again every few seconds."
_COLOURS = "Shown by other colours now. What was found by the former ones is taken off: analyse again."
_TROUBLE_STYLE = "background: #E69F00; color: black; padding: 4px; border-radius: 3px;"
_STAINS = {"h&e": "H&E", "fluorescence": "fluorescence (not H&E)", "other": "not H&E"}


class SlideDock(Dock):
    """Facts, pixel size, magnification, places and the pictures beside the slide."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._stain_task: Task | None = None
        self._trouble: Trouble | None = None
        self.open_button = QPushButton("Open slide…")
        self.open_button.setToolTip(tooltips.OPEN_SLIDE)
        self.open_button.clicked.connect(self._choose_slide)
        self.trouble_words = wrapped(_TROUBLE)
        self.trouble_words.setStyleSheet(_TROUBLE_STYLE)
        self.trouble_words.hide()
        self.top.addWidget(self.trouble_words)
        self.body.addWidget(self.open_button)
        self.body.addLayout(self._facts())
        self.icc_box = QCheckBox("Colours by the file's profile")
        self.icc_box.setToolTip(tooltips.ICC)
        self.icc_box.clicked.connect(self.set_icc)
        self.body.addWidget(self.icc_box)
        self.body.addWidget(self._pixel_size())
        self.body.addWidget(self._view())
        self.places = Places(self.viewer, self.task)
        self.body.addWidget(self.places)
        self.body.addWidget(self._associated())
        self.body.addStretch(1)
        self.refresh()

    def on_slide(self) -> None:
        """Show the facts of the slide."""
        slide = self.slide
        self.magnification.set_known(slide is not None and slide.mpp is not None)
        self.places.show_slide(self.layer)
        self._watch()
        self.mpp_box.setVisible(slide is not None and slide.mpp_source != "file")
        self.picture.show_pixels(None)
        self.names.clear()
        self.associated_box.setVisible(slide is not None and bool(slide.associated_images))
        self.icc_box.setVisible(slide is not None and slide.icc_profile_name is not None)
        self.icc_box.setChecked(slide is not None and slide.icc)
        if slide is None:
            for label in self.fact_labels.values():
                label.setText("–")
            return
        for name, text in slide_facts(slide).items():
            self.fact_labels[name].setText(text)
        self.mpp_edit.setText("" if slide.mpp is None else f"{slide.mpp[0]:.4g}")
        self.names.addItems(list(slide.associated_images))
        self._find_stain(slide)

    def set_mpp(self, text: str) -> None:
        """Give the slide its pixel size in µm, and place its layers anew."""
        slide = self.slide
        if slide is None:
            return
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            self.task.say(f"{text!r} is not a number of µm per pixel, such as 0.25.")
            return
        if self.task.attempt(lambda: slide.set_mpp(value)):
            replace_scale(self.viewer, slide)
            self.on_slide()
            self.task.say(f"{slide.name} has {value:g} µm per pixel now; it is remembered.")

    def set_icc(self, on: bool) -> None:
        """Convert the colours of the slide to sRGB by its own profile, or leave them as they are."""
        layer = self.layer
        if layer is not None:
            if self.task.attempt(lambda: set_icc(self.viewer, layer, on)):
                self.task.say(_COLOURS)
            else:
                self.icc_box.setChecked(not on)

    def show_associated(self, name: str) -> None:
        """Show a picture that the scanner put beside the slide."""
        slide = self.slide
        if slide is not None:
            self.picture.show_pixels(np.asarray(slide.associated_images[name]))

    def _facts(self) -> QFormLayout:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        form.setVerticalSpacing(2)
        self.fact_labels = {}
        for name in ("Vendor", "Size", "On glass", "Pixel", "Levels", "Stain", "Profile", "Read by"):
            self.fact_labels[name] = wrapped("–")
            form.addRow(QLabel(name), self.fact_labels[name])
        return form

    def _pixel_size(self) -> QGroupBox:
        self.mpp_box = QGroupBox("Pixel size in µm")
        self.mpp_edit = QLineEdit()
        self.mpp_edit.setPlaceholderText("such as 0.25")
        self.mpp_edit.setToolTip(tooltips.MPP)
        self.mpp_button = QPushButton("Set")
        self.mpp_button.clicked.connect(lambda: self.set_mpp(self.mpp_edit.text()))
        self.mpp_edit.returnPressed.connect(self.mpp_button.click)
        row = QHBoxLayout()
        row.addWidget(self.mpp_edit, 1)
        row.addWidget(self.mpp_button)
        layout = QVBoxLayout(self.mpp_box)
        layout.addWidget(wrapped("The file does not state it. Give it once:"))
        layout.addLayout(row)
        return self.mpp_box

    def _view(self) -> QGroupBox:
        self.view_box = QGroupBox("View")
        self.magnification = Magnification(self.viewer, self.task)
        self.drawing = DrawingSwitch()
        layout = QVBoxLayout(self.view_box)
        layout.addWidget(self.magnification)
        layout.addWidget(self.drawing)
        return self.view_box

    def _associated(self) -> QGroupBox:
        self.associated_box = QGroupBox("Pictures beside the slide")
        layout = QVBoxLayout(self.associated_box)
        layout.addWidget(wrapped("Label and macro can show patient data. Shown only here and on request."))
        self.names = narrow(QComboBox())
        self.show_button = QPushButton("Show")
        self.show_button.setToolTip(tooltips.ASSOCIATED)
        self.show_button.clicked.connect(
            lambda: self.task.attempt(lambda: self.show_associated(self.names.currentText()))
        )
        row = QHBoxLayout()
        row.addWidget(self.names, 1)
        row.addWidget(self.show_button)
        layout.addLayout(row)
        self.picture = PictureView()
        layout.addWidget(self.picture)
        return self.associated_box

    def _choose_slide(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in OPENABLE)
        path, _ = QFileDialog.getOpenFileName(self, "Open slide", "", f"Slides ({patterns});;All files (*)")
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Open a slide file with this package's reader, without napari's choice of readers."""
        self.task.attempt(lambda: open_in(self.viewer, path))

    def _watch(self) -> None:
        trouble = None if self.layer is None else watch(self.viewer, self.layer)
        self.trouble_words.setVisible(trouble is not None and trouble.present)
        if trouble is not self._trouble:
            if self._trouble is not None:
                self._trouble.changed.disconnect(self._watch)
            if trouble is not None:
                trouble.changed.connect(self._watch)
            self._trouble = trouble

    def _find_stain(self, slide: Slide) -> None:
        """Judge the stain in a thread: it reads a thumbnail."""
        if self._stain_task is not None:
            self._stain_task.cancel()

        def work(progress: Progress, piece: Any) -> str:
            return stain_kind(slide)

        label = self.fact_labels["Stain"]
        label.setText("…")
        self._stain_task = Task(work, parent=self)
        self._stain_task.succeeded.connect(lambda kind: label.setText(_STAINS[kind]))
        self._stain_task.failed.connect(lambda error: label.setText(in_words(error)))
        self._stain_task.start()


def slide_facts(slide: Slide) -> dict[str, str]:
    """Return what is known of a slide without reading its pixels, in words."""
    height, width = slide.shape
    try:
        mpp = slide.require_mpp()
    except ResolutionError:
        glass, pixel = "unknown", "not stated"
    else:
        glass = f"{width * mpp[1] / 1000:.3g} x {height * mpp[0] / 1000:.3g} mm"
        same = abs(mpp[0] / mpp[1] - 1) < 1e-3
        pixel = f"{mpp[0]:.4g} µm" if same else f"{mpp[1]:.4g} x {mpp[0]:.4g} µm"
        pixel += " (from the file)" if slide.mpp_source == "file" else " (given by you)"
    levels = ", ".join(f"{y:.3g}" for y, _ in slide.level_downsamples)
    return {
        "Vendor": slide.vendor,
        "Size": f"{width:,} x {height:,} px",
        "On glass": glass,
        "Pixel": pixel,
        "Levels": f"{len(slide.level_shapes)} (downsampled {levels})",
        "Profile": slide.icc_profile_name or "none",
        "Read by": slide.backend,
    }
