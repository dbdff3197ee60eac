"""Cells found from both sides of a seam between regions."""

from __future__ import annotations

import numpy as np

from napari_hwsi.cells import Cells
from napari_hwsi.hierarchy.seams import Seams
from napari_hwsi.tissue import Grid

GRID = Grid((0, 0), (0, 0, 8192, 8192), (1.0, 1.0), (0.5, 0.5))


def squares(*centres: tuple[float, float], half: float = 10) -> Cells:
    corner = np.array([[-half, -half], [-half, half], [half, half], [half, -half]])
    sure = np.linspace(0.9, 0.5, len(centres)) if centres else np.empty(0)
    return Cells.of([corner + centre for centre in centres], probabilities=sure, mpp=0.5)


def gathered(**regions: Cells) -> Seams:
    seams = Seams(GRID, (0.5, 0.5))
    for name, cells in regions.items():
        seams.add(int(name[1:]), cells)
    return seams


def test_one_of_two_is_marked_and_not_counted() -> None:
    left = squares((100, 4090), (100, 3000), (2000, 4092))
    right = squares((100, 4099), (101, 4200), (2030, 4098))
    double, counts = gathered(r0=left, r1=right).resolve()
    assert double.sum() == 1
    assert double[[0, 3]].sum() == 1
    assert counts[0].sum() + counts[1].sum() == 5
    assert (counts[2:] == -1).all()


def test_neighbours_within_a_region_are_left_alone() -> None:
    double, counts = gathered(r0=squares((100, 4080), (100, 4090), (100, 100), (104, 104))).resolve()
    assert not double.any()
    assert counts[0, 15] == 2
    assert counts[0, 0] == 2
    assert counts[0].sum() == 4


def test_a_corner_of_four_regions() -> None:
    around = [squares((4096 + dy, 4096 + dx)) for dy in (-1, 1) for dx in (-1, 1)]
    double, counts = gathered(r0=around[0], r1=around[1], r2=around[2], r3=around[3]).resolve()
    assert double.sum() == 3
    assert counts.sum() == 1


def test_patches_are_those_the_centroids_lie_in() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(4110, 8180, (500, 2))
    cells = squares(*map(tuple, places), half=1)
    _, counts = gathered(r3=cells).resolve()
    for (y0, x0, y1, x1), count in zip(GRID.patch_boxes(3), counts[3], strict=True):
        assert cells.inside((y0, x0, y1, x1)).sum() == count


def test_nothing_to_resolve() -> None:
    double, counts = gathered().resolve()
    assert double.shape == (0,)
    assert (counts == -1).all()
    double, counts = gathered(r1=squares(), r2=squares()).resolve()
    assert double.shape == (0,)
    assert [counts[i].sum() for i in (1, 2)] == [0, 0]
