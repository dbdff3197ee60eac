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
    smaller box); windows are tried every 32 µm or less, from edge to edge, and those returned do
    not overlap. centroids: (N, 2) level-0 px. The densest hold at least one nucleus; the
    sparsest are at least three quarters tissue. Ties go to the upper, then the left place.
    """
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

    def best(order: NDArray[np.float64]) -> tuple[Place, ...]:
        return tuple(
            Place(
                (int(rows[r, 0]), int(columns[c, 0]), int(rows[r, 1]), int(columns[c, 1])),
                int(nuclei[r, c]),
                float(per_mm2[r, c]),
            )
            for r, c in _apart(order, rows, columns, count)
        )

    densest = best(np.where(nuclei > 0, per_mm2, -np.inf))
    sparsest = best(np.where(covered >= _TISSUE, -per_mm2, -np.inf))
    return densest, sparsest


def _windows(start: int, stop: int, mpp: float) -> NDArray[np.int64]:
    """Return (W, 2) first and last pixels of windows from edge to edge along one axis."""
    length = stop - start
    side = min(round(SIDE_UM / mpp), length)
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
