"""CCAF over a result: the cells of each kept patch become its cell token, and get their share of attention.

It stands on both parts: which patches are kept, and which cells lie in them. So a region is fused once both
are in the columns, and anew when either changes; what it needs is in its key, and nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import Contours
from ..tissue import PER_SIDE, Grid
from .cell_arrays import TABLE
from .files import digest
from .journal import Arrays
from .plan import Plan
from .seams import patch_of
from .store import FUSED, Store


@dataclass(frozen=True)
class Fusion:
    """How far the fusing of a result is, its regions as text, as JSON has them.

    wanted: the key of each region that has both parts; done: of those that are fused; waiting: of these,
    those that are not yet in the columns.
    """

    wanted: dict[str, str]
    done: dict[str, str]
    waiting: frozenset[str]

    @property
    def missing(self) -> dict[int, str]:
        """The regions that are still to be fused, with their keys."""
        return {int(region): key for region, key in self.wanted.items() if region not in self.done}

    def read(self, store: Store, region: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of a region that is done, as :func:`fuse_region` made them."""
        if str(region) in self.waiting:
            return store.journal.read(FUSED, self.done[str(region)], region)
        patches, cells = (_rows(store, name, region) for name in ("patch_offsets", "cell_offsets"))
        arrays = {name: store.read(f"{FUSED}/{name}", patches) for name in ("patch", "n_cells", "tokens")}
        for name in ("scores", "boxes", "rows"):
            arrays[name] = store.read(f"attention/{FUSED}/cell/{name}", cells)
        return arrays | {"cells": arrays.pop("rows") - store.cell_rows(region, region + 1).start}


def fusion(
    store: Store, plan: Plan, patches: Sequence[int], cells: Sequence[int], lost: Container[int] = ()
) -> Fusion:
    """Return how far the fusing is, for these regions whose patches and whose cells are finished.

    lost: regions whose fused cells are damaged in the columns.
    """
    if plan.fuser is None:
        return Fusion({}, {}, frozenset())
    segmented = {*cells}
    ground = [plan.fuser.version, plan.keys, plan.phrases, plan.settings["patches"]["filter"]]
    # which cells are doubles depends on the regions around, so far as they are finished
    wanted = {
        str(region): digest([ground, sorted(segmented & {*_around(plan.grid, region)})])
        for region in sorted({*patches} & segmented)
    }
    held = (store.standing(FUSED) or {"keys": {}})["keys"]
    standing = {region: key for region, key in held.items() if int(region) not in lost}
    waiting = {r for r, key in wanted.items() if int(r) in store.journal.regions(FUSED, key)}
    done = {r: key for r, key in wanted.items() if r in waiting or standing.get(r) == key}
    return Fusion(wanted, done, frozenset(waiting))


def fuse_region(store: Store, plan: Plan, region: int) -> Arrays:
    """Return what CCAF makes of the cells of a region's kept patches, S of them with F cells.

    ``patch`` int16 (S,), most relevant first; ``n_cells`` int32 (S,); ``tokens`` float32 (S, C); and of the
    cells, by patch: ``cells`` int64 (F,), rows among those of the region, ``scores`` float32 (F,) and their
    bounding ``boxes`` int64 (F, 4). Raises InputError for cells whose vectors are not those CCAF takes.
    """
    assert plan.fuser is not None  # nothing is to be fused otherwise
    first = store.sidecar("patches")["regions"].index(region) * PER_SIDE**2
    rank = store.read("patches/rank", slice(first, first + PER_SIDE**2))
    kept = np.argsort(rank, kind="stable")[(rank < 0).sum() :]
    place = np.full(PER_SIDE**2, -1)
    place[kept] = np.arange(len(kept))
    rows = store.cell_rows(region, region + 1)
    arrays, double = store.cells_of(rows, tokens=True), store.read("cells/double", rows)
    where = place[patch_of(plan.grid, region, arrays["centroids"])]
    where[double] = -1
    order = np.argsort(where, kind="stable")[(where < 0).sum() :]
    counts = np.bincount(where[order], minlength=len(kept))
    nothing = np.zeros((len(where), plan.fuser.cell_width), np.float32)
    inputs = arrays.get("tokens", nothing)
    if plan.fuser.columns:
        columns = [arrays.get(f"{TABLE}{name}", nothing[:, 0]) for name in plan.fuser.columns]
        inputs = np.stack(columns, 1).astype(np.float32)
    fused = plan.fuser.fuse(inputs[order], np.concatenate([[0], counts.cumsum()]))
    bounds = Contours(arrays["vertices"], arrays["vertex_offsets"]).take(order).bounds
    return {
        "patch": kept.astype(np.int16),
        "n_cells": counts.astype(np.int32),
        "tokens": fused.tokens,
        "cells": order,
        "scores": fused.shares,
        "boxes": np.concatenate([np.floor(bounds[:, :2]), np.ceil(bounds[:, 2:])], 1).astype(np.int64),
    }


def _around(grid: Grid, region: int) -> list[int]:
    rows, columns = grid.shape
    row, column = divmod(region, columns)
    return [
        y * columns + x
        for y in range(max(row - 1, 0), min(row + 2, rows))
        for x in range(max(column - 1, 0), min(column + 2, columns))
    ]


def _rows(store: Store, name: str, region: int) -> slice:
    first, last = store.read(f"{FUSED}/{name}", slice(region, region + 2))
    return slice(int(first), int(last))
