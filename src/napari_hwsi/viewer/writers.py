"""Saving layers for other tools: File > Save Selected Layer(s)…, ``layer.save(path)``.

Nuclei and labels become cells, points and shapes QuPath's objects; all in level-0 pixels of the slide they
lie on, whatever the scale of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import napari
import numpy as np
import pandas as pd
import shapely
from napari.layers import Labels, Layer
from napari.layers import Points as PointsLayer
from napari.layers import Shapes as ShapesLayer
from numpy.typing import NDArray

from ..cells import Cells, Contours, trace, write_cells, write_objects
from ..errors import InputError, StoreError
from ..slides import Slide
from ..units import Mpp
from .drawn import area_of, outline_of
from .state import PART, SLIDE, active_slide

_MICROMETRE = "micrometer"


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the nuclei of a layer, or the objects that somebody painted, as GeoJSON, Parquet or CSV.

    Raises StoreError, also for labels that are no nuclei (tissue, patches).
    """
    slide, metadata = _slide(attributes), attributes.get("metadata", {})
    with _said():
        if PART in metadata:
            cells = next((held for held in map(_cells, metadata.values()) if held is not None), None)
            if cells is None:
                raise InputError(f"The layer {attributes.get('name')} holds no nuclei. Save one that does.")
        else:
            cells = _traced(Labels(data, **attributes), slide)
        write_cells(cells, path, _origin(slide))
    return [path]


def write_points(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write points with their features as GeoJSON: detections where they are nuclei, else annotations."""
    layer = PointsLayer(data, **attributes)
    places = _on_slide(layer, np.asarray(layer.data, float)[:, -2:], _slide(attributes))
    _write(path, layer, list(shapely.points(places[:, ::-1])))
    return [path]


def write_shapes(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write shapes with their features as GeoJSON annotations; lines and paths stay lines.

    Raises StoreError, also for a shape that crosses itself: what is inside it would be a guess.
    """
    layer = ShapesLayer(data, **attributes)
    slide, shapes = _slide(attributes), []
    for i, (corners, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True)):
        outline = outline_of(corners[:, -2:], kind)
        places = _on_slide(layer, corners[:, -2:] if outline is None else outline, slide)
        with _said():
            area = None if outline is None else area_of(places, f"Shape {i} of layer {layer.name!r}")
        line = area is None or area.is_empty
        shapes.append(shapely.LineString(places[:, ::-1]) if line else area)
    _write(path, layer, shapes)
    return [path]


def _write(path: str, layer: Layer, shapes: list[Any]) -> None:
    table = pd.DataFrame(layer.features).reset_index(drop=True)
    kind = "detection" if PART in layer.metadata else "annotation"
    origin = _origin(_slide({"metadata": layer.metadata}))
    with _said():
        write_objects(shapes, path, kind, table, layer.name, origin)


@contextmanager
def _said() -> Iterator[None]:
    """Raise StoreError for what is wrong with a layer: any ValueError napari takes for a missing plugin."""
    try:
        yield
    except ValueError as error:
        raise StoreError(str(error)) from error


def _slide(attributes: dict[str, Any]) -> Slide | None:
    """Return the slide that a layer lies on: its own, else the one that is worked on."""
    slide = attributes.get("metadata", {}).get(SLIDE)
    viewer = napari.current_viewer()
    return slide or (None if viewer is None else active_slide(viewer))


def _origin(slide: Slide | None) -> tuple[int, int]:
    """Return the place QuPath counts from: the corner of the scanned part."""
    return (0, 0) if slide is None else (slide.bounds[0], slide.bounds[1])


def _cells(value: Any) -> Cells | None:
    held = None if isinstance(value, Slide) else getattr(value, "cells", value)
    return held if isinstance(held, Cells) else None


def _on_slide(layer: Layer, points: NDArray[Any], slide: Slide | None) -> NDArray[np.float64]:
    """Return places (N, 2) in level-0 px for points in a layer's data coordinates, both (y, x).

    Without a slide they stay in the layer's own pixels. napari counts from the middle of the first pixel.
    """
    if slide is None:
        return np.asarray(points, float) + 0.5
    corners = np.zeros((3, layer.ndim))
    corners[1, -2] = corners[2, -1] = 1
    start, down, right = (np.asarray(layer.data_to_world(corner)[-2:]) for corner in corners)
    world = start + points @ np.stack([down - start, right - start])
    return np.asarray(world / (slide.mpp or (1.0, 1.0)) + 0.5)


def _traced(layer: Labels, slide: Slide | None) -> Cells:
    """Return painted objects as cells, with their labels in the table."""
    image = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if image.ndim != 2:
        raise InputError(f"The layer {layer.name} has {image.ndim} dimensions; outlines are of two.")
    labels, numbers = np.unique(np.append(0, image.ravel()), return_inverse=True)
    outlines = trace(numbers[1:].reshape(image.shape).astype(np.int32))
    places = _on_slide(layer, outlines.vertices.astype(float) - 0.5, slide)
    cells = Cells.of(
        Contours(places.astype(np.float32), outlines.offsets),
        mpp=_own_mpp(layer) if slide is None else slide.mpp,
        measurements=pd.DataFrame({"label": labels[1:]}),
    )
    return cells if cells.mpp is None else cells.with_neighbours()


def _own_mpp(layer: Layer) -> Mpp | None:
    known = all(str(unit) == _MICROMETRE for unit in layer.units[-2:])
    return (float(layer.scale[-2]), float(layer.scale[-1])) if known else None
