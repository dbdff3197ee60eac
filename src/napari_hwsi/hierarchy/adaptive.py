"""Adaptive regions: connected, irregular groups of like patches, in place of squares.

Patches have vectors only once they are read, and a result is written square by square, so regions are grown
within each square of the grid as it is finished: a square needs nothing of its neighbours, resumes like any
other, and holds 256 vectors in memory. The price is that no region crosses the border of a square, as no
square does either.

Growing is agglomeration under contiguity: each patch begins as a region of its own, and of all pairs of
regions that share an edge the pair whose union adds least to the spread of the vectors is joined (Ward 1963,
doi:10.1080/01621459.1963.10500845, confined to neighbours), until regions hold 64 patches on average. Those
of fewer than 16, from which a filter that keeps 16 could not choose, then join the neighbour they are most
like; islands of tissue stay apart however small they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders import unit
from ..errors import InputError

MEAN_PATCHES = 64
LEAST_PATCHES = 16
VERSION = "1"

_TIE = 1e-12

Indices = NDArray[np.int16]


def settings() -> dict[str, Any]:
    """Return all that decides how regions grow, as plain values."""
    return {"version": VERSION, "mean_patches": MEAN_PATCHES, "least_patches": LEAST_PATCHES}


def grow(vectors: ArrayLike, tissue: NDArray[np.bool_]) -> Indices:
    """Return the adaptive region of each patch of a square, int16 (N,), −1 where there is no tissue.

    vectors: (N, W) of the N = side² patches, row by row; tissue: bool (N,), which of them are to be in a
    region: each is in exactly one, and each region hangs together by patches that share an edge. Regions are
    numbered by their first patch. Costs that differ by less than 1e-12 are a tie and go to the pair with the
    lower first patches, so that the regions are the same on every machine. Raises InputError for shapes that
    do not fit.
    """
    units, side = unit(vectors), int(np.sqrt(len(tissue)))
    if units.ndim != 2 or len(units) != len(tissue) or side * side != len(tissue):
        raise InputError(
            f"Regions are grown from a square of patches (N, W), N of them; not {units.shape}, {len(tissue)}."
        )
    growing = _Growing(units, tissue, side)
    growing.join(lambda: growing.count > -(-int(tissue.sum()) // MEAN_PATCHES), least=len(tissue))
    growing.join(lambda: True, least=LEAST_PATCHES)
    return growing.labels()


class _Growing:
    """Regions by their first patch; ``_pairs`` holds what it costs to join each pair of neighbours."""

    def __init__(self, units: NDArray[np.float64], tissue: NDArray[np.bool_], side: int) -> None:
        self._tissue = tissue
        self._first = np.where(tissue, np.arange(len(tissue)), -1)
        self._sums, self._sizes = units.copy(), tissue.astype(np.int64)
        self._neighbours: dict[int, set[int]] = {int(i): set() for i in np.flatnonzero(tissue)}
        grid = np.arange(len(tissue)).reshape(side, side)
        edges = [(grid[:, :-1], grid[:, 1:]), (grid[:-1], grid[1:])]
        for a, b in ((int(a), int(b)) for x, y in edges for a, b in zip(x.flat, y.flat, strict=True)):
            if tissue[a] and tissue[b]:
                self._neighbours[a].add(b)
                self._neighbours[b].add(a)
        pairs = ((a, b) for a, others in self._neighbours.items() for b in others if a < b)
        self._pairs = {pair: self._cost(*pair) for pair in pairs}

    @property
    def count(self) -> int:
        return len(self._neighbours)

    def join(self, more: Any, least: int) -> None:
        """Join the cheapest pair, one of which has fewer than ``least`` patches, as long as ``more()``."""
        while more():
            open_pairs = [
                (cost, pair)
                for pair, cost in self._pairs.items()
                if min(self._sizes[pair[0]], self._sizes[pair[1]]) < least
            ]
            if not open_pairs:
                return
            self._join(*min(open_pairs)[1])

    def labels(self) -> Indices:
        labels = np.full(len(self._first), -1, np.int16)
        labels[self._tissue] = np.unique(self._first[self._tissue], return_inverse=True)[1]
        return labels

    def _join(self, a: int, b: int) -> None:
        self._first[self._first == b] = a
        self._sums[a] += self._sums[b]
        self._sizes[a] += self._sizes[b]
        around = (self._neighbours[a] | self._neighbours.pop(b)) - {a, b}
        for other in around:
            self._neighbours[other].discard(b)
            self._neighbours[other].add(a)
            self._pairs.pop((min(b, other), max(b, other)), None)
        self._pairs.pop((a, b))
        self._neighbours[a] = around
        for other in around:
            self._pairs[min(a, other), max(a, other)] = self._cost(a, other)

    def _cost(self, a: int, b: int) -> float:
        """Return what the squared distances to the mean grow by when two regions become one."""
        n, m = int(self._sizes[a]), int(self._sizes[b])
        apart = self._sums[a] / n - self._sums[b] / m
        return float(np.round(n * m / (n + m) * (apart @ apart) / _TIE) * _TIE)
