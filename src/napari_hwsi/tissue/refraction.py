"""Air bubbles and edges of the coverslip: thin grey lines, where light of all colours is bent away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .overview import Overview
from .shapes import SQUARE, outliers_from, smallest
from .thresholds import Thresholds

Bools = NDArray[np.bool_]
Points = NDArray[np.float64]

_LINE_UM = 56.0  # wider than this is no line
_SHORTEST_UM = 1000.0  # edge of a coverslip
_RADII_UM = (35.0, 6000.0)  # of bubbles
_ROUND, _BESIDE = 0.7, 0.4  # share of a circle that must be dark, and that may be just inside it
_CHANCE = 1.2  # over the radius (px): how much more of a small circle must be dark
_HALF_UM = 20.0  # to either side of an edge
_GAP_UM = 320.0  # that an edge may lie hidden
_SEEN, _LONG_ARC = 0.6, 1000  # share of a circle to be seen, or quarter pixels of a large one
_ON_GLASS = 0.65  # of the threshold, where there are no nuclei
_TRIES = 300
_CIRCLES = 4  # looked for in one piece of line
_PIECES = 200


def refractions(
    view: Overview, hidden: Bools, tissue: Bools, given: Thresholds
) -> tuple[Bools, Bools, float]:
    """Return where bubbles (whole discs) and edges of the coverslip are, and the threshold.

    hidden: bool (y, x), pens and what cannot be read; it is not looked at. A line stands out in the least
    absorbed channel, in which stains are pale. Straight lines of a millimetre are edges; of the rest,
    circles are bubbles whose rim is dark on most of the way round (random sample consensus, Fischler and
    Bolles 1981).
    """
    grey = smallest(view.density)
    width = 2 * view.pixels(_LINE_UM / 2) + 1
    line = grey - ndimage.grey_opening(grey, (width, width))
    hidden = ndimage.binary_dilation(hidden, iterations=3)
    line[hidden] = 0
    texture = line[tissue & ~hidden]
    threshold = outliers_from(texture, 8, 0.1, 0.25) if given.line is None else given.line
    dark = _long(line > np.where(tissue, threshold, _ON_GLASS * threshold))
    edges = _edges(view, dark)
    covered = ndimage.binary_dilation(edges, iterations=2)
    return _bubbles(view, dark & ~covered, hidden | covered), edges, threshold


def _long(dark: Bools) -> Bools:
    """Return the pieces of at least ten pixels, neighbours by corners included."""
    labels, _ = ndimage.label(dark, SQUARE)
    large = np.bincount(labels.ravel()) >= 10
    large[0] = False
    return np.asarray(large[labels])


def _pieces(dark: Bools, longest: float) -> list[Points]:
    """Return the points (n, 2) of the pieces at least ``longest`` px across, the largest first."""
    labels, _ = ndimage.label(dark, SQUARE)
    found = []
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        if max(p.stop - p.start for p in place) >= longest:
            at = np.argwhere(labels[place] == index)
            found.append(at + np.array([p.start for p in place], float))
    return sorted(found, key=len, reverse=True)[:_PIECES]


def _edges(view: Overview, dark: Bools) -> Bools:
    out = np.zeros(view.shape, bool)
    points = np.argwhere(dark).astype(float)
    shortest = _SHORTEST_UM / view.pixel_um
    for piece in _pieces(dark, shortest / 3):
        middle, along = _fit_line(piece)
        if np.median(np.abs(_off(piece, middle, along))) > 1.5:
            continue
        for _ in range(2):  # the line goes on beyond the piece
            middle, along = _fit_line(points[np.abs(_off(points, middle, along)) < 2.5])
        near = np.sort((points[np.abs(_off(points, middle, along)) < 2.5] - middle) @ along)
        parts = np.split(near, np.flatnonzero(np.diff(near) > _GAP_UM / view.pixel_um) + 1)
        seen = [
            part for part in parts if len(np.unique(part.round())) > 0.6 * max(np.ptp(part), shortest / 8)
        ]
        if sum(np.ptp(part) for part in seen) >= shortest:
            for part in seen:
                _draw(out, middle, along, part[0], part[-1], view.pixels(_HALF_UM))
    return out


def _fit_line(points: Points) -> tuple[Points, Points]:
    middle = points.mean(0)
    _, axes = np.linalg.eigh(np.cov((points - middle).T))
    return middle, axes[:, 1]


def _off(points: Points, middle: Points, along: Points) -> Points:
    return (points - middle) @ np.array([-along[1], along[0]])


def _draw(out: Bools, middle: Points, along: Points, first: float, last: float, half: int) -> None:
    steps = np.arange(first, last + 0.5, 0.5)
    across = np.array([-along[1], along[0]])
    for shift in np.arange(-half, half + 0.5, 0.5):
        y, x = np.rint(middle + steps[:, None] * along + shift * across).astype(int).T
        inside = (y >= 0) & (x >= 0) & (y < out.shape[0]) & (x < out.shape[1])
        out[y[inside], x[inside]] = True


def _bubbles(view: Overview, dark: Bools, hidden: Bools) -> Bools:
    out = np.zeros(view.shape, bool)
    radii = max(_RADII_UM[0] / view.pixel_um, 4.0), _RADII_UM[1] / view.pixel_um
    near = ndimage.binary_dilation(dark, SQUARE)
    rng = np.random.default_rng(0)
    for points in _pieces(dark, radii[0]):
        for _ in range(_CIRCLES):
            circle = _best_circle(points, near, hidden, radii, rng)
            if circle is None:
                break
            _fill(out, *circle)
            gap = np.abs(np.hypot(points[:, 0] - circle[0], points[:, 1] - circle[1]) - circle[2])
            points = points[gap > 2.5]
            if len(points) < 12:
                break
    return out


def _best_circle(
    points: Points, near: Bools, hidden: Bools, radii: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """Return the circle (y, x, radius) through three of the points that most of the points lie on."""
    if len(points) < 12:
        return None
    a, b, c = points[rng.integers(len(points), size=(3, _TRIES))]
    b, c = b - a, c - a
    twice = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    ok = np.abs(twice) > 1e-6
    a, b, c, twice = a[ok], b[ok], c[ok], twice[ok]
    bb, cc = (b**2).sum(1), (c**2).sum(1)
    y, x = (c[:, 1] * bb - b[:, 1] * cc) / twice, (b[:, 0] * cc - c[:, 0] * bb) / twice
    radius = np.hypot(y, x)
    fits = (radius >= radii[0]) & (radius <= radii[1])
    y, x, radius = (y + a[:, 0])[fits], (x + a[:, 1])[fits], radius[fits]
    if not len(radius):
        return None
    sample = points[:: max(1, len(points) // 400)]
    gap = np.abs(np.hypot(sample[:, :1] - y, sample[:, 1:] - x) - radius)
    # Many points on a small circle say more than as many on a large one.
    best = np.argsort(-(gap < 1.2).sum(0) / np.sqrt(radius))[:5]
    for k in best:
        inner, rim = (_covered(near, hidden, y[k], x[k], radius[k] - gap) for gap in (3.5, 0.0))
        if rim >= min(_ROUND + _CHANCE / radius[k], 1.0) and inner <= _BESIDE:
            return float(y[k]), float(x[k]), float(radius[k])
    return None


def _covered(near: Bools, hidden: Bools, y: float, x: float, radius: float) -> float:
    """Return the share of a circle that is dark, where it can be seen; 0 where too little of it can."""
    turn = np.linspace(0, 2 * np.pi, max(24, int(4 * radius)), endpoint=False)
    rows = np.rint(y + radius * np.sin(turn)).astype(int)
    columns = np.rint(x + radius * np.cos(turn)).astype(int)
    seen = (rows >= 0) & (columns >= 0) & (rows < near.shape[0]) & (columns < near.shape[1])
    seen[seen] = ~hidden[rows[seen], columns[seen]]
    if seen.mean() < _SEEN and seen.sum() < _LONG_ARC:
        return 0.0
    return float(near[rows[seen], columns[seen]].mean())


def _fill(out: Bools, y: float, x: float, radius: float) -> None:
    reach = radius + 1.5  # the rim's outer half
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    part = out[top : int(y + reach) + 2, left : int(x + reach) + 2]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part |= np.hypot(rows - y, columns - x) <= reach
