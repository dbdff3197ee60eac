"""The part of a slide that is on the screen, and going to another."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from ..errors import InputError
from ..units import Box, intersect
from .state import slide_of

Place: TypeAlias = tuple[float, float, float, float]
"""(y0, x0, y1, x1) in level-0 px, not clipped to the slide and between pixels."""

_UM_PX_AT_1X = 10.0  # 10x is 1 µm per pixel, as pathologists count
_AROUND = 1.6  # what is flown to fills this part of the view
_FINEST_UM_PX = 0.25
_ROUNDING = 1e-6


def view_box(viewer: ViewerModel, layer: Layer) -> Place:
    """Return what the canvas shows in a slide's pixels, also beside the slide.

    (y0, x0, y1, x1) in level-0 px, fractions of pixels and all. It comes from the camera, because
    the layer's own corner pixels snap to the borders of its chunks. Canvas and zoom are both
    counted in the window system's pixels, so a screen of double density changes nothing. Raises
    InputError in 3D, in grid view, and for rotated or sheared layers, whose view is no box.
    """
    if slide_of(layer) is None:
        raise InputError(f"The layer {layer.name!r} is not a slide.")
    _require_flat(viewer, layer)
    half = np.divide(viewer.canvas.size, 2 * viewer.scene.camera.zoom)
    centre = np.array(viewer.scene.camera.center[-2:])
    corners = np.array([layer.world_to_data(centre + half * side)[-2:] for side in (-1, 1)])
    # Pixel i covers i - 0.5 to i + 0.5 in napari. A negative scale swaps the corners.
    (y0, x0), (y1, x1) = corners.min(0) + 0.5, corners.max(0) + 0.5
    return float(y0), float(x0), float(y1), float(x1)


def visible_box(viewer: ViewerModel, layer: Layer) -> Box | None:
    """Return the part of a slide's layer that the canvas shows.

    (y0, x0, y1, x1) in level-0 px, half open, clipped to the slide: every pixel that is on
    the screen even in part. None where the slide is hidden or out of view. Raises what
    :func:`view_box` raises.
    """
    y0, x0, y1, x1 = view_box(viewer, layer)
    slide = slide_of(layer)
    if slide is None or not layer.visible:
        return None
    # A tiny step keeps rounding from adding a row.
    low, high = (y0 + _ROUNDING, x0 + _ROUNDING), (y1 - _ROUNDING, x1 - _ROUNDING)
    shown = (math.floor(low[0]), math.floor(low[1]), math.ceil(high[0]), math.ceil(high[1]))
    return intersect(shown, (0, 0, *slide.shape))


def require_visible_box(viewer: ViewerModel, layer: Layer) -> Box:
    """Return :func:`visible_box`; raises InputError where nothing of the slide is on the screen."""
    box = visible_box(viewer, layer)
    if box is None:
        raise InputError("The slide is not in view. Press Home to bring it back, or show its layer.")
    return box


def fly_to(viewer: ViewerModel, layer: Layer, box: Place) -> None:
    """Centre the camera on a box (level-0 px), with some of its surroundings, at 40x at most."""
    slide = slide_of(layer)
    finest = 1 / _FINEST_UM_PX if slide is not None and slide.mpp is not None else math.inf
    _fit(viewer, layer, box, _AROUND, finest)


def show_box(viewer: ViewerModel, layer: Layer, box: Place) -> None:
    """Show exactly a box (level-0 px), or as little more as the canvas' shape needs.

    What :func:`view_box` gave on a canvas of the same size comes back as it was.
    """
    _fit(viewer, layer, box)


def centre_on(viewer: ViewerModel, layer: Layer, place: tuple[float, float]) -> None:
    """Move the camera to a place, (y, x) in level-0 px counted from the slide's corner; keep the zoom."""
    _require_flat(viewer, layer)
    y, x = layer.data_to_world(np.subtract(place, 0.5))[-2:]
    viewer.scene.camera.center = (0.0, float(y), float(x))


def move_by_views(viewer: ViewerModel, layer: Layer, down: float, right: float) -> None:
    """Move the camera by parts of what the canvas shows."""
    y0, x0, y1, x1 = view_box(viewer, layer)
    centre_on(viewer, layer, ((y0 + y1) / 2 + down * (y1 - y0), (x0 + x1) / 2 + right * (x1 - x0)))


def zoom_by(viewer: ViewerModel, factor: float) -> None:
    """Zoom about the middle of the view."""
    viewer.scene.camera.zoom *= factor


def magnification(viewer: ViewerModel) -> float:
    """Return the magnification on the screen, where 10 is 1 µm per screen pixel; needs a scale in µm."""
    return float(viewer.scene.camera.zoom) * _UM_PX_AT_1X


def set_magnification(viewer: ViewerModel, value: float) -> None:
    """Zoom to a magnification about the middle of the view."""
    viewer.scene.camera.zoom = value / _UM_PX_AT_1X


def _fit(
    viewer: ViewerModel, layer: Layer, box: Place, around: float = 1.0, finest: float = math.inf
) -> None:
    _require_flat(viewer, layer)
    corners = [np.array(layer.data_to_world(np.subtract(c, 0.5))[-2:]) for c in (box[:2], box[2:])]
    size = np.abs(corners[1] - corners[0]) * around
    centre = (corners[0] + corners[1]) / 2
    viewer.scene.camera.center = (0.0, float(centre[0]), float(centre[1]))
    viewer.scene.camera.zoom = min(float(np.min(np.array(viewer.canvas.size) / size)), finest)


def _require_flat(viewer: ViewerModel, layer: Layer) -> None:
    dims = viewer.dims
    if dims.ndisplay != 2:
        raise InputError("The view is in 3D. Switch to 2D: a slide has no visible region there.")
    if tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
        raise InputError("The axes are rolled or transposed. Restore their order to ask about the view.")
    if viewer.canvas.grid.enabled:
        raise InputError("Grid view is on. Switch it off: each layer has a view of its own there.")
    linear = np.asarray(layer._data_to_world.linear_matrix)[-2:, -2:]
    if not np.allclose(linear, np.diag(np.diag(linear))):
        raise InputError(f"The layer {layer.name!r} is rotated or sheared; its view is not a box of pixels.")
