"""Outlines of many objects in two arrays: tracing, drawing, geometry.

Coordinates are (y, x) and continuous: pixel i covers [i, i + 1), its centre is at i + 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[np.float64]

_PART = 65_536


@dataclass(frozen=True, eq=False)
class Contours(Sequence[NDArray[np.float32]]):
    """A sequence of N outlines, each float32 (M, 2), open (the first point is not repeated).

    vertices: float32 (sum of M, 2); offsets: int64 (N + 1,); outline i is
    vertices[offsets[i]:offsets[i + 1]].
    """

    vertices: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 2 or self.vertices.dtype != np.float32:
            raise InputError(f"Vertices are float32 (M, 2), not {self.vertices.dtype} {self.vertices.shape}.")
        steps = np.diff(self.offsets)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.vertices) or (steps < 3).any():
            raise InputError("Offsets run from 0 to the number of vertices, in steps of at least 3.")

    @classmethod
    def of(cls, outlines: Iterable[NDArray[np.floating]]) -> Contours:
        """Return outlines (M, 2) as one; a repeated last point is dropped."""
        rings = [np.asarray(o, np.float32).reshape(-1, 2) for o in outlines]
        rings = [r[:-1] if len(r) > 3 and (r[0] == r[-1]).all() else r for r in rings]
        vertices = np.concatenate(rings) if rings else np.empty((0, 2), np.float32)
        return cls(vertices, np.cumsum([0, *(len(r) for r in rings)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, key: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, key: slice) -> Contours: ...
    def __getitem__(self, key: int | slice) -> NDArray[np.float32] | Contours:
        if isinstance(key, slice):
            return self.take(np.arange(len(self))[key])
        row = range(len(self))[key]
        return self.vertices[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def parts(self) -> Iterator[Contours]:
        """Return all outlines in parts of at most 65,536 that share their memory."""
        for start in range(0, len(self), _PART):
            offsets = self.offsets[start : start + _PART + 1]
            yield Contours(self.vertices[offsets[0] : offsets[-1]], offsets - offsets[0])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Vertices of each outline, (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Contours:
        """Return the outlines ``rows``, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Contours(self.vertices[index], offsets)

    @cached_property
    def bounds(self) -> NDArray[np.float32]:
        """(y0, x0, y1, x1) of each outline, (N, 4)."""
        if not len(self):
            return np.empty((0, 4), np.float32)
        starts = self.offsets[:-1]
        low, high = np.minimum.reduceat(self.vertices, starts), np.maximum.reduceat(self.vertices, starts)
        return np.hstack([low, high])

    @property
    def closed(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of ``vertices`` that run round each outline back to its start, and offsets (N + 1,)."""
        count = np.arange(len(self))
        owner = np.repeat(count, self.lengths + 1)
        index = np.arange(len(owner)) - owner
        index[self.offsets[1:] + count] = self.offsets[:-1]
        return index, self.offsets + np.arange(len(self) + 1)

    def polygons(self) -> NDArray[np.object_]:
        """Return shapely polygons, x before y, (N,)."""
        index, offsets = self.closed
        owner = np.repeat(np.arange(len(self)), np.diff(offsets))
        return np.asarray(shapely.polygons(shapely.linearrings(self.vertices[index][:, ::-1], indices=owner)))


def concatenate(parts: Sequence[Contours]) -> Contours:
    """Return the outlines of all parts, in order."""
    if not parts:
        return Contours.of([])
    starts = np.cumsum([0, *(len(p.vertices) for p in parts)])
    offsets = [p.offsets[:-1] + s for p, s in zip(parts, starts, strict=False)]
    return Contours(np.concatenate([p.vertices for p in parts]), np.concatenate([*offsets, starts[-1:]]))


def trace(labels: NDArray[np.integer]) -> Contours:
    """Return the outer outline of each label 1 to N of a label image (Y, X).

    The outline follows the middles of the pixel edges, smoothed without shrinking (Taubin,
    SIGGRAPH 1995). Holes and all but the largest 4-connected piece of a label are left out.
    Raises InputError when a label is missing.
    """
    start, follower, label, direction = _edges(labels)
    ring, position = _rank(follower)
    order = np.lexsort((position, ring))
    first = np.flatnonzero(np.diff(ring[order], prepend=-1))
    middle = start[order] + np.array([[0, 0.5], [0.5, 0], [0, -0.5], [-0.5, 0]])[direction[order]]
    lengths = np.diff(np.append(first, len(order)))
    area = _signed_areas(middle, np.append(first, len(order)))
    ring_label = label[order][first]
    best = np.lexsort((-area, ring_label))
    best = best[np.flatnonzero(np.diff(ring_label[best], prepend=0))]
    count = int(labels.max(initial=0))
    if len(best) != count:
        raise InputError(f"A label image of {count} labels holds only {len(best)} of them.")
    index = np.arange(lengths[best].sum())
    offsets = np.concatenate([[0], np.cumsum(lengths[best])]).astype(np.int64)
    index += np.repeat(first[best] - offsets[:-1], lengths[best])
    return _thin(_smooth(middle[index], offsets), offsets)


def draw(contours: Contours, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Draw outlines into int32 (Y, X): outline i as i + 1 where it holds pixel centres, the later on top.

    All outlines are filled at once, row by row between the crossings of their edges (even-odd rule); a
    centre on an edge belongs to what lies right of it, or below.
    """
    image = np.zeros(shape, np.int32)
    owner = np.repeat(np.arange(len(contours)), contours.lengths)
    start = contours.vertices.astype(np.float64)
    end = start[_neighbour(contours.offsets, 1)]
    # Row r is crossed where its centre, r + 0.5, lies between the ends of an edge.
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.clip(np.ceil(low - 0.5), 0, shape[0]).astype(np.int64)
    crossed = np.clip(np.ceil(high - 0.5), 0, shape[0]).astype(np.int64) - first
    edge = np.repeat(np.arange(len(start)), crossed)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(crossed) - crossed), crossed)
    (y0, x0), (y1, x1) = start[edge].T, end[edge].T
    column = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    order = np.lexsort((column, row, owner[edge]))
    edges = np.clip(np.ceil(column[order] - 0.5), 0, shape[1]).astype(np.int64)
    left, width = edges[::2], edges[1::2] - edges[::2]
    row, number = row[order][::2], owner[edge][order][::2] + 1
    pixel = np.arange(width.sum()) + np.repeat(row * shape[1] + left - (np.cumsum(width) - width), width)
    image.ravel()[pixel] = np.repeat(number, width)
    return image


def moments(contours: Contours) -> tuple[Floats, Floats, Floats]:
    """Return area (N,), centroid (N, 2) and covariance (N, 3: yy, xx, yx) of the insides of outlines.

    Green's theorem on the polygon (Steger, On the calculation of moments of polygons, 1996).
    """
    if not len(contours):
        return np.empty(0), np.empty((0, 2)), np.empty((0, 3))
    starts = contours.offsets[:-1]
    origin = contours.vertices[starts].astype(np.float64)
    points = contours.vertices - np.repeat(origin, contours.lengths, axis=0)
    y, x = points.T
    y2, x2 = points[_neighbour(contours.offsets, 1)].T
    cross = x * y2 - x2 * y
    signed = np.add.reduceat(cross, starts) / 2
    signed = np.where(signed == 0, np.finfo(float).tiny, signed)

    def mean(term: Floats, divisor: float) -> Floats:
        return np.asarray(np.add.reduceat(term * cross, starts) / (divisor * signed))

    cy, cx = mean(y + y2, 6), mean(x + x2, 6)
    yy = mean(y * y + y * y2 + y2 * y2, 12) - cy * cy
    xx = mean(x * x + x * x2 + x2 * x2, 12) - cx * cx
    yx = mean(2 * x * y + x * y2 + x2 * y + 2 * x2 * y2, 24) - cy * cx
    return np.abs(signed), origin + np.stack([cy, cx], 1), np.stack([yy, xx, yx], 1)


def perimeters(contours: Contours) -> Floats:
    """Return the length of each outline, (N,)."""
    if not len(contours):
        return np.empty(0)
    steps = contours.vertices[_neighbour(contours.offsets, 1)] - contours.vertices
    return np.asarray(np.add.reduceat(np.hypot(*steps.astype(np.float64).T), contours.offsets[:-1]))


def _edges(
    labels: NDArray[np.integer],
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel edges round all labels, clockwise: start (E, 2), next edge, label, direction.

    Directions 0 to 3 are east, south, west, north. Where two outlines of a label touch in a
    corner the one that turns right is followed, which keeps to 4-connected pixels.
    """
    padded = np.pad(labels, 1)
    middle = padded[1:-1, 1:-1]
    beyond = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    corner = ((0, 0), (0, 1), (1, 1), (1, 0))
    width = labels.shape[1] + 1
    starts, found, kinds = [], [], []
    for direction in range(4):
        y, x = np.nonzero((middle > 0) & (beyond[direction] != middle))
        found.append(middle[y, x].astype(np.int64))
        starts.append((y + corner[direction][0]) * width + x + corner[direction][1])
        kinds.append(np.full(len(y), direction))
    start, label, kind = np.concatenate(starts), np.concatenate(found), np.concatenate(kinds)
    leaving = np.full((4, (labels.shape[0] + 1) * width), -1, np.int64)
    leaving[kind, start] = np.arange(len(start))
    end = start + np.array([1, width, -1, -width])[kind]
    follower = np.full(len(start), -1, np.int64)
    for turn in (3, 0, 1):  # left, straight on, right: the last that fits stays
        candidate = leaving[(kind + turn) % 4, end]
        follower = np.where((candidate >= 0) & (label[candidate] == label), candidate, follower)
    return np.stack(np.divmod(start, width), 1).astype(np.float64), follower, label, kind


def _rank(follower: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ring each edge belongs to and its place in it, by pointer jumping (Wyllie 1979)."""
    edges = np.arange(len(follower))
    ring, jump = np.minimum(edges, follower), follower
    while True:
        lower = np.minimum(ring, ring[jump])
        if (lower == ring).all():
            break
        ring, jump = lower, jump[jump]
    last = follower == ring
    ahead = np.where(last, edges, follower)
    left = np.where(last, 0, 1)
    while (ahead[ahead] != ahead).any():
        left, ahead = left + left[ahead], ahead[ahead]
    return ring, -left


def _neighbour(offsets: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Return for each vertex the index of the one ``step`` (±1) further round its ring."""
    index = np.arange(offsets[-1]) + step
    if step > 0:
        index[offsets[1:] - 1] = offsets[:-1]
    else:
        index[offsets[:-1]] = offsets[1:] - 1
    return index


def _signed_areas(points: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Return ring areas, positive for outlines and negative for holes."""
    if len(offsets) < 2:
        return np.empty(0)
    following = points[_neighbour(offsets, 1)]
    cross = points[:, 1] * following[:, 0] - following[:, 1] * points[:, 0]
    return np.asarray(np.add.reduceat(cross, offsets[:-1]) / 2)


def _smooth(points: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Smooth rings; each pass shrinks by λ and grows again by μ."""
    before, after = _neighbour(offsets, -1), _neighbour(offsets, 1)
    for weight in (0.5, -0.53, 0.5, -0.53):
        points = points + weight * ((points[before] + points[after]) / 2 - points)
    return points


def _thin(points: Floats, offsets: NDArray[np.int64]) -> Contours:
    """Keep every second vertex of rings of eight and more."""
    lengths = np.diff(offsets)
    place = np.arange(len(points)) - np.repeat(offsets[:-1], lengths)
    keep = (place % 2 == 0) | np.repeat(lengths < 8, lengths)
    kept = np.add.reduceat(keep, offsets[:-1]) if len(lengths) else lengths
    return Contours(points[keep].astype(np.float32), np.concatenate([[0], np.cumsum(kept)]).astype(np.int64))
