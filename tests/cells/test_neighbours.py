"""Cells among cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from napari_hwsi.cells import Cells
from napari_hwsi.cells.neighbours import COLUMNS, build_graph
from napari_hwsi.errors import InputError, ResolutionError
from napari_hwsi.tissue import TissueMask

SQUARE = np.array([[-2, -2], [-2, 2], [2, 2], [2, -2]], np.float32)


def squares(places_px: np.ndarray, types: np.ndarray | None = None, mpp: float | None = 0.5) -> Cells:
    """Return squares of 4 px round these places, of three kinds where types are given."""
    names = ("a",) if types is None else ("a", "b", "c")
    return Cells.of([SQUARE + place for place in places_px], types=types, type_names=names, mpp=mpp)


@pytest.fixture(scope="module")
def scattered() -> Cells:
    random = np.random.default_rng(3)
    return squares(random.uniform(50, 1000, (400, 2)).round(), random.integers(0, 3, 400))


def test_distances_are_those_of_all_pairs(scattered: Cells) -> None:
    table = scattered.with_neighbours().table
    apart = np.sort(cdist(*[scattered.centroids.astype(float) * 0.5] * 2), axis=1)
    np.testing.assert_allclose(table.nearest_neighbour_um, apart[:, 1], rtol=1e-5)
    np.testing.assert_allclose(table.nearest_5_mean_um, apart[:, 1:6].mean(1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["delaunay", "radius"])
def test_graph_features_are_those_of_its_edges(scattered: Cells, kind: str) -> None:
    graph = scattered.graph(kind, reach_um=40)
    places = scattered.centroids.astype(float) * 0.5
    apart = cdist(places, places)
    assert (graph.edges[:, 0] < graph.edges[:, 1]).all()
    np.testing.assert_allclose(graph.lengths_um, apart[graph.edges[:, 0], graph.edges[:, 1]], rtol=1e-5)
    joined = np.zeros(apart.shape, int)
    joined[graph.edges[:, 0], graph.edges[:, 1]] = 1
    joined += joined.T
    if kind == "radius":
        np.testing.assert_array_equal(joined, (apart <= 40) & (apart > 0))
    else:  # the nearest neighbour always is one in a Delaunay triangulation, which is planar
        nearest = apart + np.eye(len(apart)) * 1e9
        close = nearest.argmin(1)
        assert joined[np.arange(len(close)), close][nearest.min(1) <= 40].all()
        assert len(graph.edges) < 3 * len(places)
    features = graph.features(scattered.types)
    triangles = np.diag(joined @ joined @ joined) / 2
    for row in (0, 7, 399):
        near = np.flatnonzero(joined[row])
        assert features.neighbours[row] == len(near)
        assert features.neighbour_distance_mean_um[row] == pytest.approx(apart[row, near].mean(), rel=1e-5)
        assert features.neighbour_distance_sd_um[row] == pytest.approx(apart[row, near].std(), rel=1e-4)
        assert features.neighbour_same_type_share[row] == pytest.approx(
            (scattered.types[near] == scattered.types[row]).mean()
        )
        pairs = len(near) * (len(near) - 1) / 2
        assert features.neighbour_clustering[row] == pytest.approx(triangles[row] / pairs)


def test_density_is_that_of_what_was_looked_at() -> None:
    places = np.stack(np.meshgrid(*[np.arange(5, 800, 10.0)] * 2, indexing="ij"), -1).reshape(-1, 2)
    cells, box = squares(places), (0, 0, 800, 800)  # 40,000 per mm²: 5 µm apart
    density = cells.with_neighbours(box).table.density_50um_per_mm2
    assert density.between(0.97 * 40_000, 1.03 * 40_000).all()  # at the corners, too
    tissue = np.zeros((50, 50), bool)
    tissue[:, :25] = True
    left = cells.select(cells.centroids[:, 1] < 400)
    density = left.with_neighbours(box, TissueMask(tissue, (16.0, 16.0))).table.density_50um_per_mm2
    assert density.between(0.95 * 40_000, 1.05 * 40_000).all()
    thinned = left.with_neighbours(box).table.density_50um_per_mm2  # glass that was looked at is empty
    assert thinned[left.centroids[:, 1] > 390].between(0.45 * 40_000, 0.6 * 40_000).all()


def test_a_selection_keeps_its_surroundings(scattered: Cells) -> None:
    among_all = scattered.with_neighbours()
    few = among_all.select([3, 1])
    assert few.table.neighbours.tolist() == among_all.table.neighbours[[3, 1]].tolist()
    alone = few.with_neighbours()
    assert alone.table.columns.tolist() == few.table.columns.tolist()
    assert alone.table.nearest_neighbour_um[0] > few.table.nearest_neighbour_um[0]


@pytest.mark.parametrize("neighbours", [[], [0], [1, 1], [1, 2, 2, 1]])
def test_few_cells_on_a_line(neighbours: list[int]) -> None:
    count = len(neighbours)
    table = squares(np.stack([np.arange(count) * 20.0, np.zeros(count)], 1)).with_neighbours().table
    assert table.neighbours.tolist() == neighbours
    assert {*COLUMNS[:7]} <= {*table.columns}
    assert table.nearest_5_mean_um.isna().all()
    assert (table.nearest_neighbour_um == 10).all() or count < 2


def test_cells_on_one_place_are_neighbours() -> None:
    graph = build_graph(np.array([[0, 0], [0, 0], [9, 0], [0, 9.0]]), "delaunay")
    assert [0, 1] in graph.edges.tolist()
    assert graph.degrees.min() >= 1


def test_what_makes_no_graph_is_refused(scattered: Cells) -> None:
    with pytest.raises(InputError, match="radius"):
        scattered.graph("voronoi")
    with pytest.raises(InputError, match="above 0"):
        scattered.graph(reach_um=0)
    with pytest.raises(ResolutionError):
        squares(np.zeros((1, 2)), mpp=None).with_neighbours()
