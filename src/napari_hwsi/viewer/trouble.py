"""Slides whose file stops answering, such as on a network drive that was cut off."""

from __future__ import annotations

import logging
import threading
from typing import Any

from napari.components import LayerList, ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy hands it on unsaid

from ..errors import SlideError
from ..slides import Slide
from .state import slide_of

logger = logging.getLogger(__name__)

RETRY_MS = 3000
_TROUBLE = "hwsi_trouble"


class Trouble(QObject):
    """Watches one slide: tells the user once when its file stops answering, and tries it until it does.

    It lives as long as the slide does. Attempts are made in a thread, because a dead drive may take
    its time to say so; what the attempt could read is in the tile cache when the layer is drawn anew.
    """

    changed = Signal(bool)
    """Whether there is trouble now; on the Qt thread."""
    _heard = Signal(bool)
    _tried = Signal(bool)

    def __init__(self, layers: LayerList, layer: Image, slide: Slide) -> None:
        super().__init__()
        self.present = False
        self.slide = slide
        self._layers, self._layer, self._trying = layers, layer, False
        self._timer = QTimer(self)
        self._timer.setInterval(RETRY_MS)
        self._timer.timeout.connect(self.retry)
        self._heard.connect(self._on_heard)
        self._tried.connect(self._on_tried)
        slide.on_trouble(self._listen)

    def retry(self) -> None:
        """Read again what is on the screen, in a thread, unless an attempt is under way."""
        if self._layer not in self._layers:
            self._timer.stop()
        elif not self._trying and self.present:
            self._trying = True
            level = self._layer.data[self._layer.data_level]
            window = tuple(slice(a, b + 1) for a, b in self._layer.corner_pixels.T.tolist())
            threading.Thread(target=self._try, args=(level, window), daemon=True).start()

    def _listen(self, available: bool) -> None:  # from any thread
        self._heard.emit(available)

    def _on_heard(self, available: bool) -> None:
        # One tile that can be read, maybe from a cache, is not the end: an attempt decides that.
        if not available and not self.present:
            self.present = True
            self._timer.start()
            show_warning(
                f"{self.slide.name} does not answer. Is its drive connected? What cannot be read is "
                "hatched; it appears by itself when the file is there again."
            )
            self.changed.emit(True)

    def _try(self, level: Any, window: tuple[slice, ...]) -> None:
        path = self.slide.path
        try:
            there = path is None or path.exists()
            if there:
                level[window]
                if not self.slide.available:  # all that is on the screen was kept in memory
                    self.slide.read((0, 0), (1, 1), level=len(self.slide.level_shapes) - 1)
        except (SlideError, OSError) as error:
            logger.debug("%s was tried again: %s", self.slide.name, error)
            there = False
        self._tried.emit(there and self.slide.available)

    def _on_tried(self, available: bool) -> None:
        self._trying = False
        if available and self.present:
            self.present = False
            self._timer.stop()
            self._layer.refresh(extent=False)
            self.changed.emit(False)


def watch(viewer: ViewerModel, layer: Image) -> Trouble:
    """Return what keeps watch on the file of a slide's layer, from the first call on."""
    slide, known = slide_of(layer), layer.metadata.get(_TROUBLE)
    assert slide is not None  # a slide's layer has its slide
    if known is None or known.slide is not slide:
        known = layer.metadata[_TROUBLE] = Trouble(viewer.layers, layer, slide)
    return known
