"""Cells found twice where two tiles meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from ..units import Box
from .cells import Cells

_SAME = 0.3  # shared area, as a part of the smaller cell, from which two are one


def resolve_seams(cells: Cells, owners: ArrayLike, boxes: Sequence[Box]) -> Cells:
    """Return the cells without those that two owners both hold.

    owners: (N,) which of ``boxes`` each cell's centroid lies in; the boxes do not overlap. Only
    cells that stick out of their own box can be doubles, so only these are compared, each with
    cells of other owners. Of two that share more than 0.3 of the smaller one's area the surer
    stays, of equally sure ones the larger, then the one of the earlier row. The pairs that share
    most are settled first, so the result does not depend on the order of the tiles.
    """
    owner = np.asarray(owners, np.int64)
    if len(cells) < 2 or len(boxes) < 2:
        return cells
    bounds, home = cells.contours.bounds, np.array(boxes, np.float64)[owner]
    out = ((bounds[:, :2] < home[:, :2]) | (bounds[:, 2:] > home[:, 2:])).any(1)
    first, second, shared, area = _overlapping(cells, np.flatnonzero(out), owner)
    keep = np.ones(len(cells), bool)
    y, x = cells.centroids.T
    for pair in np.lexsort((x[second], y[second], x[first], y[first], -shared)):
        a, b = int(first[pair]), int(second[pair])
        if keep[a] and keep[b]:
            rank = [(cells.probabilities[i], area[pair][k], -y[i], -x[i]) for k, i in enumerate((a, b))]
            keep[b if rank[0] >= rank[1] else a] = False
    return cells if keep.all() else cells.select(keep)


def _overlapping(
    cells: Cells, rows: NDArray[np.int64], owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return pairs of rows of different owners that are one cell, the part they share, both areas (P, 2)."""
    polygons = cells.contours.polygons()
    picked, other = shapely.STRtree(polygons).query(polygons[rows])
    pairs = np.unique(np.sort(np.stack([rows[picked], other], 1), axis=1), axis=0)
    first, second = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]].T
    area = np.stack([shapely.area(polygons[first]), shapely.area(polygons[second])], 1)
    common = shapely.area(
        shapely.intersection(shapely.make_valid(polygons[first]), shapely.make_valid(polygons[second]))
    )
    shared = common / np.maximum(area.min(1), 1e-9)
    same = shared > _SAME
    return first[same], second[same], shared[same], area[same]
