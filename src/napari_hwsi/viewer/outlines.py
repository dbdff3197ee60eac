"""Outlines that stay as thick on the screen at any zoom: napari counts their width in data pixels."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes

_THICK_PX = 3.0
_NUMBER_PX = np.array([36.0, 6.0])  # down and right from where napari writes, above the corner, to within it
_HIGHLIGHT = "hwsi_highlight"
_MANY = 100  # each change of width draws all outlines anew
_NEAR = 1.3


def keep_thickness(viewer: ViewerModel, layer: Shapes) -> None:
    """Set the width of a layer's outlines by the zoom, now and, unless they are many, whenever it changes."""
    camera, layers, known = viewer.scene.camera, viewer.layers, weakref.ref(layer)
    _fit(layer, camera.zoom)

    def on_zoom(event: Any) -> None:
        layer = known()
        if layer is None or layer not in layers:
            camera.events.zoom.disconnect(on_zoom)
        elif len(layer.data) <= _MANY:
            _fit(layer, camera.zoom)

    camera.events.zoom.connect(on_zoom)


def thickness(zoom: float, scale: Any) -> float:
    """Return how wide an outline is in the pixels of a layer of this scale."""
    return float(_THICK_PX / zoom / np.mean(scale[-2:]))


def draw_thin(viewer: ViewerModel, layer: Shapes) -> None:
    """Draw all outlines of a layer as thick as this zoom wants, none of them thicker."""
    layer.metadata[_HIGHLIGHT] = None
    _set(layer, thickness(viewer.scene.camera.zoom, layer.scale))


def highlight(layer: Shapes, row: int | None) -> None:
    """Draw one outline of a layer thicker than the rest, or none."""
    thin = min(layer.edge_width, default=1.0)
    layer.metadata[_HIGHLIGHT] = row
    _set(layer, thin)


def _fit(layer: Shapes, zoom: float) -> None:
    width = thickness(zoom, layer.scale)
    if not 1 / _NEAR < width / min(layer.edge_width, default=width) < _NEAR:
        _set(layer, width)


def _set(layer: Shapes, width: float) -> None:
    row = layer.metadata.get(_HIGHLIGHT)
    layer.edge_width = [width * (2.5 if i == row else 1) for i in range(len(layer.data))]
    if layer.text.anchor == "upper_left":
        # Above a box at the top of the view a number is not seen; over nuclei alone it would hide them.
        inwards = _NUMBER_PX * width / _THICK_PX
        roomy = any((np.ptp(corners, axis=0) > 2 * inwards[0]).all() for corners in layer.data)
        layer.text.translation = inwards * roomy
    layer.refresh(thumbnail=False, extent=False)  # napari keeps the width, but does not draw it anew
