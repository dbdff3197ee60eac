"""How many cells lie in a region, how dense they are, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from ..errors import InputError
from ..tissue import TissueMask

if TYPE_CHECKING:
    from .cells import Cells

Shape = Sequence[float] | NDArray[np.floating]
"""A box (y0, x0, y1, x1), or the corners of a polygon (M, 2), (y, x); level-0 px."""

_BLOCK = 4_000_000  # pixels of a tissue mask looked at together


def count_cells(
    cells: Cells,
    regions: Mapping[str, Shape] | Sequence[Shape],
    tissue: TissueMask | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Count cells in regions: a row a region for all cells, and one a type where types are told apart.

    regions: by name, or numbered from 1; a cell lies where its centroid does. tissue: densities are then per
    area of tissue instead of the shape's. Columns: region, type ('all', or one of ``type_names``), cells,
    cells_low, cells_high; shape_mm2, tissue_mm2 (missing without a mask); density_per_mm2 and its bounds;
    share of the region's cells and its bounds, missing where there are none. Bounds of counts and densities
    are exact for a Poisson number (:func:`poisson_interval`), those of shares Wilson's
    (:func:`wilson_interval`). They tell how surely the cells found stand for more tissue of the kind, not
    how well they were found.

    Raises InputError for a shape that is none, is empty or crosses itself; ResolutionError for cells without
    mpp.
    """
    y, x = cells.require_mpp()
    named = regions if isinstance(regions, Mapping) else {str(i): r for i, r in enumerate(regions, 1)}
    kinds = cells.type_names if len(cells.type_names) > 1 else ()
    rows = []
    for name, shape in named.items():
        area = polygon_of(shape, name)
        inside = cells_in(cells, area)
        shape_mm2 = area.area * y * x / 1e6
        tissue_mm2 = np.nan if tissue is None else tissue_area(tissue, area) * y * x / 1e6
        by_type = np.bincount(cells.types[inside], minlength=len(kinds)) if kinds else ()
        for kind, count in zip(("all", *kinds), (len(inside), *by_type), strict=True):
            rows.append((name, kind, int(count), len(inside), shape_mm2, tissue_mm2))
    columns = ["region", "type", "cells", "of", "shape_mm2", "tissue_mm2"]
    table = pd.DataFrame(rows, columns=columns)
    counts, total = table["cells"].to_numpy(), table.pop("of").to_numpy()
    low, high = poisson_interval(counts, confidence)
    ground = table["shape_mm2" if tissue is None else "tissue_mm2"].to_numpy()
    ground = np.where(ground > 0, ground, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / np.where(total > 0, total, np.nan)
    share_low, share_high = wilson_interval(counts, total, confidence)
    table.insert(3, "cells_low", low)
    table.insert(4, "cells_high", high)
    densities = {"density_per_mm2": counts, "density_low_per_mm2": low, "density_high_per_mm2": high}
    shares = {"share": share, "share_low": share_low, "share_high": share_high}
    return table.assign(**{name: values / ground for name, values in densities.items()}, **shares)


def polygon_of(shape: Shape, name: str = "") -> shapely.Polygon:
    """Return a shape as a polygon in level-0 px, (x, y). Raises InputError as :func:`count_cells`."""
    what = f"The region {name!r}" if name else "The region"
    corners = np.asarray(shape, float)
    if corners.shape == (4,):
        y0, x0, y1, x1 = corners
        if not (y1 > y0 and x1 > x0):
            raise InputError(f"{what} is empty: a box is (y0, x0, y1, x1) with y1 > y0 and x1 > x0.")
        return shapely.box(x0, y0, x1, y1)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise InputError(f"{what} is a box (y0, x0, y1, x1) or three corners and more, (M, 2), (y, x).")
    polygon = shapely.Polygon(corners[:, ::-1])
    if not polygon.is_valid:
        raise InputError(f"{what} crosses itself, so it has no inside. Draw it anew without a crossing.")
    if not polygon.area > 0:
        raise InputError(f"{what} has no area.")
    return polygon


def cells_in(cells: Cells, polygon: shapely.Polygon) -> NDArray[np.int64]:
    """Return the rows of the cells whose centroid lies in a polygon, (x, y) level-0 px; boxes half open."""
    x0, y0, x1, y1 = polygon.bounds
    near = np.flatnonzero(cells.inside((y0, x0, y1, x1)))
    if polygon.equals(shapely.box(x0, y0, x1, y1)):
        return near
    shapely.prepare(polygon)
    return near[shapely.contains_xy(polygon, *cells.centroids[near].T[::-1].astype(np.float64))]


def tissue_area(tissue: TissueMask, polygon: shapely.Polygon) -> float:
    """Return the area of tissue in a polygon, level-0 px²; pixels of the mask count by their middle."""
    x0, y0, x1, y1 = polygon.bounds
    if polygon.equals(shapely.box(x0, y0, x1, y1)):
        return tissue.area_in((y0, x0, y1, x1))
    (down, across), (height, width) = tissue.downsample, tissue.mask.shape
    top, bottom = (int(np.clip(np.floor(y / down), 0, height)) for y in (y0, y1 + down))
    left, right = (int(np.clip(np.floor(x / across), 0, width)) for x in (x0, x1 + across))
    shapely.prepare(polygon)
    middles_x = (np.arange(left, right) + 0.5) * across
    step, inside = max(1, _BLOCK // max(right - left, 1)), 0
    for first in range(top, bottom, step):
        rows = np.arange(first, min(first + step, bottom))
        part = tissue.mask[rows[0] : rows[-1] + 1, left:right]
        held = shapely.contains_xy(polygon, middles_x[None, :], ((rows + 0.5) * down)[:, None])
        inside += int((part & held).sum())
    return inside * down * across


def poisson_interval(
    counts: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact bounds (N,) of the mean of a Poisson number (Garwood, Biometrika 28, 1936)."""
    seen, tail = np.asarray(counts, float), (1 - confidence) / 2
    low = np.where(seen > 0, chi2.ppf(tail, 2 * np.maximum(seen, 1)) / 2, 0.0)
    return low, chi2.ppf(1 - tail, 2 * (seen + 1)) / 2


def wilson_interval(
    counts: ArrayLike, totals: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds (N,) of a share (Wilson, J. Am. Stat. Assoc. 22, 1927), NaN where the total is 0."""
    seen, total = np.asarray(counts, float), np.asarray(totals, float)
    total = np.where(total > 0, total, np.nan)
    z = norm.ppf(1 - (1 - confidence) / 2)
    share = seen / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    reach = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)
