"""Maps of density and of types."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.cells import Cells
from napari_hwsi.cells.density import map_density
from napari_hwsi.errors import InputError, ResolutionError
from napari_hwsi.tissue import TissueMask

SQUARE = np.array([[-3, -3], [-3, 3], [3, 3], [3, -3]], np.float32)
BOX = (0, 0, 2000, 2000)


@pytest.fixture(scope="module")
def grid() -> Cells:
    """A cell in the middle of each 20 px of 1000 x 1000 µm, 0.5 µm/px; type b right of 1500 px."""
    y, x = (axis.ravel() for axis in np.mgrid[10:2000:20, 10:2000:20])
    places = np.stack([y, x], 1)
    types = (x >= 1500).astype(np.uint8)
    return Cells.of([SQUARE + place for place in places], types=types, type_names=("a", "b"), mpp=0.5)


def test_densities_times_areas_are_the_cells_of_each_type(grid: Cells) -> None:
    found = map_density(grid, BOX)  # 1000 µm are 7.8 bins: the last is cut
    assert found.counts.shape == (2, 8, 8)
    assert found.step == (256, 256)
    for kind, number in (("a", 7500), ("b", 2500)):
        assert (found.density(kind) * found.area_mm2).sum() == pytest.approx(number)
    assert found.area_mm2.sum() == pytest.approx(1)
    np.testing.assert_allclose(map_density(grid, BOX, bin_um=100).density(), 10_000, rtol=1e-5)


def test_bins_are_where_their_cells_are() -> None:
    cells = Cells.of([SQUARE + np.array([130, 410])], mpp=(0.5, 0.25))
    found = map_density(cells, (100, 200, 500, 1000), bin_um=25)
    (y, x), step = np.argwhere(found.counts[0])[0], found.step
    assert step == (50, 100)
    assert (found.origin[0] + y * step[0], found.origin[1] + x * step[1]) == (100, 400)


def test_only_tissue_counts_as_looked_at(grid: Cells) -> None:
    mask = np.zeros((100, 100), bool)
    mask[:, 15:50] = True  # from the middle of a bin
    found = map_density(grid, BOX, TissueMask(mask, (20.0, 20.0)), bin_um=100)
    np.testing.assert_allclose(found.area_mm2[0, :6], [0, 0.005, 0.01, 0.01, 0.01, 0], atol=1e-9)
    assert np.isnan(found.density()[:, [0, *range(5, 10)]]).all()
    assert found.density()[3, 1] == pytest.approx(20_000)
    assert found.dominant()[:, 0].max() == 0


def test_smoothing_keeps_an_even_density_up_to_the_border(grid: Cells) -> None:
    found = map_density(grid, BOX, bin_um=100, sigma_um=150)
    np.testing.assert_allclose(found.density(), 10_000, rtol=1e-4)
    shares = found.share("b")[0]
    assert (np.diff(shares) > 0).all()


def test_shares_and_the_prevailing_type(grid: Cells) -> None:
    found = map_density(grid, BOX, bin_um=300)  # the third bin holds 300 px of a and 300 of b
    np.testing.assert_allclose(found.share("b")[0], [0, 0, 0.5, 1], atol=1e-6)
    assert [*found.dominant()[0]] == [1, 1, 1, 2]
    empty = map_density(grid, (2000, 2000, 4000, 4000))
    assert not empty.dominant().any()
    assert (empty.density() == 0).all()
    assert np.isnan(empty.share("a")).all()


def test_what_makes_no_map_is_refused(grid: Cells) -> None:
    for asked in ({"bin_um": 0}, {"sigma_um": -1.0}, {"box": (5, 5, 5, 9)}, {"bin_um": 0.01}):
        with pytest.raises(InputError):
            map_density(grid, **{"box": BOX, **asked})
    with pytest.raises(InputError, match="a, b"):
        map_density(grid, BOX).density("c")
    with pytest.raises(ResolutionError):
        map_density(Cells.of([SQUARE + 10]), BOX)
