"""Cells found twice across the seams between regions, and how many cells each patch holds.

Regions are segmented independently, so that their order does not matter. A nucleus on a seam
can then be found from both sides, with its centroid once here and once there. Such doubles
are told apart once all finished regions are known; they stay in the columns, marked, so that a
region added later meets the same cells as in an undisturbed run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cells import Cells, resolve_seams
from ..tissue import PER_SIDE, Grid
from ..units import Mpp

_REACH_UM = 40.0  # no contour that crosses a seam has its centroid further away


class Seams:
    """Gathers cells region by region; only those near a seam are held in memory."""

    def __init__(self, grid: Grid, mpp: Mpp) -> None:
        """mpp: µm per level-0 pixel, (y, x)."""
        self._grid = grid
        self._reach = (_REACH_UM / mpp[0], _REACH_UM / mpp[1])
        self._near: list[Cells] = []
        self._patches: list[NDArray[np.int64]] = []
        self._regions: list[int] = []
        self._total = 0

    def add(self, region: int, cells: Cells) -> None:
        """Add the next region's cells."""
        y0, x0, y1, x1 = self._grid.region_box(region)
        y, x = cells.centroids.T
        edge_y = np.minimum(y - y0, y1 - y) < self._reach[0]
        edge_x = np.minimum(x - x0, x1 - x) < self._reach[1]
        near = np.flatnonzero(edge_y | edge_x)
        # The table of what is compared holds nothing but the row, so that it comes back with what is kept.
        rows = pd.DataFrame({"row": self._total + near})
        self._near.append(replace(cells.select(near), table=rows))
        self._regions.append(region)
        self._patches.append(region * PER_SIDE**2 + patch_of(self._grid, region, cells.centroids))
        self._total += len(cells.centroids)

    def resolve(self) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        """Return which rows are doubles, bool (N,), and how many other cells each patch holds.

        Counts are int32 (R, 256), −1 for regions that were not added.
        """
        double = np.zeros(self._total, bool)
        counts = np.full((len(self._grid), PER_SIDE**2), -1, np.int32)
        if self._regions:
            boxes = [self._grid.region_box(region) for region in self._regions]
            owners = np.repeat(np.arange(len(boxes)), [len(cells) for cells in self._near])
            near = Cells.concatenate(self._near)
            double[near.table["row"]] = True
            double[resolve_seams(near, owners, boxes).table["row"]] = False
            patches = np.concatenate(self._patches)[~double]
            found = np.bincount(patches, minlength=counts.size).reshape(counts.shape)
            counts[self._regions] = found[self._regions]
        return double, counts


def patch_of(grid: Grid, region: int, places: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return in which of a region's patches each place (N, 2) lies, level-0 px (y, x); int64 (N,)."""
    boxes = grid.patch_boxes(region)
    y, x = places.astype(np.float64).T
    row = np.searchsorted(boxes[::PER_SIDE, 0], y, "right") - 1
    column = np.searchsorted(boxes[:PER_SIDE, 1], x, "right") - 1
    return np.asarray(np.clip(row, 0, PER_SIDE - 1) * PER_SIDE + np.clip(column, 0, PER_SIDE - 1))
