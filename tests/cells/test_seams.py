"""Cells found by two tiles."""

from __future__ import annotations

import numpy as np

from napari_hwsi.cells import Cells, resolve_seams

LEFT, RIGHT = (0, 0, 40, 20), (0, 20, 40, 40)
SQUARE = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], np.float32)


def cells_at(*corners: tuple[float, float], sure: tuple[float, ...] | None = None) -> Cells:
    return Cells.of([SQUARE + c for c in corners], probabilities=sure or np.ones(len(corners)), mpp=0.5)


def test_one_of_two_that_are_the_same_cell_stays() -> None:
    cells = cells_at((4, 15), (4, 17), (30, 2), sure=(0.4, 0.9, 0.5))
    kept = resolve_seams(cells, [0, 1, 0], [LEFT, RIGHT])
    assert sorted(kept.centroids[:, 1].tolist()) == [6, 21]


def test_neighbours_that_only_touch_both_stay() -> None:
    cells = cells_at((4, 11), (4, 18.5))
    assert len(resolve_seams(cells, [0, 1], [LEFT, RIGHT])) == 2


def test_cells_of_one_owner_are_its_own_business() -> None:
    cells = cells_at((4, 10), (4, 11), (4, 25))
    assert len(resolve_seams(cells, [0, 0, 1], [LEFT, RIGHT])) == 3


def test_the_order_of_the_tiles_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    left, right = rng.uniform((0, 10), (30, 15.9), (12, 2)), rng.uniform((0, 16), (30, 22), (12, 2))
    places = [tuple(p) for p in np.concatenate([left, right])]
    sure = tuple(np.round(rng.random(24), 1))
    owners = np.repeat([0, 1], 12)
    straight = resolve_seams(cells_at(*places, sure=sure), owners, [LEFT, RIGHT])
    order = rng.permutation(24)
    shuffled = resolve_seams(
        cells_at(*[places[i] for i in order], sure=tuple(sure[i] for i in order)),
        1 - owners[order],
        [RIGHT, LEFT],
    )
    assert 2 < len(straight) < 24
    assert {tuple(c) for c in straight.centroids} == {tuple(c) for c in shuffled.centroids}
