"""The nuclei of a slide on the screen: how they are coloured, which are shown, which are selected.

One :class:`Nuclei` belongs to the layer that shows them, in its metadata; docks and layer change
together because both listen to it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Points
from napari.utils.notifications import show_info
from numpy.typing import ArrayLike, NDArray
from psygnal import Signal

from ..cells import CellIndex, Cells, Correction, Reversal
from ..cells.corrections import EDITED
from ..errors import InputError
from ..slides import Slide
from .colours import TYPE, Colouring, colouring, columns_of, title_of
from .raster import Drawing, DrawnLevel, draw_cells, pyramid
from .region import fly_to
from .state import (
    FOUND,
    HIDDEN,
    PART,
    active_slide_layer,
    layers_on,
    part_layer,
    slide_layers,
    slide_of,
)

NUCLEI, CELLS = "hwsi_nuclei", "hwsi_cells"
ASIDE = "Nuclei corrected by hand"
POINTS_LIMIT = 100_000
"""More points than these napari adds and recolours in seconds; as outlines and dots there is no limit."""

_OUTLINE_PX = 1
_HISTORY = 20
_AROUND_UM = 25.0
_CLICK_PX = 6.0


class Nuclei:
    """Cells that are on the screen."""

    changed = Signal()
    """There are other cells: corrected ones, or those before."""
    colours_changed = Signal()
    shown_changed = Signal()
    selection_changed = Signal()

    def __init__(self, slide: Slide, cells: Cells, searched: Any = None) -> None:
        self.slide = slide
        self.searched = searched
        """Where they were looked for, a shapely geometry in level-0 px (x, y), None where not known."""
        self.percentiles, self.map_name, self.filled = (1.0, 99.0), "viridis", False
        self._layer: weakref.ref[Labels] | None = None
        self._points: weakref.ref[Points] | None = None
        self._history: list[Reversal] = []
        self._drawing: Drawing | None = None
        self.growing = False
        """Whether more are being found."""
        self.editing = False
        """Whether a part of them is being corrected."""
        self._set(CellIndex.of(cells))

    def _set(self, index: CellIndex) -> None:
        self.cells, self.index = index.cells, index
        self.shown: NDArray[np.bool_] | None = None
        self.selected: NDArray[np.int64] = np.empty(0, np.int64)
        column = getattr(self, "colouring", None)
        self.colouring: Colouring = self._coloured(TYPE if column is None else column.column)

    @property
    def layer(self) -> Labels | None:
        """The layer that shows them, None before and after."""
        return None if self._layer is None else self._layer()

    @property
    def by_hand(self) -> bool:
        """Whether there is a person's work in them, which nothing that is computed may replace."""
        return self.editing or EDITED in self.cells.table

    @property
    def can_undo(self) -> bool:
        """Whether there are cells from before a correction."""
        return bool(self._history)

    def levels(self) -> list[DrawnLevel]:
        """Return the label pyramid, drawn when it is looked at. Raises ResolutionError without mpp."""
        mpp = self.slide.require_mpp()
        levels = pyramid(self.slide.shape, lambda box, step: draw_cells(self.index, mpp)(box, step))
        self._drawing = levels[0].drawing
        return levels

    def attach(self, layer: Labels) -> None:
        """Let a layer show them, as outlines or filled as was chosen."""
        self._layer = weakref.ref(layer)
        layer.contour = 0 if self.filled else _OUTLINE_PX
        self._recolour()

    def attach_points(self, layer: Points) -> None:
        """Let a layer of points show their centroids too."""
        self._points = weakref.ref(layer)
        self._recolour()

    def follow(self, other: Nuclei) -> None:
        """Look as others did, as far as the columns are the same."""
        self.percentiles, self.map_name, self.filled = other.percentiles, other.map_name, other.filled
        column = other.colouring.column
        self.colouring = self._coloured(column if column in columns_of(self.cells) else TYPE)

    def colour_by(
        self, column: str, percentiles: tuple[float, float] | None = None, map_name: str | None = None
    ) -> None:
        """Colour by 'type', 'probability' or a column of the table. Raises InputError for another name."""
        kept = self.percentiles, self.map_name
        self.percentiles, self.map_name = percentiles or self.percentiles, map_name or self.map_name
        try:
            self.colouring = self._coloured(column)
        except InputError:
            self.percentiles, self.map_name = kept
            raise
        self._recolour()
        self.colours_changed.emit()

    def fill(self, filled: bool) -> None:
        """Draw areas, or outlines only."""
        self.filled = filled
        if self.layer is not None:
            self.layer.contour = 0 if filled else _OUTLINE_PX

    def show_only(self, which: NDArray[np.bool_] | None) -> None:
        """Show some, a mask (N,), or all; what is left out is neither drawn nor clicked."""
        self.shown = which
        self._recolour()
        self.shown_changed.emit()

    def select(self, rows: ArrayLike) -> None:
        """Select rows of the table, in place of what was selected."""
        self.selected = np.unique(np.asarray(rows, np.int64))
        self._recolour()
        self.selection_changed.emit()

    def at(self, place: tuple[float, float], radius: float) -> int | None:
        """Return the row of the shown nucleus at a level-0 place (y, x), or near it."""
        row = self.index.at(place, radius)
        return None if row is None or (self.shown is not None and not self.shown[row]) else row

    def correct(self, correction: Correction) -> None:
        """Show corrected cells in place of these, which :meth:`undo` brings back.

        Raises InputError while more are being found.
        """
        if self.growing:
            raise InputError("More nuclei are still being found. Wait for them, or cancel the search.")
        self._history = [*self._history, correction.reversal][-_HISTORY:]
        self._replace(correction.cells)

    def undo(self) -> None:
        """Bring back the cells from before the last correction."""
        if self._history:
            self._replace(self._history.pop().apply(self.cells))

    def grow(self, index: CellIndex, features: Any, boxes: NDArray[Any]) -> None:
        """Show cells of which these are the first; only what meets boxes (N, 4), level-0 px, is drawn anew.

        features: what :func:`features_of` made of them; with the index, another thread can have made it.
        What is selected, and left out by :meth:`show_only`, stays so.
        """
        shown, selected = self.shown, self.selected
        self._set(index)
        more = len(self.cells) - (0 if shown is None else len(shown))
        self.shown = None if shown is None else np.append(shown, np.ones(more, bool))
        self.selected = selected
        if self._drawing is not None:
            self._drawing.forget(boxes)
        layer = self.layer
        if layer is not None:
            layer.features = features
            layer.metadata[CELLS] = self.cells
        self._recolour()
        if layer is not None:
            layer.refresh()
        self.changed.emit()

    def _replace(self, cells: Cells) -> None:
        self._set(CellIndex.of(cells))
        layer = self.layer
        if layer is not None:
            layer.data = self.levels()
            layer.features = features_of(cells)
            layer.metadata[CELLS] = cells
        points = None if self._points is None else self._points()
        if points is not None:
            points.data, points.features = cells.centroids - 0.5, features_of(cells)
        self._recolour()
        self.changed.emit()

    def _coloured(self, column: str) -> Colouring:
        return colouring(self.cells, column, self.percentiles, self.map_name)

    def _recolour(self) -> None:
        layer = self.layer
        colours = self.colouring.colormap(self.shown, self.selected)
        if layer is not None:
            layer.colormap = colours
        points = None if self._points is None else self._points()
        if points is not None and len(points.data) == len(self.cells):
            points.face_color = colours.map(np.arange(1, len(self.cells) + 1))


def features_of(cells: Cells) -> Any:
    """Return the table as napari reads it: column ``index`` names the label of each row, 1 + row."""
    table = cells.table.reset_index(drop=True)
    own = table.select_dtypes("Int64").columns  # napari does not print pandas' own numbers
    names = np.array(cells.type_names, object)
    table = table.astype(dict.fromkeys(own, float))
    return table.assign(type=names[cells.types], index=np.arange(1, len(cells) + 1, dtype=np.int32))


def nuclei_of(layer: Layer | None) -> Nuclei | None:
    """Return the nuclei that a layer shows, None where it shows others."""
    return None if layer is None else layer.metadata.get(NUCLEI)


def nuclei_on(viewer: ViewerModel, slide: Slide | None) -> Nuclei | None:
    """Return the nuclei of a slide that are worked on, None where there are none."""
    return None if slide is None else nuclei_of(nuclei_layer(viewer, slide))


def nuclei_layer(viewer: ViewerModel, slide: Slide) -> Layer | None:
    """Return the layer of the nuclei that are worked on: those set aside where there are no others."""
    now = part_layer(viewer, slide, "cells")
    return part_layer(viewer, slide, "aside") if now is None else now


def set_aside(viewer: ViewerModel, layer: Layer) -> Layer | None:
    """Hide the layer of nuclei that were corrected by hand, and say where they are, for others come.

    Once chosen in the layer list they are worked on again. Return the layer that the others replace: one
    that was set aside when these were chosen, without corrections of its own; None where there is none.
    """
    slide = slide_of(layer)
    assert slide is not None  # nuclei lie on one
    layer.metadata[PART], layer.visible = "aside", False
    layer.metadata.pop(HIDDEN, None)
    if layer.name.startswith("Nuclei") and not layer.name.startswith(ASIDE):  # else named by the user
        layer.name = f"{ASIDE} · {slide.name}"
    # napari shows the first 40 letters until the note is opened.
    show_info(f"Corrected nuclei kept in another layer. Select “{layer.name}” to go on with them.")
    others = (each for each in layers_on(viewer, slide) if each.metadata.get(PART) == "aside")
    return next((each for each in others if not each.metadata[NUCLEI].by_hand), None)


def choose(viewer: ViewerModel, layer: Layer) -> None:
    """Work on nuclei that were set aside, and show them in place of those worked on now."""
    slide = slide_of(layer)
    assert slide is not None  # nuclei lie on one
    now = part_layer(viewer, slide, "cells")
    if now is not None:
        now.metadata[PART], now.visible = "aside", False
    layer.metadata[PART], layer.visible = "cells", True
    if FOUND in layer.metadata:
        for each in slide_layers(viewer):
            if slide_of(each) is slide:
                each.metadata[FOUND] = layer.metadata[FOUND]


def on_other_nuclei(viewer: ViewerModel, callback: Callable[[Any], None]) -> None:
    """Have a function called when other nuclei may be worked on, after :func:`nuclei_on` knows them."""
    layers = viewer.layers
    for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
        event.connect(callback)


def fly_to_cell(viewer: ViewerModel, layer: Layer, nuclei: Nuclei, row: int) -> None:
    """Centre the camera on a nucleus with 25 µm round it. layer: the slide's."""
    around = np.array([_AROUND_UM / step for step in nuclei.slide.require_mpp()])
    bounds = nuclei.cells.contours.bounds[row].astype(float)
    y0, x0, y1, x1 = np.concatenate([bounds[:2] - around, bounds[2:] + around]).tolist()
    fly_to(viewer, layer, (y0, x0, y1, x1))


def follow_the_user(viewer: ViewerModel) -> None:
    """Let nuclei set aside be worked on when their layer is selected, and a click select a nucleus.

    With Shift or Control a click adds or takes one. Once for a viewer.
    """
    if any(getattr(one, "selects_nuclei", False) for one in viewer.mouse_drag_callbacks):
        return
    viewer.mouse_drag_callbacks.append(_on_press)

    def on_active(event: Any) -> None:
        active = viewer.layers.selection.active
        if active is not None and active.metadata.get(PART) == "aside":
            choose(viewer, active)

    # First, before docks look which are worked on.
    viewer.layers.selection.events.active.connect(on_active, position="first")


def _on_press(viewer: ViewerModel, event: Any) -> Any:
    if event.button != 1:
        return
    start = np.array(event.pos)
    yield
    while event.type == "mouse_move":
        yield
    if np.abs(np.array(event.pos) - start).max() > _CLICK_PX / 2:
        return
    _click(viewer, event.position, bool({"Shift", "Control"} & {str(key) for key in event.modifiers}))


_on_press.selects_nuclei = True  # type: ignore[attr-defined]


def _click(viewer: ViewerModel, position: Any, add: bool) -> None:
    active = viewer.layers.selection.active
    slide_layer = active_slide_layer(viewer)
    if slide_layer is None or (active is not None and str(active.mode) not in ("pan_zoom", "Mode.PAN_ZOOM")):
        return
    nuclei = nuclei_on(viewer, slide_of(slide_layer))
    layer = None if nuclei is None else nuclei.layer
    if nuclei is None or layer is None or viewer.dims.ndisplay != 2:
        return
    y, x = slide_layer.world_to_data(position)[-2:] + 0.5
    radius = _CLICK_PX / viewer.scene.camera.zoom / min(nuclei.slide.require_mpp())
    row = nuclei.at((float(y), float(x)), radius)
    chosen = set(nuclei.selected.tolist()) if add else set()
    if row is not None:
        chosen ^= {row}
    if row is not None or (len(nuclei.selected) and not add):
        nuclei.select(sorted(chosen))
    if row is not None:
        viewer.status = in_words(nuclei, row)


def in_words(nuclei: Nuclei, row: int) -> str:
    """Return a line on a nucleus: its row, type and first measurements."""
    cells = nuclei.cells
    names = [n for n in cells.table.columns if not str(n).startswith("centroid")][:3]
    measured = [f"{title_of(str(n))} {cells.table[n].iloc[row]:.3g}" for n in names]
    return " · ".join([f"Nucleus {row}", cells.type_names[cells.types[row]], *measured])
