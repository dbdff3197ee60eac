"""The Slide dock: what is known of the slide, its pixel size, magnification, and getting about."""

from __future__ import annotations

import re
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

from ..errors import InputError, ResolutionError
from ..progress import Progress
from ..slides import Slide
from ..tissue import stain_kind
from ..viewer.layers import replace_scale
from ..viewer.reader import SLIDE_SUFFIXES, open_in
from ..viewer.region import magnification, set_magnification
from . import tooltips
from .dock import Dock, narrow, wrapped
from .picture import PictureView
from .task import Task, in_words

MAGNIFICATIONS = (1, 2, 5, 10, 20, 40)
_STAINS = {"h&e": "H&E", "fluorescence": "fluorescence (not H&E)", "other": "not H&E"}


class SlideDock(Dock):
    """Facts, pixel size, magnification, places and the pictures beside the slide."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._stain_task: Task | None = None
        self.open_button = QPushButton("Open slide…")
        self.open_button.setToolTip(tooltips.OPEN_SLIDE)
        self.open_button.clicked.connect(self._choose_slide)
        self.body.addWidget(self.open_button)
        self.body.addLayout(self._facts())
        self.body.addWidget(self._pixel_size())
        self.body.addWidget(self._view())
        self.body.addWidget(self._associated())
        self.body.addStretch(1)
        self.viewer.scene.camera.events.zoom.connect(self._on_zoom)
        self.refresh()

    def on_slide(self) -> None:
        """Show the facts of the slide."""
        slide = self.slide
        for box in (self.view_box, self.associated_box):
            box.setEnabled(slide is not None)
        self.mpp_box.setVisible(slide is not None and slide.mpp_source != "file")
        self.picture.show_pixels(None)
        self.names.clear()
        if slide is None:
            for label in self.fact_labels.values():
                label.setText("–")
            return
        for name, text in slide_facts(slide).items():
            self.fact_labels[name].setText(text)
        self.mpp_edit.setText("" if slide.mpp is None else f"{slide.mpp[0]:.4g}")
        self.names.addItems(list(slide.associated_images))
        self.associated_box.setVisible(bool(len(slide.associated_images)))
        self._on_zoom()
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

    def show_associated(self, name: str) -> None:
        """Show a picture that the scanner put beside the slide."""
        slide = self.slide
        if slide is not None:
            self.picture.show_pixels(np.asarray(slide.associated_images[name]))

    def go_to(self, y: int, x: int) -> None:
        """Centre the view on a place in level-0 px. Raises InputError for one off the slide."""
        if self.layer is not None and self.slide is not None:
            if y >= self.slide.shape[0] or x >= self.slide.shape[1]:
                raise InputError(
                    f"{self.slide.name} ends at x {self.slide.shape[1]}, y {self.slide.shape[0]}."
                )
            self.viewer.scene.camera.center = (0.0, *self.layer.data_to_world((y, x)))

    def _facts(self) -> QFormLayout:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        form.setVerticalSpacing(2)
        self.fact_labels = {}
        for name in ("Vendor", "Size", "On glass", "Pixel", "Levels", "Stain", "Read by"):
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
        layout = QVBoxLayout(self.view_box)
        self.magnification_label = QLabel()
        layout.addWidget(self.magnification_label)
        row = QHBoxLayout()
        row.setSpacing(2)
        self.magnification_buttons = {}
        for value in MAGNIFICATIONS:
            button = QPushButton(f"{value}x")
            button.setCheckable(True)
            button.setMinimumWidth(30)
            button.setToolTip(tooltips.MAGNIFICATION)
            button.clicked.connect(lambda _=False, v=value: self._magnify(v))
            self.magnification_buttons[value] = button
            row.addWidget(button, 1)
        layout.addLayout(row)
        self.scale_bar = QCheckBox("Scale bar")
        self.scale_bar.setToolTip(tooltips.SCALE_BAR)
        overlay = self.viewer.canvas.overlays["scale_bar"]
        self.scale_bar.setChecked(overlay.visible)
        self.scale_bar.toggled.connect(lambda on: setattr(overlay, "visible", on))
        overlay.events.visible.connect(self._on_scale_bar)
        layout.addWidget(self.scale_bar)
        self.place_edit = QLineEdit()
        self.place_edit.setPlaceholderText("x, y in pixels")
        self.place_edit.setToolTip(tooltips.GO_TO)
        self.go_button = QPushButton("Go")
        self.go_button.clicked.connect(self._go)
        self.place_edit.returnPressed.connect(self.go_button.click)
        place = QHBoxLayout()
        place.addWidget(self.place_edit, 1)
        place.addWidget(self.go_button)
        layout.addLayout(place)
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
        patterns = " ".join(f"*{suffix}" for suffix in (*SLIDE_SUFFIXES, ".tif", ".tiff"))
        path, _ = QFileDialog.getOpenFileName(self, "Open slide", "", f"Slides ({patterns});;All files (*)")
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Open a slide file with this package's reader, without napari's choice of readers."""
        self.task.attempt(lambda: open_in(self.viewer, path))

    def _go(self) -> None:
        numbers = re.findall(r"\d+", self.place_edit.text())
        if len(numbers) != 2:
            self.task.say(f"{self.place_edit.text()!r} is not a place: give x and y, such as 1200, 3400.")
            return
        self.task.attempt(lambda: self.go_to(int(numbers[1]), int(numbers[0])))

    def _magnify(self, value: float) -> None:
        set_magnification(self.viewer, value)
        self._on_zoom()

    def _on_scale_bar(self, event: Any = None) -> None:
        self.scale_bar.setChecked(self.viewer.canvas.overlays["scale_bar"].visible)

    def _on_zoom(self, event: Any = None) -> None:
        known = self.slide is not None and self.slide.mpp is not None
        now = magnification(self.viewer)
        text = f"Magnification {now:.2g}x" if known else "Magnification: needs the pixel size"
        self.magnification_label.setText(text)
        for value, button in self.magnification_buttons.items():
            button.setEnabled(known)
            button.setChecked(known and abs(now / value - 1) < 0.02)

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
        "Read by": slide.backend,
    }
