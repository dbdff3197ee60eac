"""Shapes that the user drew, as places on a slide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import shapely
from napari.components import ViewerModel
from napari.layers import Layer
from napari.layers import Shapes as ShapesLayer
from numpy.typing import NDArray

from ..errors import InputError
from ..units import Box, intersect
from .state import PART, slide_of

_EDGE = 1e-3


def drawn_area(viewer: ViewerModel, layer: Layer) -> Any:
    """Return the area of the drawn shapes on a slide's layer, a shapely geometry in level-0 px (x, y).

    The shapes are those of the active Shapes layer, else of the topmost the user drew; the selected
    ones where some are. Rectangles, ellipses and polygons count. Raises InputError where there is none, or
    where one crosses itself.
    """
    drawing = _drawing(viewer)
    areas = []
    if drawing is not None:
        which = sorted(drawing.selected_data) or range(len(drawing.data))
        areas = [area_of(places, _called(drawing, i)) for i, places in _outlines(drawing, layer, which)]
    area = shapely.union_all(areas)
    if area.is_empty or not area.area > 0:
        raise InputError("Nothing is drawn. Add a Shapes layer and draw a rectangle, ellipse or polygon.")
    return area


def drawn_outlines(viewer: ViewerModel, layer: Layer) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Return the outline (M, 2) of each drawn shape in a slide's level-0 px, (y, x), by its name.

    The shapes are all those of the layer that :func:`drawn_area` takes, lines left out. A name is what the
    column ``name`` of the layer's features holds, else napari's number. Beside them a sentence for each shape
    that crosses itself.
    """
    drawing = _drawing(viewer)
    found: dict[str, NDArray[np.float64]] = {}
    refused = []
    if drawing is not None:
        given = drawing.features.get("name")
        for i, places in _outlines(drawing, layer, range(len(drawing.data))):
            try:
                area = area_of(places, _called(drawing, i))
            except InputError as error:
                refused.append(str(error))
                continue
            own = "" if given is None or pd.isna(given.iloc[i]) else str(given.iloc[i])
            name = own if own and own not in found else f"{own} (shape {i})" if own else f"Shape {i}"
            if area.area > 0:
                found[name] = places
    return found, refused


def _outlines(
    drawing: ShapesLayer, layer: Layer, which: Iterable[int]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the numbers of drawn shapes and their outlines (M, 2) in a slide's level-0 px, (y, x)."""
    for i in which:
        outline = outline_of(drawing.data[i][:, -2:], drawing.shape_type[i])
        if outline is not None:
            world = [drawing.data_to_world(point)[-2:] for point in outline]
            yield i, np.array([layer.world_to_data(point)[-2:] for point in world]) + 0.5


def _called(drawing: ShapesLayer, i: int) -> str:
    return f"Shape {i} of layer {drawing.name!r}"


def area_of(places: NDArray[Any], name: str) -> Any:
    """Return the area within an outline (M, 2), (y, x), empty of one that was drawn as a line.

    Raises InputError, with the name in it, where it crosses itself.
    """
    area = shapely.Polygon(places[:, ::-1])
    if area.is_valid:
        return area
    if not area.convex_hull.area > 0:  # drawn as a line
        return shapely.Polygon()
    raise InputError(f"{name} crosses itself, so what is inside it is not clear. Draw it without a crossing.")


def area_box(layer: Layer, area: Any) -> Box:
    """Return the box round an area, clipped to the slide. Raises InputError where they do not meet."""
    slide = slide_of(layer)
    assert slide is not None
    x0, y0, x1, y1 = area.bounds
    # What is drawn on a pixel's edge must not take in the next pixel by rounding.
    box = (math.floor(y0 + _EDGE), math.floor(x0 + _EDGE), math.ceil(y1 - _EDGE), math.ceil(x1 - _EDGE))
    inside = intersect(box, (0, 0, *slide.shape))
    if inside is None:
        raise InputError("What is drawn lies beside the slide. Draw on the slide.")
    return inside


def points_in(area: Any, points: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which points, (N, 2) level-0 px (y, x), lie in an area."""
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, points[:, 1], points[:, 0]))


def _drawing(viewer: ViewerModel) -> ShapesLayer | None:
    active = viewer.layers.selection.active
    shapes = [layer for layer in viewer.layers if isinstance(layer, ShapesLayer)]
    drawings = [layer for layer in shapes if PART not in layer.metadata and len(layer.data)]
    if active in drawings:
        return active
    return drawings[-1] if drawings else None


def outline_of(corners: NDArray[Any], kind: str) -> NDArray[Any] | None:
    """Return the outline (M, 2) of a drawn rectangle, polygon or ellipse; None of a line."""
    if kind in ("rectangle", "polygon"):
        return corners
    if kind == "ellipse":  # napari keeps the corners of its bounding rectangle
        centre, a, b = corners.mean(0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
        return centre + np.cos(turn) * a + np.sin(turn) * b
    return None
