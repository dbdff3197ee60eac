"""Another place to put in the stead of one: far away, of the same size, with tissue enough."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Hierarchy
from ..units import Box

_LEAST_TISSUE = 0.25
_STEPS = 4  # places are tried at every quarter of their side
_MOST_STEPS = 32  # a side


def far_place(result: Hierarchy, box: Box, analysed: bool = False) -> Box | None:
    """Return the place of the size of ``box`` that is farthest from it and clear of it, None where none is.

    It holds at least half the share of tissue that ``box`` does, and a quarter where that is less.
    box: level-0 px; analysed: only where patches and cells are done.
    """
    tissue = result.tissue.coverage(box)
    found = _places(result, (box[2] - box[0], box[3] - box[1]), min(_LEAST_TISSUE, tissue / 2), analysed)
    clear = (
        (found[:, 0] >= box[2]) | (found[:, 2] <= box[0]) | (found[:, 1] >= box[3]) | (found[:, 3] <= box[1])
    )
    found = found[clear]
    if not len(found):
        return None
    away = np.hypot(found[:, 0] - box[0], found[:, 1] - box[1])
    return _box(found[np.argmax(away)])


def fullest_place(result: Hierarchy, size: tuple[int, int], analysed: bool = False) -> Box | None:
    """Return the place of ``size`` (h, w) level-0 px with most tissue, None where the slide has none."""
    found = _places(result, size, 0.0, analysed)
    if not len(found):
        return None
    return _box(found[np.argmax([result.tissue.area_in(_box(place)) for place in found])])


def _places(result: Hierarchy, size: tuple[int, int], least: float, analysed: bool) -> NDArray[np.int64]:
    """Return the places of ``size`` with tissue on more than the share ``least``, (N, 4), top left first."""
    y0, x0, y1, x1 = result.grid.extent
    starts = [
        np.unique(np.linspace(low, max(low, high - side), _count(high - low, side)).astype(np.int64))
        for low, high, side in ((y0, y1, size[0]), (x0, x1, size[1]))
    ]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2)
    places = np.concatenate([corners, np.minimum(corners + size, (y1, x1))], 1)
    kept = [
        result.tissue.coverage(_box(place)) > least and (not analysed or result.covers(_box(place)))
        for place in places
    ]
    return places[np.array(kept, bool)]


def _count(length: int, side: int) -> int:
    return min(_MOST_STEPS, max(1, math.ceil(_STEPS * (length - side) / side) + 1))


def _box(place: NDArray[np.int64]) -> Box:
    y0, x0, y1, x1 = place.tolist()
    return y0, x0, y1, x1
