"""What the entries of napari's Layers menu do: open the dock, choose the visible region, and run."""

from __future__ import annotations

from typing import TypeVar

import napari

from .analyse_dock import AnalyseDock
from .ask_dock import AskDock
from .ccaf_dock import CcafDock
from .cells_dock import CellsDock
from .correct_dock import CorrectDock
from .count_dock import CountDock
from .dock import SlideWidget, open_named
from .maps_dock import MapsDock
from .minimap_dock import MinimapDock
from .scope import VISIBLE
from .slide_dock import SlideDock
from .table_dock import TableDock
from .walk_dock import WalkDock

D = TypeVar("D", bound=SlideWidget)

_NAMES: dict[type[SlideWidget], str] = {
    SlideDock: "Slide",
    MinimapDock: "Minimap",
    CellsDock: "Segment cells",
    CorrectDock: "Correct nuclei",
    TableDock: "Nuclei table",
    CountDock: "Count nuclei",
    AnalyseDock: "Analyse",
    CcafDock: "CCAF",
    MapsDock: "Maps",
    WalkDock: "Walk",
    AskDock: "Ask",
}
_MEASURE = "How many nuclei are in this view, how large are they, and where are they densest?"


def open_dock(viewer: napari.Viewer, kind: type[D]) -> D:
    """Show one of the docks, as the Plugins menu does, and return it; an open one is brought to the front."""
    # A map is of use below the others.
    widget = open_named(viewer, _NAMES[kind], beside=kind is not MinimapDock)
    if isinstance(widget, MinimapDock):
        widget.go_below_the_layers()
    assert isinstance(widget, kind)
    return widget


def open_all(viewer: napari.Viewer) -> AskDock:
    """Show the docks on the way from a slide to an answer, as tabs with Ask in front, and return that.

    Those for nuclei that were found are opened from Segment cells, which offers them then.
    """
    for kind in (MinimapDock, SlideDock, CellsDock, AnalyseDock, CcafDock):
        open_dock(viewer, kind)
    return open_dock(viewer, AskDock)


def segment_visible(viewer: napari.Viewer) -> None:
    """Layers > Segment: find the nuclei of the visible region."""
    dock = open_dock(viewer, CellsDock)
    dock.scope_box.setCurrentText(VISIBLE)
    dock.run()


def analyse_visible(viewer: napari.Viewer) -> None:
    """Layers > Measure: analyse the visible region."""
    dock = open_dock(viewer, AnalyseDock)
    dock.scope_box.setCurrentText(VISIBLE)
    dock.run()


def measure_cells(viewer: napari.Viewer) -> None:
    """Layers > Measure: count and measure the nuclei of the visible region, in the Ask dock."""
    dock = open_dock(viewer, AskDock)
    dock.scope_box.setCurrentText(VISIBLE)
    dock.ask(_MEASURE)
