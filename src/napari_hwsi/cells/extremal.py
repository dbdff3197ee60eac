"""Nested bright objects of an image, and the best choice among them that does not overlap.

Thresholding an image at rising levels gives components that lie inside one another: a tree.
Every nucleus with an edge of its own is one of its nodes, whatever the brightness round it,
so choosing nodes replaces choosing a threshold (component trees: Jones, CVIU 75, 1999;
extremal regions: Matas et al., BMVC 2002; non-overlapping choice of cells: Arteta et al.,
MICCAI 2012). Sums over nodes are linear in the pixels, so each pixel is counted once, in
its innermost node, and passed down the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """Components of the thresholds of an image.

    innermost: int32 (Y, X), the smallest node that holds each pixel, −1 outside all;
    parent: (K,) node one threshold down, −1 at the bottom; level: (K,) threshold, from 1.
    Nodes stand in order of level.
    """

    innermost: NDArray[np.int32]
    parent: Ints
    level: Ints

    def __len__(self) -> int:
        return len(self.parent)

    def sums(self, pixels: Ints, *weights: NDArray[np.floating[Any]]) -> list[Floats]:
        """Return, by node, the sums of each of ``weights`` (P,) over the flat ``pixels`` (P,) it holds."""
        owner = self.innermost.ravel()[pixels]
        return self.gather(*(np.bincount(owner, w, len(self)).astype(np.float64) for w in weights))

    def gather(self, *own: Floats) -> list[Floats]:
        """Add what stands at each node, (K,), to all nodes that hold it."""
        table = np.stack(own, 1)
        for rows in reversed(self._rows_by_level()[1:]):
            np.add.at(table, self.parent[rows], table[rows])
        return list(table.T)

    def summits(self) -> Ints:
        """Return the highest level within each node, (K,)."""
        top = self.level.copy()
        for rows in reversed(self._rows_by_level()[1:]):
            np.maximum.at(top, self.parent[rows], top[rows])
        return top

    def choose(self, value: Floats) -> Ints:
        """Return the choice of nodes, none inside another, whose summed ``value`` (K,) is largest.

        The result (K,) names for each node the chosen one that is it or holds it, else −1.
        Nodes of no value are never chosen; of equals the outer one is.
        """
        rows_by_level = self._rows_by_level()
        inside = np.zeros(len(self))
        take = np.zeros(len(self), bool)
        for depth in range(len(rows_by_level) - 1, -1, -1):
            rows = rows_by_level[depth]
            take[rows] = (value[rows] >= inside[rows]) & (value[rows] > 0)
            if depth:
                np.add.at(inside, self.parent[rows], np.maximum(value[rows], inside[rows]))
        chosen = np.full(len(self), -1, np.int64)
        for depth, rows in enumerate(rows_by_level):
            above = chosen[self.parent[rows]] if depth else np.full(len(rows), -1)
            chosen[rows] = np.where(above >= 0, above, np.where(take[rows], rows, -1))
        return chosen

    def paint(self, chosen: Ints) -> tuple[NDArray[np.int32], Ints]:
        """Return labels (Y, X) of a choice, 1 to N, and the node of each, (N,)."""
        nodes = np.unique(chosen[chosen >= 0])
        number = np.append(np.where(chosen >= 0, np.searchsorted(nodes, chosen) + 1, 0), 0)
        return number.astype(np.int32)[self.innermost], nodes

    def _rows_by_level(self) -> list[NDArray[np.int64]]:
        edges = np.searchsorted(self.level, np.arange(1, self.level.max(initial=0) + 2))
        return [np.arange(a, b) for a, b in pairwise(edges)]


def count_levels(
    image: NDArray[np.floating[Any]], thresholds: Sequence[float] | Floats, hole_px: float
) -> NDArray[np.uint8]:
    """Return for each pixel how many rising ``thresholds`` it passes, (Y, X).

    At each, background enclosed by an object and of at most ``hole_px`` pixels counts as
    object, so that a nucleus with a pale middle is whole.
    """
    count = np.zeros(image.shape, np.uint8)
    for threshold in thresholds:
        outside, _ = ndimage.label(image <= threshold)
        filled = (np.bincount(outside.ravel()) <= hole_px).astype(np.uint8)
        filled[0] = 1
        count += np.take(filled, outside)
    return count


def component_tree(levels: NDArray[np.uint8], smallest_px: float) -> Tree:
    """Return the tree of the 4-connected components of ``levels`` >= 1, 2, …, those of ``smallest_px`` up."""
    innermost = np.full(levels.shape, -1, np.int32)
    flat_innermost = innermost.ravel()
    parents: list[Ints] = [np.empty(0, np.int64)]
    depths: list[Ints] = [np.empty(0, np.int64)]
    total = 0
    for depth in range(1, int(levels.max(initial=0)) + 1):
        mask = levels >= depth
        components, count = ndimage.label(mask)
        pixels = np.flatnonzero(mask)
        component = components.ravel()[pixels] - 1
        large = np.bincount(component, minlength=count) >= smallest_px
        a_pixel = np.empty(count, np.int64)
        a_pixel[component] = pixels
        parents.append(flat_innermost[a_pixel[large]].astype(np.int64))
        depths.append(np.full(int(large.sum()), depth))
        node = np.cumsum(large) - 1 + total
        kept = large[component]
        flat_innermost[pixels[kept]] = node[component[kept]]
        total += int(large.sum())
    return Tree(innermost, np.concatenate(parents), np.concatenate(depths))


def boundary_sums(
    tree: Tree, levels: NDArray[np.uint8], strength: NDArray[np.floating[Any]]
) -> tuple[Floats, Floats]:
    """Return, by node, how many of its pixels touch its outside, and the sum of ``strength`` (Y, X) there.

    A pixel is on the boundary of those of its nodes that do not hold its lowest neighbour:
    it is added at its own innermost node and taken off again at the neighbour's.
    """
    width = levels.shape[1]
    padded = np.pad(levels, 1, mode="edge")
    around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    lowest = around.argmin(0)
    drop = np.take_along_axis(around, lowest[None], 0)[0] < levels
    pixels = np.flatnonzero(drop & (tree.innermost >= 0))
    neighbours = pixels + np.array([-width, width, -1, 1])[lowest.ravel()[pixels]]
    inner, outer = tree.innermost.ravel()[pixels], tree.innermost.ravel()[neighbours]
    weight = strength.ravel()[pixels].astype(np.float64)
    held = outer >= 0
    size = len(tree)
    length = np.bincount(inner, minlength=size) - np.bincount(outer[held], minlength=size)
    total = np.bincount(inner, weight, size) - np.bincount(outer[held], weight[held], size)
    count, summed = tree.gather(length.astype(np.float64), total.astype(np.float64))
    return count, summed
