"""Where nuclei are densest and sparsest in a view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tissue import TissueMask
from ..units import Box, Mpp

SIDE_UM = 128.0
"""Side of a place: that of a patch."""

_STEP_UM = 32.0
_CELLS = 12  # cells of the search for the densest place, along its side
_MOST_CELLS = 20_000  # looked into for one place; only slides as even as a lattice have more
_TISSUE = 0.75  # a sparse place is mostly tissue; glass has no nuclei and says nothing


@dataclass(frozen=True)
class Place:
    """A window of a view. box: level-0 px; n_nuclei: centroids in it; per_mm2: of the window's area."""

    box: Box
    n_nuclei: int
    per_mm2: float


def extreme_places(
    centroids: NDArray[np.float32], box: Box, mpp: Mpp, tissue: TissueMask, count: int = 3
) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """Return the ``count`` densest and the ``count`` sparsest places of ``box``, most extreme first.

    A place is a window of 128 x 128 µm that lies within the box (or is as high or wide as a
    smaller box); those returned do not overlap. centroids: (N, 2) level-0 px.
    The densest hold at least one nucleus, and no window of whole pixels that keeps clear of the
    denser ones holds more. The sparsest are tried every 32 µm or less, from edge to edge, and
    are at least three quarters tissue; ties go to the upper, then the left place.
    """
    return _densest(centroids, box, mpp, count), _sparsest(centroids, box, mpp, tissue, count)


def _densest(centroids: NDArray[np.float32], box: Box, mpp: Mpp, count: int) -> tuple[Place, ...]:
    shape = (box[2] - box[0], box[3] - box[1])
    sides = (_side(shape[0], mpp[0]), _side(shape[1], mpp[1]))
    at = np.floor(centroids).astype(np.int64) - box[:2]
    search = _Search(at[((at >= 0) & (at < shape)).all(1)], shape, sides)
    taken: list[tuple[int, int]] = []
    places: list[Place] = []
    while len(places) < count and (found := search.best(taken)):
        top, left, nuclei = found
        taken.append((top, left))
        y0, x0 = box[0] + top, box[1] + left
        per_mm2 = nuclei / (sides[0] * sides[1] * mpp[0] * mpp[1] * 1e-6)
        places.append(Place((y0, x0, y0 + sides[0], x0 + sides[1]), nuclei, per_mm2))
    return tuple(places)


class _Search:
    """Windows of ``sides`` px within ``shape`` px with the most points; at: (N, 2) whole px.

    Branch and bound: a window whose top left corner lies in a cell holds at most the points of
    the cells that any such window can meet. Cells are looked into from the highest bound down,
    until no bound exceeds what was found. Of the windows with a corner in one cell, only those
    count that cannot move down or right: a point, or a limit, is in their first row and column.
    """

    def __init__(self, at: NDArray[np.int64], shape: tuple[int, int], sides: tuple[int, int]) -> None:
        self._sides = sides
        self._last = tuple(length - side for length, side in zip(shape, sides, strict=True))
        self._cell = tuple(-(-side // _CELLS) for side in sides)
        self._reach = tuple(-(-(side - 1) // cell) + 1 for side, cell in zip(sides, self._cell, strict=True))
        n_rows, self._n_columns = (-(-length // cell) for length, cell in zip(shape, self._cell, strict=True))
        keys = (at // self._cell) @ (self._n_columns, 1)
        order = np.argsort(keys, kind="stable")
        self._at, self._keys = at[order], keys[order]
        counts = np.bincount(keys, minlength=n_rows * self._n_columns).reshape(n_rows, self._n_columns)
        for axis in (0, 1):
            total = np.insert(counts.cumsum(axis, dtype=np.int32), 0, 0, axis)
            first = np.arange(self._last[axis] // self._cell[axis] + 1)
            beyond = np.minimum(first + self._reach[axis], counts.shape[axis])
            counts = np.take(total, beyond, axis) - np.take(total, first, axis)
        cells = np.flatnonzero(counts)
        bounds = counts.ravel()[cells]
        self._order = cells[np.argsort(-bounds, kind="stable")][:_MOST_CELLS]
        self._bounds = counts.ravel()[self._order]
        self._width = counts.shape[1]

    def best(self, taken: list[tuple[int, int]]) -> tuple[int, int, int] | None:
        """Return top, left and number of points of the best window clear of those taken."""
        best: tuple[int, int, int] | None = None
        for cell, bound in zip(self._order.tolist(), self._bounds.tolist(), strict=True):
            if best and bound <= best[2]:
                break
            found = self._best_in(cell // self._width, cell % self._width, taken)
            if found[2] > (best[2] if best else 0):
                best = found
        return best

    def _best_in(self, row: int, column: int, taken: list[tuple[int, int]]) -> tuple[int, int, int]:
        rows = np.arange(row, row + self._reach[0]) * self._n_columns
        ends = np.minimum(column + self._reach[1], self._n_columns)
        first, beyond = np.searchsorted(self._keys, (rows + column, rows + ends))
        near = np.concatenate([self._at[a:b] for a, b in zip(first.tolist(), beyond.tolist(), strict=True)])
        starts, inside = [], []
        for axis, cell in enumerate((row, column)):
            side, size = self._sides[axis], self._cell[axis]
            limits = [self._last[axis], *(place[axis] - side for place in taken)]
            tried = np.unique(np.concatenate([near[:, axis], limits]))
            tried = tried[(tried >= cell * size) & (tried < (cell + 1) * size) & (tried <= self._last[axis])]
            beyond_start = near[:, axis] - tried[:, None]
            starts.append(tried)
            inside.append(((beyond_start >= 0) & (beyond_start < side)).astype(np.float32))
        if not (len(starts[0]) and len(starts[1])):
            return 0, 0, 0
        nuclei = inside[0] @ inside[1].T
        for top, left in taken:
            overlap = [abs(s - t) < side for s, t, side in zip(starts, (top, left), self._sides, strict=True)]
            nuclei[np.ix_(*overlap)] = 0
        r, c = np.unravel_index(int(nuclei.argmax()), nuclei.shape)
        return int(starts[0][r]), int(starts[1][c]), int(nuclei[r, c])


def _sparsest(
    centroids: NDArray[np.float32], box: Box, mpp: Mpp, tissue: TissueMask, count: int
) -> tuple[Place, ...]:
    rows, columns = (_windows(box[i], box[i + 2], mpp[i]) for i in (0, 1))
    edges = [np.unique(windows) for windows in (rows, columns)]
    bins = [np.searchsorted(e, centroids[:, i], "right") - 1 for i, e in enumerate(edges)]
    inside = np.logical_and.reduce([(b >= 0) & (b < len(e) - 1) for b, e in zip(bins, edges, strict=True)])
    counts = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1))
    np.add.at(counts, (bins[0][inside], bins[1][inside]), 1)
    nuclei = _window_sums(counts, edges, rows, columns)
    area = np.outer(rows[:, 1] - rows[:, 0], columns[:, 1] - columns[:, 0])
    covered = _window_sums(_tissue_in(tissue, edges), edges, rows, columns) / area
    per_mm2 = nuclei / (area * mpp[0] * mpp[1] * 1e-6)

    order = np.where(covered >= _TISSUE, -per_mm2, -np.inf)
    return tuple(
        Place(
            (int(rows[r, 0]), int(columns[c, 0]), int(rows[r, 1]), int(columns[c, 1])),
            int(nuclei[r, c]),
            float(per_mm2[r, c]),
        )
        for r, c in _apart(order, rows, columns, count)
    )


def _side(length: int, mpp: float) -> int:
    """Return the side of a place in px, along an axis of ``length`` px."""
    return min(round(SIDE_UM / mpp), length)


def _windows(start: int, stop: int, mpp: float) -> NDArray[np.int64]:
    """Return (W, 2) first and last pixels of windows from edge to edge along one axis."""
    length = stop - start
    side = _side(length, mpp)
    steps = int(np.ceil((length - side) * mpp / _STEP_UM))
    first = start + np.rint(np.linspace(0, length - side, steps + 1)).astype(np.int64)
    return np.stack([first, first + side], 1)


def _window_sums(
    values: NDArray[np.generic],
    edges: list[NDArray[np.int64]],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the sum of the bins between ``edges`` in each window, by a summed-area table."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    (top, bottom), (left, right) = (
        np.searchsorted(e, windows).T for e, windows in zip(edges, (rows, columns), strict=True)
    )
    upper, lower = table[top], table[bottom]
    return np.asarray(lower[:, right] - lower[:, left] - upper[:, right] + upper[:, left])


def _tissue_in(tissue: TissueMask, edges: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return the tissue area of each bin between ``edges``, level-0 px."""
    area = tissue.mask.astype(np.float64)
    for axis in (0, 1):
        total = np.insert(area.cumsum(axis), 0, 0, axis)
        at = np.clip(edges[axis] / tissue.downsample[axis], 0, area.shape[axis])
        whole = np.minimum(at.astype(np.int64), area.shape[axis] - 1)
        part = np.expand_dims(at - whole, 1 - axis)
        upto = np.take(total, whole, axis) + part * np.take(area, whole, axis)
        area = np.diff(upto, axis=axis) * tissue.downsample[axis]
    return area


def _apart(
    order: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64], count: int
) -> list[tuple[int, int]]:
    """Return up to ``count`` windows, highest first, that do not overlap; -inf is no candidate."""
    left = order.copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count:
        r, c = np.unravel_index(int(np.argmax(left)), left.shape)
        if left[r, c] == -np.inf:
            break
        chosen.append((int(r), int(c)))
        near = [(w[:, 0] < w[i, 1]) & (w[:, 1] > w[i, 0]) for w, i in ((rows, r), (columns, c))]
        left[np.ix_(*near)] = -np.inf
    return chosen
