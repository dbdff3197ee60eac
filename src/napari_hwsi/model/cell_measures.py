"""The cells of a patch as one vector of measurements, for segmenters that give cells no vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Hierarchy
from ..hierarchy.seams import patch_of
from ..tissue import PER_SIDE

_PER_REGION = PER_SIDE**2
_MOST = 4.0

# column: centre and spread of a nucleus's value, so that all numbers come out alike in size
_MEASURES: dict[str, tuple[float, float]] = {
    "area_um2": (3.7, 0.5),  # of its logarithm
    "eccentricity": (0.65, 0.2),
    "circularity": (0.8, 0.12),
    "solidity": (0.93, 0.05),
    "haematoxylin_mean_od": (0.6, 0.25),
    "haematoxylin_sd_od": (0.15, 0.07),
    "eosin_mean_od": (0.3, 0.15),
    "haematoxylin_entropy_bits": (4.0, 1.0),
}
_AREAS_UM2 = (20.0, 35.0, 55.0, 90.0)
_COUNT = 50.0  # nuclei in a crowded patch

WIDTH = 2 + 2 * len(_MEASURES) + len(_AREAS_UM2) + 1


def measured_cells(
    result: Hierarchy, region: NDArray[np.int64], patch: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the measurements of the cells of P patches, float32 (P, WIDTH).

    region, patch: int64 (P,), of regions whose cells are done. How many there are, plain and as a logarithm;
    mean and standard deviation of each measure over the cells, in units of what nuclei differ by; the share
    of cells in each class of area. All 0 where there are no cells. Raises InputError for cells that were not
    measured so.
    """
    places = region * _PER_REGION + patch
    owner = _owners(result)
    order = np.argsort(places)
    at = np.searchsorted(places[order], owner)
    inside = (owner >= 0) & (at < len(places))
    inside[inside] = places[order][at[inside]] == owner[inside]
    row = order[at[inside]]
    count = np.bincount(row, minlength=len(places))
    some = np.maximum(count, 1)
    columns = [count / _COUNT, np.log1p(count) / 2]
    for name, (centre, spread) in _MEASURES.items():
        values = result.cell_column(f"table/{name}")[inside].astype(np.float64)
        if name == "area_um2":
            classes = np.searchsorted(_AREAS_UM2, values)
            values = np.log(np.maximum(values, 1))
        values = np.clip(np.nan_to_num((values - centre) / spread), -_MOST, _MOST)
        mean = np.bincount(row, values, len(places)) / some
        square = np.bincount(row, values**2, len(places)) / some
        columns += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    columns += [
        np.bincount(row[classes == k], minlength=len(places)) / some for k in range(len(_AREAS_UM2) + 1)
    ]
    return np.stack(columns, 1).astype(np.float32)


def _owners(result: Hierarchy) -> NDArray[np.int64]:
    """Return the place, ``region * 256 + patch``, of every cell of a result, −1 off the grid."""
    centroids, grid = result.cell_column("centroids"), result.grid
    found = np.full(len(centroids), -1, np.int64)
    y, x = centroids.T
    for region in np.flatnonzero(result.regions["cells"].to_numpy(bool)):
        y0, x0, y1, x1 = grid.region_box(int(region))
        here = np.flatnonzero((y >= y0) & (y < y1) & (x >= x0) & (x < x1))
        found[here] = region * _PER_REGION + patch_of(grid, int(region), centroids[here])
    return found
