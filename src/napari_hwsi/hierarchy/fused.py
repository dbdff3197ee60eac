"""Cells fused wherever the user asks: which were looked at, and which patches hold alike cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cells import Cells
from ..encoders import unit
from ..errors import InputError
from ..tissue import PER_SIDE, Grid
from .hierarchy import Hierarchy
from .seams import patch_of

if TYPE_CHECKING:
    from ..encoders.ccaf import Fuser
    from ..encoders.image import Precision

PER_REGION = PER_SIDE**2


@dataclass(frozen=True)
class FusedCells:
    """P sets of cells, each fused into a token by CCAF.

    cells: those that were fused, set after set; sets: int64 (P,), their numbers, ``region * 256 + patch`` for
    patches of the grid; offsets: int64 (P + 1,), the cells of set i in rows offsets[i] to offsets[i + 1];
    shares: float32 (N,), of each cell in the attention of its set; tokens: float32 (P, C).
    """

    cells: Cells
    sets: NDArray[np.int64]
    offsets: NDArray[np.int64]
    shares: NDArray[np.float32]
    tokens: NDArray[np.float32]

    @property
    def set_of(self) -> NDArray[np.int64]:
        """In which of the P sets each cell is, int64 (N,)."""
        return np.repeat(np.arange(len(self.sets)), np.diff(self.offsets))

    @property
    def most_attended(self) -> NDArray[np.int64]:
        """The rows of the cells, from the largest share to the smallest, int64 (N,)."""
        return np.argsort(-self.shares, kind="stable")

    def likeness(self, row: int) -> NDArray[np.float32]:
        """Return the cosine of the token of a set to that of each set, float32 (P,)."""
        tokens = unit(self.tokens)
        return (tokens @ tokens[row]).astype(np.float32)


def fuse_cells(cells: Cells, sets: NDArray[np.integer], fuser: Fuser) -> FusedCells:
    """Fuse sets of cells. sets: (N,), the number of the set each cell is in, −1 for none.

    Raises InputError where the cells have no vectors of the width that this CCAF takes, or were not measured
    as it wants them, and where there is nothing to fuse.
    """
    inputs = _inputs(cells, fuser)
    order = np.argsort(sets, kind="stable")[(np.asarray(sets) < 0).sum() :]
    if not len(order):
        raise InputError("There are no cells there to fuse.")
    numbers, counts = np.unique(np.asarray(sets, np.int64)[order], return_counts=True)
    offsets = np.concatenate([[0], counts.cumsum()]).astype(np.int64)
    fused = fuser.fuse(inputs[order], offsets)
    return FusedCells(cells.select(order), numbers, offsets, fused.shares, fused.tokens)


def fuser_for(cells: Cells, device: str = "auto", precision: Precision = "float32") -> Fuser:
    """Return the release's CCAF for cells with a segmenter's vectors, for others that which ships.

    Raises InputError where the weights are not here.
    """
    from ..encoders.ccaf import load_fuser
    from ..encoders.pocket_cells import load_pocket_fuser

    return (load_pocket_fuser if cells.tokens is None else load_fuser)(device, precision)


def _inputs(cells: Cells, fuser: Fuser) -> NDArray[np.float32]:
    """Return what a CCAF takes of each cell."""
    if fuser.columns:
        lacking = [name for name in fuser.columns if name not in cells.table]
        if lacking:
            raise InputError(
                f"These cells were not measured for CCAF: {lacking[0]} is missing. "
                "Find them on a slide with a pixel size."
            )
        return cells.table[list(fuser.columns)].to_numpy(np.float32)
    if cells.tokens is None or cells.tokens.shape[1] != fuser.cell_width:
        raise InputError(
            f"These cells have no vectors of {fuser.cell_width} numbers, which CCAF fuses. "
            "Find them with the segmenter 'cellvit', which gives each cell one."
        )
    return cells.tokens


def patches_of(grid: Grid, cells: Cells) -> NDArray[np.int64]:
    """Return the number ``region * 256 + patch`` of the grid's patch each cell lies in, −1 for none."""
    out = np.full(len(cells), -1, np.int64)
    if len(cells):
        low, high = np.floor(cells.centroids.min(0)), np.floor(cells.centroids.max(0)) + 1
        for region in grid.regions_meeting((int(low[0]), int(low[1]), int(high[0]), int(high[1]))):
            here = np.flatnonzero(cells.inside(grid.region_box(region)))
            out[here] = region * PER_REGION + patch_of(grid, region, cells.centroids[here])
    return out


def fused_of(result: Hierarchy) -> FusedCells:
    """Return what a result holds of its kept patches. Raises InputError where no cells are fused in it."""
    shares, kept = result.cell_shares, result.selected_patches
    rows = np.flatnonzero(~np.isnan(shares))
    cells = result.cells.select(rows)
    sets = patches_of(result.grid, cells)
    order = np.argsort(sets, kind="stable")
    numbers, counts = np.unique(sets, return_counts=True)
    places = kept["region"].to_numpy(np.int64) * PER_REGION + kept["patch"].to_numpy(np.int64)
    by_number = np.argsort(places)
    tokens = result.cell_tokens[by_number[np.searchsorted(places[by_number], numbers)]]
    offsets = np.concatenate([[0], counts.cumsum()]).astype(np.int64)
    return FusedCells(cells.select(order), numbers, offsets, shares[rows][order], tokens)
