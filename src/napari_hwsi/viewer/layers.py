"""Layers of a slide and of what was found on it.

All are placed in micrometres: a layer in level-0 pixels has the slide's own scale and
translation, a coarser one the same multiplied. Drawing a part again updates its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import shapely
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.layers import Points as PointsLayer
from napari.layers import Shapes as ShapesLayer
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..cells import CellIndex, Editable
from ..errors import InputError
from ..slides import Slide
from ..tissue import CLASSES, PATCH_PX, PER_SIDE, TissueMask
from ..units import Box
from .nuclei import (
    ASIDE,
    CELLS,
    NUCLEI,
    POINTS_LIMIT,
    Nuclei,
    features_of,
    follow_the_user,
    nuclei_layer,
    nuclei_of,
    set_aside,
)
from .outlines import keep_thickness
from .preferences import apply_cache_size
from .raster import (
    LookupColormap,
    draw_boxes,
    draw_cells,
    draw_squares,
    encode,
    flat_colour,
    pyramid,
    score_classes,
    score_colours,
    tissue_colours,
)
from .state import (
    ANSWER,
    EDITABLE,
    HIDDEN,
    MASK,
    PART,
    RESULT,
    SLIDE,
    Part,
    hide_with_slide,
    is_slide_layer,
    layers_on,
    part_layer,
    slide_of,
)
from .trouble import watch

if TYPE_CHECKING:
    from ..cells import Cells
    from ..hierarchy import FeatureHierarchy, Hierarchy

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]

UNIT = "micrometer"
_PATCH_SIDE = 128  # base px of a drawn patch: 1 µm each
_FEATURES_COLOUR = "#56B4E9"
_POINT_UM = 6.0
_CONTOURS = {
    "attention": 1,
    "patches": 3,
    "tissue": 2,
    "classes": 1,
}  # pixels of the level that is shown
_TITLES: dict[Part, str] = {
    "tissue": "Tissue",
    "classes": "Tissue and artefacts",
    "regions": "Regions",
    "patches": "Kept patches",
    "cells": "Nuclei",
    "aside": ASIDE,
    "attention": "Nuclei by attention",
    "centroids": "Nucleus centroids",
    "correction": "Nuclei being corrected",
}


def placing(
    slide: Slide, step: Sequence[float] = (1.0, 1.0), origin: Sequence[float] = (0, 0)
) -> dict[str, Any]:
    """Return scale, translate and units of a layer on a slide.

    step: (y, x) level-0 px per layer px; origin: (y, x) level-0 px of its top left corner. napari
    counts from the middle of the first pixel, so a coarser first pixel has its middle further in.
    Without mpp the unit is the pixel.
    """
    mpp, steps = np.array(slide.mpp or (1.0, 1.0)), np.array(step, float)
    return {
        "scale": tuple(mpp * steps),
        "translate": tuple(mpp * (np.array(origin, float) + (steps - 1) / 2)),
        "units": (UNIT if slide.mpp else "pixel",) * 2,
    }


def slide_data(slide: Slide, result: Hierarchy | None = None) -> LayerData:
    """Return the layer of a slide: its pyramid, in µm."""
    metadata: dict[str, Any] = {SLIDE: slide}
    if result is not None:
        metadata[RESULT] = result
    return (
        slide.lazy_levels,
        {"name": slide.name, "multiscale": True, "rgb": True, "metadata": metadata, **placing(slide)},
        "image",
    )


def tissue_data(slide: Slide, mask: TissueMask) -> LayerData:
    """Return the layer of the tissue, its sections numbered."""
    side = 8  # a thin outline needs finer pixels than the mask's
    step = np.array(mask.downsample) / side
    kwargs = {"multiscale": True, "colormap": flat_colour("#009E73"), **placing(slide, tuple(step))}
    sections = mask.labels()
    shape = (sections.shape[0] * side, sections.shape[1] * side)
    levels = pyramid(shape, draw_squares(sections, side), side)
    return levels, _kwargs(slide, "tissue", kwargs), "labels"


def classes_data(slide: Slide, mask: TissueMask) -> LayerData:
    """Return the layer of tissue and artefacts by class: one scale, as napari paints only on that."""
    kwargs: dict[str, Any] = {
        "opacity": 1.0,
        "colormap": tissue_colours(),
        "features": pd.DataFrame({"index": range(len(CLASSES)), "class": CLASSES}),
        **placing(slide, mask.downsample),
    }
    kwargs = _kwargs(slide, "classes", kwargs)
    kwargs["metadata"][MASK] = mask
    return mask.classes, kwargs, "labels"


def regions_data(slide: Slide, result: Hierarchy | FeatureHierarchy) -> LayerData:
    """Return the layer of the analysed regions: outlines with their numbers."""
    regions = result.regions
    regions = regions[regions["status"] == "done"]
    height, width = slide.shape
    boxes = np.clip(regions[["y0", "x0", "y1", "x1"]].to_numpy(), 0, [height, width, height, width])
    kwargs: dict[str, Any] = {
        "shape_type": "rectangle",
        "face_color": "transparent",
        "edge_color": "#0072B2",
        **placing(slide),
    }
    if len(regions):
        text = {"string": "{region}", "color": "#0072B2", "size": 12}
        kwargs |= {"features": _plain(regions), "text": text}
    return rectangles(boxes), _kwargs(slide, "regions", kwargs), "shapes"


def adaptive_data(slide: Slide, result: Hierarchy) -> LayerData:
    """Return the layer of the regions that were grown: their outlines, numbered within their square."""
    table = result.adaptive_regions
    kwargs: dict[str, Any] = {
        "shape_type": "polygon",
        "face_color": "transparent",
        "edge_color": "#0072B2",
        "features": table,
        "text": {"string": "{region}.{number}", "color": "#0072B2", "size": 12},
        **placing(slide),
    }
    outlines = [outline - 0.5 for outline in result.adaptive_outlines()]
    return outlines, _kwargs(slide, "regions", kwargs), "shapes"


def patches_data(slide: Slide, result: Hierarchy, score: str = "relevance") -> LayerData:
    """Return the layer of the kept patches, coloured by a score column (viridis), with their table."""
    kept = result.selected_patches.reset_index(drop=True)
    grid = result.grid
    rows, columns = grid.shape
    cells = np.zeros((rows * PER_SIDE, columns * PER_SIDE), np.int32)
    labels = np.empty(0, np.int32)
    if len(kept):
        labels = encode(score_classes(kept[score].to_numpy()), len(score_colours().colors) - 1)
        (row, column), (down, across) = (
            np.divmod(kept["region"], columns),
            np.divmod(kept["patch"], PER_SIDE),
        )
        cells[row * PER_SIDE + down, column * PER_SIDE + across] = labels
    side = _PATCH_SIDE
    step = np.array(grid.downsample) * PATCH_PX / side
    kwargs = {
        "multiscale": True,
        "opacity": 0.9,
        "colormap": score_colours(),
        "features": _by_label(kept, labels),
        **placing(slide, tuple(step), grid.origin),
    }
    # The grid runs over the slide's edge; the layer ends with the slide.
    extent = np.ceil((np.array(slide.shape) - grid.origin) / step).astype(int)
    shape = np.minimum(extent, np.array(cells.shape) * side)
    levels = pyramid((int(shape[0]), int(shape[1])), draw_squares(cells, side), side // 8)
    return levels, _kwargs(slide, "patches", kwargs), "labels"


def features_data(slide: Slide, result: FeatureHierarchy) -> LayerData:
    """Return the layer of the patches of another tool, wherever they lie, with their table."""
    patches = result.patches[result.patches["valid"]]
    labels = encode(np.zeros(len(patches), np.int64), 1)
    boxes = patches[["y0", "x0", "y1", "x1"]].to_numpy(np.int64)
    kwargs = {
        "multiscale": True,
        "opacity": 0.9,
        "colormap": flat_colour(_FEATURES_COLOUR),
        "features": _by_label(patches, labels),
        **placing(slide),
    }
    kwargs = _kwargs(slide, "patches", kwargs) | {"name": f"Patches ({result.layout}) · {slide.name}"}
    return pyramid(slide.shape, draw_boxes(boxes, labels)), kwargs, "labels"


def cells_data(slide: Slide, cells: Cells, searched: Any = None) -> LayerData:
    """Return the layer of nuclei, coloured by type, with their table. Raises ResolutionError without mpp.

    searched: where they were looked for, a shapely geometry in level-0 px (x, y), None where not known.
    """
    nuclei = Nuclei(slide, cells, searched)
    kwargs = {
        "multiscale": True,
        "opacity": 1.0,
        "features": features_of(cells),
        **placing(slide),
    }
    kwargs = _kwargs(slide, "cells", kwargs)
    kwargs["metadata"] |= {NUCLEI: nuclei, CELLS: cells}
    return nuclei.levels(), kwargs, "labels"


def correction_data(part: Editable) -> LayerData:
    """Return the layer of a part whose nuclei are edited: one scale, as napari paints only on that."""
    slide = part.slide
    step = np.array(part.resolution) / slide.require_mpp()
    kwargs = {"opacity": 0.5, **placing(slide, tuple(step), part.box[:2])}
    kwargs = _kwargs(slide, "correction", kwargs)
    kwargs["metadata"][EDITABLE] = part
    return part.labels.copy(), kwargs, "labels"


def attention_data(
    slide: Slide, cells: Cells, shares: NDArray[np.float32], sets: NDArray[np.int64]
) -> LayerData:
    """Return the layer of nuclei coloured by the rank of their share of attention, with their table.

    By rank, because a few nuclei with large shares would leave all others in one colour of viridis. shares:
    (N,); sets: (N,), which of the fused sets each is in. Raises ResolutionError without mpp.
    """
    labels = np.arange(1, len(cells) + 1, dtype=np.int32)
    classes = np.append(0, score_classes(rankdata(shares)) + 1 if len(cells) else []).astype(np.uint8)
    kwargs = {
        "multiscale": True,
        "opacity": 1.0,
        "colormap": LookupColormap.of(classes, score_colours().colors),
        "features": _by_label(cells.table.assign(share=shares, fused_set=sets), labels),
        **placing(slide),
    }
    levels = pyramid(slide.shape, draw_cells(CellIndex.of(cells), slide.require_mpp()))
    return levels, _kwargs(slide, "attention", kwargs), "labels"


def centroids_data(nuclei: Nuclei) -> LayerData:
    """Return the layer of the centroids of nuclei as points, 6 µm wide and at least 3 px on the screen.

    Raises InputError for more than 100,000, of which napari takes seconds.
    """
    slide, cells = nuclei.slide, nuclei.cells
    if len(cells) > POINTS_LIMIT:
        raise InputError(
            f"{len(cells):,} nuclei are too many for points ({POINTS_LIMIT:,} at most). "
            "Outlines and filled areas become dots when you zoom out, at any number."
        )
    kwargs = {
        "size": _POINT_UM / float(np.mean(slide.require_mpp())),
        "border_width": 0,
        "canvas_size_limits": (3, 10000),
        "features": features_of(cells),
        **placing(slide),
    }
    kwargs = _kwargs(slide, "centroids", kwargs)
    kwargs["metadata"][NUCLEI] = nuclei
    return cells.centroids - 0.5, kwargs, "points"


def result_data(result: Hierarchy | FeatureHierarchy, slide: Slide) -> list[LayerData]:
    """Return the layers of what a result holds so far, bottom first."""
    from ..hierarchy import FeatureHierarchy

    if isinstance(result, FeatureHierarchy):
        regions = [regions_data(slide, result)] if len(result.regions) else []
        return [*regions, features_data(slide, result)]
    outlines = (adaptive_data if len(result.adaptive_regions) else regions_data)(slide, result)
    parts = [tissue_data(slide, result.tissue), outlines, patches_data(slide, result)]
    regions, cells = result.regions, result.cells
    done = regions[regions["cells"] | (regions["reason"] == "no tissue")]
    searched = shapely.union_all(shapely.box(*done[["x0", "y0", "x1", "y1"]].to_numpy(float).T))
    return [*parts, cells_data(slide, cells, searched)] if len(cells) else parts


def show(viewer: ViewerModel, data: LayerData) -> Layer:
    """Add a layer to the viewer, in place of the one that showed the same part of the same slide.

    The new one keeps its predecessor's place, visibility and opacity. What is selected stays so; where
    the predecessor was, its successor is. Nuclei that were corrected by hand are not replaced but set aside.
    """
    content, kwargs, kind = data
    slide, part = kwargs["metadata"][SLIDE], kwargs["metadata"].get(PART)
    answer = kwargs["metadata"].get(ANSWER)
    old = before = nuclei_layer(viewer, slide) if part == "cells" else part_layer(viewer, slide, part, answer)
    layer = Layer.create(content, kwargs, kind)
    place = len(viewer.layers)
    if before is None:
        hide_with_slide(viewer, layer)
    else:
        layer.visible, layer.opacity = before.visible, before.opacity
        layer.metadata[HIDDEN] = before.metadata.get(HIDDEN, False)
        place = viewer.layers.index(before) + 1
        if (shown := nuclei_of(before)) is not None and (now := nuclei_of(layer)) is not None:
            now.follow(shown)
            if shown.by_hand and part == "cells":
                layer.visible |= shown.editing  # these are hidden while they are
                old = set_aside(viewer, before)
    # A result is looked at, the slide is worked on: adding the one never leaves the other.
    selection = viewer.layers.selection
    selected = set(selection)
    with selection.events.blocker_all():
        viewer.layers.insert(place, layer)
        selection.clear()
        selection.update({layer if each in (old, before) else each for each in selected})
        if old is not None:
            viewer.layers.remove(old)
            layer.name = kwargs["name"]
        selection.discard(layer)  # added again below, so that it is heard of
    if selected & {old, before}:
        selection.add(layer)
    finish(viewer, layer)
    return layer


def finish(viewer: ViewerModel, layer: Layer) -> None:
    """Set what layer data cannot carry, once a layer is in its viewer.

    Parts are outlines; a slide's file is watched, and its pixels kept as the user's Preferences say.
    """
    part = layer.metadata.get(PART)
    if isinstance(layer, LabelsLayer) and part in _CONTOURS:
        layer.contour = _CONTOURS[part]
    nuclei = nuclei_of(layer)
    if nuclei is not None and isinstance(layer, LabelsLayer):
        nuclei.attach(layer)
        follow_the_user(viewer)
    if nuclei is not None and isinstance(layer, PointsLayer):
        nuclei.attach_points(layer)
    if isinstance(layer, ShapesLayer) and part is not None:
        keep_thickness(viewer, layer)
    if is_slide_layer(layer):
        watch(viewer, layer)
        apply_cache_size()


def show_slide(viewer: ViewerModel, slide: Slide, result: Hierarchy | None = None) -> Image:
    """Add the layer of an open slide, with a scale bar."""
    layer = show(viewer, slide_data(slide, result))
    viewer.canvas.overlays["scale_bar"].visible = True
    viewer.layers.selection.active = layer
    return layer


def show_result(
    viewer: ViewerModel,
    layer: Layer,
    result: Hierarchy | FeatureHierarchy,
    data: Sequence[LayerData] | None = None,
) -> None:
    """Add or renew the layers of a result on its slide's layer.

    Features of another tool are shown, but do not become the result that questions are about.
    data: what :func:`result_data` made of it, where another thread did so.
    """
    from ..hierarchy import FeatureHierarchy

    slide = slide_of(layer)
    assert slide is not None  # a slide's layer has its slide
    if not isinstance(result, FeatureHierarchy):
        layer.metadata[RESULT] = result
    for one in result_data(result, slide) if data is None else data:
        show(viewer, one)


def replace_scale(viewer: ViewerModel, slide: Slide) -> None:
    """Place a slide's layer and all layers on it anew, after its mpp has been given."""
    new = placing(slide)
    layers = layers_on(viewer, slide)
    old = next(np.array(layer.scale[-2:]) for layer in layers if PART not in layer.metadata)
    ratio = np.array(new["scale"]) / old
    for layer in layers:
        layer.scale, layer.translate = layer.scale[-2:] * ratio, layer.translate[-2:] * ratio
        layer.units = new["units"]
    viewer.reset_view()


def rectangles(boxes: np.ndarray | Sequence[Box]) -> list[np.ndarray]:
    """Return the four corners of each box in napari's data coordinates, where pixel 0 begins at -0.5."""
    corners = []
    for y0, x0, y1, x1 in np.asarray(boxes, float).reshape(-1, 4) - 0.5:
        corners.append(np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]))
    return corners


def _kwargs(slide: Slide, part: Part, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{_TITLES[part]} · {slide.name}", "metadata": {SLIDE: slide, PART: part}, **kwargs}


def _by_label(table: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    """Return a table whose column ``index`` names the label of each row, as napari reads it."""
    return _plain(table).assign(index=labels)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without pandas' own number types, which napari does not print."""
    numbers = table.select_dtypes("Int64").columns
    return table.reset_index(drop=True).astype(dict.fromkeys(numbers, float))
