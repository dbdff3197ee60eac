"""Maps of scores as layers: a pixel a unit, never smoothed, with napari's colour bar."""

from __future__ import annotations

import numpy as np
import shapely
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from ..errors import InputError
from ..evidence.maps import ScoreMap
from ..slides import Slide
from ..units import Box
from .layers import LayerData, placing, show
from .state import PART, SLIDE, Part

_OPACITY = 0.65
_COLOUR = "#E69F00"
_MOST_SHAPES = 2000
SCORES = "hwsi_scores"
"""Key of the map in the metadata of its layer."""


def map_data(slide: Slide, one: ScoreMap, part: Part = "map") -> LayerData:
    """Return the layer of a map: an image with a pixel a unit, clear where no unit lies."""
    grid = one.grid
    unit = "percentile" if one.values == "percentile" else "raw score"
    kwargs = {
        "name": f"{one.name} ({unit}) · {slide.name}",
        "metadata": {SLIDE: slide, PART: part, SCORES: one},
        "colormap": "viridis",
        "contrast_limits": one.limits,
        "interpolation2d": "nearest",
        "opacity": _OPACITY,
        "blending": "translucent",
        **placing(slide, grid.step, grid.origin),
    }
    return one.raster(), kwargs, "image"


def show_score_map(
    viewer: ViewerModel, slide: Slide, one: ScoreMap, beside: bool = False, part: Part = "map"
) -> Image:
    """Show a map on its slide, in place of the last one, or beside it where ``beside`` is true.

    part: what the map is of; maps of one part stand in each other's place. Raises
    InputError for a map of another slide's size.
    """
    if one.shape != tuple(slide.shape):
        raise InputError(f"The map {one.name!r} is of a slide of {one.shape} px, not of {slide.name}.")
    data = map_data(slide, one, "kept map" if beside else part)
    if beside:
        layer = Image(data[0], **data[1])
        viewer.add_layer(layer)
    else:
        layer = show(viewer, data)
    assert isinstance(layer, Image)
    layer.colorbar.visible = True
    return layer


def above(one: ScoreMap, threshold: float) -> list[NDArray[np.float64]]:
    """Return outlines (M, 2) in level-0 px of where units score at least ``threshold``.

    Units that touch are one; holes are left out. Raises InputError where no unit does.
    """
    rows = np.flatnonzero(one.scores >= threshold)
    if not len(rows):
        low, high = one.limits
        raise InputError(f"No unit scores {threshold:.4g} or more; scores go from {low:.4g} to {high:.4g}.")
    y0, x0, y1, x1 = one.boxes[rows].T
    merged = shapely.union_all(shapely.box(y0, x0, y1, x1), grid_size=1)
    parts = getattr(merged, "geoms", [merged])
    if len(parts) > _MOST_SHAPES:
        raise InputError(
            f"{len(parts):,} places score {threshold:.4g} or more; choose a higher threshold, or write the "
            "map as GeoJSON."
        )
    return [np.asarray(part.exterior.coords)[:-1] for part in parts]


def show_above(viewer: ViewerModel, slide: Slide, one: ScoreMap, threshold: float) -> Shapes:
    """Draw where units score at least ``threshold`` as shapes that can be edited, counted in and saved."""
    outlines = above(one, threshold)
    kwargs = {
        "name": f"{one.name} ≥ {threshold:.4g} · {slide.name}",
        "metadata": {SLIDE: slide, PART: "above"},
        "shape_type": "polygon",
        "edge_color": _COLOUR,
        "face_color": "transparent",
        **placing(slide),
    }
    layer = show(viewer, ([outline - 0.5 for outline in outlines], kwargs, "shapes"))
    assert isinstance(layer, Shapes)
    return layer


def unit_at(one: ScoreMap, y: float, x: float) -> tuple[Box, float] | None:
    """Return the box and score of the unit at a place in level-0 px, None where there is none."""
    boxes = one.boxes
    inside = (boxes[:, 0] <= y) & (y < boxes[:, 2]) & (boxes[:, 1] <= x) & (x < boxes[:, 3])
    rows = np.flatnonzero(inside & np.isfinite(one.scores))
    if not len(rows):
        return None
    y0, x0, y1, x1 = boxes[rows[0]].tolist()
    return (y0, x0, y1, x1), float(one.scores[rows[0]])
