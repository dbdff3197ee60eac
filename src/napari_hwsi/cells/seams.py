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
    cells of other owners; nothing is made of cells further from a seam than the longest sticks out.
    Of two that share more than 0.3 of the smaller one's area the surer stays, of equally sure ones the
    larger, then the one of the earlier row. The pairs that share most are settled first, so the result
    does not depend on the order of the tiles.
    """
    owner = np.asarray(owners, np.int64)
    if len(cells) < 2 or len(boxes) < 2:
        return cells
    bounds, home = cells.contours.bounds, np.array(boxes, np.float64)[owner]
    reach = np.hstack([home[:, :2] - bounds[:, :2], bounds[:, 2:] - home[:, 2:]]).max(1)
    # What overlaps a cell that sticks out by r comes within r of the edge of its own box.
    band = np.flatnonzero(reach >= -max(float(reach.max()), 0))
    first, second, shared, area = _overlapping(cells, band, reach[band] > 0, owner)
    if not len(first):
        return cells
    keep = np.ones(len(cells), bool)
    y, x = cells.centroids.T
    for pair in np.lexsort((x[second], y[second], x[first], y[first], -shared)):
        a, b = int(first[pair]), int(second[pair])
        if keep[a] and keep[b]:
            rank = [(cells.probabilities[i], area[pair][k], -y[i], -x[i]) for k, i in enumerate((a, b))]
            keep[b if rank[0] >= rank[1] else a] = False
    return cells if keep.all() else cells.select(keep)


def _overlapping(
    cells: Cells, band: NDArray[np.int64], out: NDArray[np.bool_], owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return pairs of rows of different owners that are one cell, the part they share, both areas (P, 2).

    band: the rows to look at; out: which of them stick out of their box.
    """
    polygons = cells.contours.take(band).polygons()
    picked, other = shapely.STRtree(polygons).query(polygons[out])
    pairs = np.unique(np.sort(np.stack([np.flatnonzero(out)[picked], other], 1), axis=1), axis=0)
    a, b = pairs[owner[band[pairs[:, 0]]] != owner[band[pairs[:, 1]]]].T
    area = np.stack([shapely.area(polygons[a]), shapely.area(polygons[b])], 1)
    common = shapely.area(shapely.intersection(*(shapely.make_valid(polygons[rows]) for rows in (a, b))))
    shared = common / np.maximum(area.min(1), 1e-9)
    same = shared > _SAME
    return band[a[same]], band[b[same]], shared[same], area[same]
