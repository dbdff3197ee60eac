"""Nuclei on the screen while more of them are found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray

from ..cells import CellIndex, Cells
from ..slides import Slide
from ..viewer.drawn import points_in
from ..viewer.layers import cells_data, show
from ..viewer.nuclei import Nuclei, choose, features_of, nuclei_of, nuclei_on

_EVERY_S = 1.0
_SHARE = 10  # of the time that finding takes, at most one part goes into showing


@dataclass(frozen=True, eq=False)
class Grown:
    """All that was found so far, ready to be shown, and the boxes (N, 4) where there is something new."""

    index: CellIndex
    features: Any
    boxes: NDArray[np.float32]


class Gathering:
    """Puts tiles together in the thread that finds them, and hands all over at most once a second.

    The more there is the rarer, so that the whole takes a tenth of the time however many there are.
    """

    def __init__(self, hand: Callable[[Grown], None], area: Any = None) -> None:
        self._hand, self._area = hand, area
        self._parts: list[Cells] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._next = 0.0

    def __call__(self, cells: Cells) -> None:
        """Take the cells of a tile; only those in the drawn area, where there is one, count."""
        if self._area is not None:
            cells = cells.select(points_in(self._area, cells.centroids))
        if len(cells):
            bounds = cells.contours.bounds
            self._parts.append(cells)
            self._boxes.append(np.append(bounds[:, :2].min(0), bounds[:, 2:].max(0)))
        start = time.monotonic()
        if start < self._next or not self._boxes:
            return
        self._parts = [Cells.concatenate(self._parts)]
        boxes, self._boxes = np.array(self._boxes), []
        self._hand(Grown(CellIndex.of(self._parts[0]), features_of(self._parts[0]), boxes))
        now = time.monotonic()
        self._next = now + max(_EVERY_S, _SHARE * (now - start))


class Growing:
    """The layer of a slide's nuclei while they are found, and what stood there before."""

    def __init__(self, viewer: ViewerModel, slide: Slide) -> None:
        self._viewer, self._slide = viewer, slide
        self._before = nuclei_on(viewer, slide)
        self.nuclei: Nuclei | None = None

    def show(self, grown: Grown) -> bool:
        """Show what was found so far; return whether the layer is a new one."""
        nuclei = self.nuclei
        if nuclei is not None and nuclei.layer in self._viewer.layers:
            nuclei.grow(grown.index, grown.features, grown.boxes)
            return False
        self.nuclei = nuclei_of(show(self._viewer, cells_data(self._slide, grown.index.cells)))
        assert self.nuclei is not None  # cells have nuclei
        self.nuclei.growing = True
        return True

    def stop(self) -> Cells | None:
        """Bring back the nuclei that stood there; else keep those found, as a part, and return them."""
        before = self._before
        layer = None if self.nuclei is None else self.nuclei.layer
        if self.nuclei is None or layer is None or layer not in self._viewer.layers:
            return None
        self.nuclei.growing = False
        if before is not None and before.layer in self._viewer.layers:  # set aside
            choose(self._viewer, before.layer)
            self._viewer.layers.remove(layer)
            return None
        if before is not None:
            show(self._viewer, cells_data(self._slide, before.cells, before.searched))
            return None
        layer.name = f"Nuclei (stopped early) · {self._slide.name}"
        return self.nuclei.cells
