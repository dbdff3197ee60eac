"""Counts in regions, their densities and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.cells import Cells
from napari_hwsi.cells.counts import poisson_interval, wilson_interval
from napari_hwsi.errors import InputError, ResolutionError
from napari_hwsi.tissue import TissueMask

SQUARE = np.array([[-3, -3], [-3, 3], [3, 3], [3, -3]], np.float32)


def cells_at(centres: np.ndarray, types: np.ndarray, mpp: float | None = 0.5) -> Cells:
    """Return square cells of 6 px a side."""
    return Cells.of([SQUARE + centre for centre in centres], types=types, type_names=("a", "b"), mpp=mpp)


@pytest.fixture(scope="module")
def grid() -> Cells:
    """A cell in the middle of each 20 px of 2000 x 2000 px (1 mm²), type b in the right quarter."""
    y, x = (axis.ravel() for axis in np.mgrid[10:2000:20, 10:2000:20])
    return cells_at(np.stack([y, x], 1), (x >= 1500).astype(np.uint8))


@pytest.mark.parametrize(
    ("count", "low", "high"),  # the table of exact limits in Garwood's paper and in Johnson & Kotz
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390), (50, 37.11, 65.92)],
)
def test_poisson_bounds_are_those_of_the_tables(count: int, low: float, high: float) -> None:
    found = poisson_interval([count])
    assert (found[0][0], found[1][0]) == pytest.approx((low, high), rel=1e-3, abs=5e-4)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_bounds_are_those_of_the_tables(count: int, total: int, low: float, high: float) -> None:
    found = wilson_interval([count], [total])
    assert (found[0][0], found[1][0]) == pytest.approx((low, high), abs=6e-5)


def test_boxes_and_polygons_count_alike(grid: Cells) -> None:
    box = (0, 1000, 1000, 2000)
    table = grid.count_in({"box": box, "drawn": [(0, 1000), (0, 2000), (1000, 2000), (1000, 1000)]})
    triangle = grid.count_in([[(0, 0), (0, 2000), (2000, 2000)]])
    assert [*table["region"]] == ["box"] * 3 + ["drawn"] * 3
    assert [*table["type"]] == ["all", "a", "b"] * 2
    assert [*table["cells"]] == [2500, 1250, 1250] * 2
    assert table["shape_mm2"].to_numpy() == pytest.approx(0.25)
    assert table["density_per_mm2"][0] == pytest.approx(10_000)
    assert table["share"][2] == pytest.approx(0.5)
    assert (table["density_low_per_mm2"] < table["density_per_mm2"]).all()
    assert (table["density_high_per_mm2"] > table["density_per_mm2"]).all()
    assert triangle["cells"][0] == pytest.approx(5000, abs=100)
    assert np.isnan(triangle["tissue_mm2"]).all()


def test_regions_that_meet_share_no_cell(grid: Cells) -> None:
    edge = grid.centroids[:, 1].mean()  # through no cell's middle, but between two columns
    halves = grid.count_in([(0, 0, 2000, edge), (0, edge, 2000, 2000)])
    assert halves[halves["type"] == "all"]["cells"].sum() == len(grid)


def test_densities_are_of_tissue_where_it_is_known(grid: Cells) -> None:
    mask = np.zeros((100, 100), bool)
    mask[:, :50] = True
    tissue = TissueMask(mask, (20.0, 20.0))
    table = grid.count_in(
        {"box": (0, 0, 2000, 2000), "drawn": [(1, 1), (1, 1999), (1999, 1999), (1999, 1)]}, tissue
    )
    assert table["tissue_mm2"].to_numpy() == pytest.approx(0.5, rel=0.01)
    assert table["density_per_mm2"][0] == pytest.approx(len(grid) / 0.5)
    assert np.isnan(grid.count_in([(0, 1200, 100, 1300)], tissue)["density_per_mm2"][0])


def test_a_region_without_cells_has_an_upper_bound() -> None:
    table = cells_at(np.array([[10, 10]]), np.array([0])).count_in([(500, 500, 2500, 2500)])
    assert [*table["cells"]] == [0, 0, 0]
    assert table["density_high_per_mm2"][0] == pytest.approx(3.689, rel=1e-3)
    assert np.isnan(table["share"]).all()


@pytest.mark.parametrize(
    "shape",
    [
        [(0, 0), (100, 100), (0, 100), (100, 0)],
        [(0, 0), (50, 50)],
        [(0, 0), (0, 50), (0, 100)],
        (10, 10, 10, 20),
        [(0, 0), (0, np.nan), (5, 5)],
    ],
)
def test_what_is_no_region_is_refused_by_name(grid: Cells, shape: object) -> None:
    with pytest.raises(InputError, match="'mine'"):
        grid.count_in({"mine": shape})


def test_areas_need_a_pixel_size() -> None:
    with pytest.raises(ResolutionError):
        cells_at(np.array([[10, 10]]), np.array([0]), None).count_in([(0, 0, 50, 50)])
