"""Where cells are dense, and which type prevails, on a grid of bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from ..tissue import TissueMask

if TYPE_CHECKING:
    from .cells import Cells

BIN_UM = 128.0
"""A bin is a patch wide where nothing else is asked for."""

_LEAST = 0.1  # less of a bin than this: one cell on a sliver would be the densest place of the slide
_MOST_BINS = 16_000_000


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Cells on a grid of square bins of ``bin_um`` on the ground; the last of a row may be cut by the box.

    counts: float32 (T, Y, X), cells of each of ``type_names``; area_mm2: float32 (Y, X), what was looked at
    of each bin; both smoothed by a Gaussian of ``sigma_um`` where that is not None; told: bool (Y, X), bins
    of which at least a tenth was looked at, the only ones that have a density or a share; origin: the (y, x)
    level-0 px of the grid's corner; step: (y, x) level-0 px per bin.
    """

    counts: NDArray[np.float32]
    area_mm2: NDArray[np.float32]
    told: NDArray[np.bool_]
    type_names: tuple[str, ...]
    origin: tuple[float, float]
    step: tuple[float, float]
    bin_um: float
    sigma_um: float | None = None

    def density(self, kind: str | None = None) -> NDArray[np.float32]:
        """Return cells per mm², of one type or all, float32 (Y, X), NaN where nothing is told."""
        return self._ratio(self._of(kind), self.area_mm2)

    def share(self, kind: str) -> NDArray[np.float32]:
        """Return the share of a type among the cells, float32 (Y, X), NaN without cells or tissue."""
        return self._ratio(self._of(kind), self._of(None))

    def dominant(self) -> NDArray[np.uint8]:
        """Return 1 + the most frequent type, the first of equals, uint8 (Y, X); 0 where no share is told."""
        known = self.told & (self._of(None) > 0)
        return np.where(known, self.counts.argmax(0) + 1, 0).astype(np.uint8)

    def _of(self, kind: str | None) -> NDArray[np.float32]:
        if kind is None:
            return np.asarray(self.counts.sum(0))
        if kind not in self.type_names:
            raise InputError(f"No cell is of type {kind!r}; there are {', '.join(self.type_names)}.")
        return self.counts[self.type_names.index(kind)]

    def _ratio(self, part: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
        known = self.told & (whole > 0)
        return np.divide(part, whole, out=np.full(part.shape, np.nan, np.float32), where=known)


def map_density(
    cells: Cells,
    box: Sequence[float] | None = None,
    tissue: TissueMask | None = None,
    bin_um: float = BIN_UM,
    sigma_um: float | None = None,
) -> DensityMap:
    """Count cells by type in bins of ``bin_um``, by their centroids.

    box: the (y0, x0, y1, x1) level-0 px that were looked at, what the outlines span where None; tissue: only
    its area counts as looked at. sigma_um: smooth counts and area alike by a Gaussian, so that borders do
    not thin the density out (Diggle, Applied Statistics 34, 1985); not at all where None. Raises
    InputError for an empty box and sizes that are not above 0 or ask for too many bins, ResolutionError
    for cells without mpp.
    """
    mpp = cells.require_mpp()
    if not bin_um > 0 or not (sigma_um is None or sigma_um > 0):
        raise InputError(f"Bins and their smoothing are above 0 µm, not {bin_um} and {sigma_um}.")
    if box is None:
        bounds = cells.contours.bounds
        box = [*bounds[:, :2].min(0), *bounds[:, 2:].max(0)] if len(cells) else (0, 0, 1, 1)
    y0, x0, y1, x1 = (float(v) for v in box)
    if not (y1 > y0 and x1 > x0):
        raise InputError(f"The box {tuple(box)!r} is empty: it must run from a top left to a bottom right.")
    step = (bin_um / mpp[0], bin_um / mpp[1])
    shape = (math.ceil((y1 - y0) / step[0] - 1e-9), math.ceil((x1 - x0) / step[1] - 1e-9))
    kinds = len(cells.type_names)
    if shape[0] * shape[1] * kinds > _MOST_BINS:
        raise InputError(
            f"Bins of {bin_um:g} µm are too many here, {shape[0]} x {shape[1]}. Take larger ones."
        )
    rows = np.flatnonzero(cells.inside((y0, x0, y1, x1)))
    at = ((cells.centroids[rows].astype(np.float64) - (y0, x0)) / step).astype(np.int64)
    y, x = np.minimum(at, np.array(shape) - 1).T
    number = (cells.types[rows].astype(np.int64) * shape[0] + y) * shape[1] + x
    counts = (
        np.bincount(number, minlength=kinds * shape[0] * shape[1]).reshape(kinds, *shape).astype(np.float32)
    )
    edges_y = np.minimum(y0 + np.arange(shape[0] + 1) * step[0], y1)
    edges_x = np.minimum(x0 + np.arange(shape[1] + 1) * step[1], x1)
    area = _area(edges_y, edges_x, tissue) * (mpp[0] * mpp[1] / 1e6)
    told = area >= _LEAST * bin_um**2 / 1e6
    if sigma_um is not None:
        wide = sigma_um / bin_um
        counts = gaussian_filter(counts, (0, wide, wide), mode="constant")
        area = gaussian_filter(area, wide, mode="constant")
    return DensityMap(
        counts, area.astype(np.float32), told, cells.type_names, (y0, x0), step, float(bin_um), sigma_um
    )


def _area(
    edges_y: NDArray[np.float64], edges_x: NDArray[np.float64], tissue: TissueMask | None
) -> NDArray[np.float64]:
    """Return the level-0 px² of each bin between edges that are tissue, all where None; parts by area."""
    if tissue is None:
        return np.outer(np.diff(edges_y), np.diff(edges_x))
    within = tissue.mask.astype(np.float64)
    for axis, (edges, step) in enumerate(zip((edges_y, edges_x), tissue.downsample, strict=True)):
        within = np.diff(_running(within, edges / step, axis), axis=axis) * step
    return within


def _running(values: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the sum along an axis up to places between pixels."""
    along = np.moveaxis(values, axis, 0)
    sums = np.concatenate([np.zeros((1, along.shape[1])), np.cumsum(along, 0)])
    places = np.clip(places, 0, len(along))
    below = np.minimum(np.floor(places).astype(int), len(along) - 1)
    part = (places - below)[:, None]
    return np.moveaxis(sums[below] * (1 - part) + sums[below + 1] * part, 0, axis)
