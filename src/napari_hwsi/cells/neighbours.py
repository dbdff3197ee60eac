"""Cells among cells: distances, local density, and the graph of who is next to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.signal import oaconvolve
from scipy.sparse import csr_array
from scipy.spatial import Delaunay, QhullError, cKDTree

from ..errors import InputError
from ..tissue import TissueMask
from ..units import Mpp

GraphKind: TypeAlias = Literal["delaunay", "radius"]

REACH_UM = 50.0
"""How far a neighbour may be; the columns of the table that depend on it are for this reach."""

COLUMNS = (
    "nearest_neighbour_um",
    "nearest_5_mean_um",
    "density_50um_per_mm2",
    "neighbours",
    "neighbour_distance_mean_um",
    "neighbour_distance_sd_um",
    "neighbour_clustering",
    "neighbour_same_type_share",
)
"""What :func:`measure_neighbours` can add to a table."""

_NEAREST = 5
_RASTER = 8  # steps of the reach in the map of what was looked at
_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class Graph:
    """Which of N cells are neighbours.

    edges: int64 (E, 2), rows of the table, the smaller first, in ascending order; lengths_um: float32
    (E,), between centroids; count: N.
    """

    edges: NDArray[np.int64]
    lengths_um: NDArray[np.float32]
    count: int

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Neighbours of each cell, (N,)."""
        return np.bincount(self.edges.ravel(), minlength=self.count)

    def adjacency(self) -> csr_array:
        """Return the lengths (µm) as a symmetric sparse matrix (N, N)."""
        ends = np.concatenate([self.edges, self.edges[:, ::-1]]).T
        return csr_array((np.tile(self.lengths_um, 2), (ends[0], ends[1])), shape=(self.count,) * 2)

    def features(self, types: NDArray[np.integer] | None = None) -> pd.DataFrame:
        """Return what the graph says of each cell, float32, a row a cell.

        ``neighbours``, how many; ``neighbour_distance_mean_um`` and ``neighbour_distance_sd_um``, NaN
        without any; ``neighbour_clustering``, the share of pairs of them that are neighbours
        themselves (Watts & Strogatz, Nature 393, 1998), NaN for fewer than two. With types (N,) also
        ``neighbour_same_type_share``.
        """
        ends = self.edges.ravel()
        degree = self.degrees
        length = np.repeat(self.lengths_um.astype(np.float64), 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(ends, length, self.count) / degree
            square = np.bincount(ends, (length - mean[ends]) ** 2, self.count) / degree
            columns = {
                "neighbours": degree,
                "neighbour_distance_mean_um": mean,
                "neighbour_distance_sd_um": np.sqrt(square),
                "neighbour_clustering": 2 * self._triangles() / (degree * (degree - 1)),
            }
            if types is not None:
                same = np.repeat(types[self.edges[:, 0]] == types[self.edges[:, 1]], 2)
                columns["neighbour_same_type_share"] = np.bincount(ends, same, self.count) / degree
        return pd.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})

    def _triangles(self) -> NDArray[np.int64]:
        """Return how many triangles each cell is a corner of, (N,)."""
        joined = self.adjacency()
        joined.data = np.ones(len(joined.data), np.int32)
        found = np.zeros(self.count, np.int64)
        for start in range(0, self.count, _BLOCK):  # the product is many times as large as the graph
            rows = joined[start : start + _BLOCK]
            found[start : start + _BLOCK] = (rows @ joined).multiply(rows).sum(axis=1) // 2
        return found


def build_graph(places_um: NDArray[np.floating], kind: GraphKind, reach_um: float = REACH_UM) -> Graph:
    """Join places (N, 2), µm, that are at most ``reach_um`` apart.

    'radius': all of them; 'delaunay': those that a Delaunay triangulation joins. Raises InputError for
    another kind, or a reach that is not above 0.
    """
    if not reach_um > 0:
        raise InputError(f"The reach of a neighbourhood is above 0 µm, not {reach_um}.")
    places = np.asarray(places_um, np.float64)
    if kind == "delaunay":
        edges = _delaunay(places)
    elif kind == "radius":
        edges = _tree(places).query_pairs(reach_um, output_type="ndarray").astype(np.int64)
    else:
        raise InputError(f"A graph of cells is of kind 'delaunay' or 'radius', not {kind!r}.")
    lengths = np.hypot(*(places[edges[:, 0]] - places[edges[:, 1]]).T)
    edges, lengths = np.sort(edges[lengths <= reach_um], axis=1), lengths[lengths <= reach_um]
    order = np.argsort(edges[:, 0] * len(places) + edges[:, 1])
    return Graph(edges[order], lengths[order].astype(np.float32), len(places))


def measure_neighbours(
    places: NDArray[np.floating],
    mpp: Mpp,
    types: NDArray[np.integer] | None,
    box: Sequence[float],
    tissue: TissueMask | None = None,
) -> pd.DataFrame:
    """Return what the other cells round each cell are like, float32, a row a cell.

    places: centroids (N, 2), level-0 px, mpp (y, x) µm per px; types (N,) where they are told apart; box
    and tissue: what was looked at, all of the (y0, x0, y1, x1) level-0 px where the tissue allows cells.
    ``nearest_neighbour_um`` and ``nearest_5_mean_um``, NaN with fewer others;
    ``density_50um_per_mm2``, other cells within 50 µm per area of that disc that was looked at, so that
    the border of the box, the slide and artefacts do not thin it out; then :meth:`Graph.features` of
    the Delaunay graph up to 50 µm.
    """
    ground = (places.astype(np.float64) - np.asarray(box[:2], float)) * mpp
    count = len(ground)
    nearest = np.full((count, _NEAREST), np.nan)
    others = np.zeros(count)
    if count > 1:
        tree = _tree(ground)
        near = min(_NEAREST, count - 1)
        nearest[:, :near] = tree.query(ground, near + 1)[0][:, 1:]
        others = tree.query_ball_point(ground, REACH_UM, return_length=True) - 1
    density = others / _seen_mm2(ground, mpp, box, tissue)
    columns = dict(zip(COLUMNS, (nearest[:, 0], nearest.mean(1), density), strict=False))
    alone = pd.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})
    return pd.concat([alone, build_graph(ground, "delaunay").features(types)], axis=1)


def _tree(places: NDArray[np.float64]) -> cKDTree:
    return cKDTree(places, balanced_tree=False, compact_nodes=False)


def _delaunay(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the edges (E, 2) of the triangulation, each once."""
    if len(places) < 3:
        return np.array([[0, 1]][: len(places) // 2], np.int64).reshape(-1, 2)
    try:
        mesh = Delaunay(places - places.mean(0))
    except QhullError:  # all on one line: there next to each other
        order = np.lexsort((places[:, 1], places[:, 0]))
        return np.stack([order[:-1], order[1:]], 1)
    corners, across = mesh.simplices.astype(np.int64), mesh.neighbors
    number = np.arange(len(corners))
    sides = [
        corners[(across[:, i] > number) | (across[:, i] < 0)][:, [(i + 1) % 3, (i + 2) % 3]] for i in range(3)
    ]
    return np.concatenate([*sides, mesh.coplanar[:, [0, 2]].astype(np.int64)])  # the last: doubled places


def _seen_mm2(
    ground: NDArray[np.float64], mpp: Mpp, box: Sequence[float], tissue: TissueMask | None
) -> NDArray[np.float64]:
    """Return how much of the disc of 50 µm round each place (N, 2), µm from the box, was looked at, (N,)."""
    size = (np.array(box[2:], float) - np.array(box[:2], float)) * mpp
    steps = np.maximum(np.ceil(size / (REACH_UM / _RASTER)), 1).astype(int)
    step = np.maximum(size, 1e-6) / steps
    seen = np.ones(steps, np.float32)
    if tissue is not None:
        y, x = (
            np.clip(((np.arange(n) + 0.5) * s / m + start) / d, 0, side - 1).astype(int)
            for n, s, m, start, d, side in zip(
                steps, step, mpp, box, tissue.downsample, tissue.allowed.shape, strict=False
            )
        )
        seen = tissue.allowed[np.ix_(y, x)].astype(np.float32)
    disc = _disc(step)
    margin = [(n // 2 + 1,) * 2 for n in disc.shape]
    area = oaconvolve(np.pad(seen, margin), disc, mode="same")
    at = (ground / step - 0.5).T + np.array([[m[0]] for m in margin])
    found = map_coordinates(area, at, order=1, mode="nearest") * (step.prod() / 1e6)
    return np.where(found > 1e-7, found, np.nan)  # µm² of rounding, where a cell lies off what was seen


def _disc(step: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of each pixel of (y, x) µm that lies in a disc of the reach, middle on a pixel's."""
    fine = 8
    halves = [int(np.ceil(REACH_UM / s)) for s in step]
    y, x = (
        ((np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5) * s
        for half, s in zip(halves, step, strict=True)
    )
    inside = np.hypot(y[:, None], x) <= REACH_UM
    shape = (2 * halves[0] + 1, fine, 2 * halves[1] + 1, fine)
    return inside.reshape(shape).mean((1, 3)).astype(np.float32)
