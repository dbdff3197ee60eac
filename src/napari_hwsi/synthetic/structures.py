"""Nests, glands, vessels and fat cells: closed outlines on jittered lattices.

Each structure is star-shaped in undistorted coordinates (`Zones.warped`): a radius for each of
64 directions, kept clear of its neighbours on the lattice. It depends on its own lattice site
and the sites around it, never on a window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from .case import Case
from .noise import Floats, generator, keys, normal, uniform
from .zones import Zones

Kind = Literal["tumour", "gland", "vessel", "adipocyte"]
Content = Literal["none", "lumen", "necrosis", "blood"]

KINDS: tuple[Kind, ...] = ("tumour", "gland", "vessel", "adipocyte")
ANGLES = 64
THETA = np.arange(ANGLES) * (2 * np.pi / ANGLES)
HALO = 32.0  # µm; how far round an outline the tissue still follows it
_RADIUS: dict[Kind, float] = {
    "tumour": 145.0,
    "gland": 60.0,
    "vessel": 56.0,
    "adipocyte": 62.0,
}  # µm, largest
_WARP = 45.0  # µm; no place is warped farther
_PLOT = 4  # lattice sites a side that are made together


@dataclass(frozen=True, eq=False)
class Structure:
    """One closed outline round (y, x): ``radii`` outside, ``inner`` round its content, ``holes``
    (y, x, r); ``secretion`` fills a lumen up to that many µm from its border, none where negative.
    """

    kind: Kind
    content: Content
    y: float
    x: float
    radii: Floats
    inner: Floats
    holes: Floats
    wall: float
    seed: int
    secretion: float = -1.0

    def polar(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return distance to the site (µm) and direction (in table steps) of undistorted places."""
        dy, dx = y - self.y, x - self.x
        return np.hypot(dy, dx), np.arctan2(dy, dx) * (ANGLES / (2 * np.pi)) % ANGLES

    def depth(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return how deep (µm) undistorted places lie inside the outline and inside the content."""
        rho, theta = self.polar(y, x)
        outer = along(self.radii, theta) - rho
        inner = along(self.inner, theta) - rho
        for hole in self.holes:
            inner = np.maximum(inner, hole[2] - np.hypot(y - hole[0], x - hole[1]))
        return outer, inner


def along(table: Floats, theta: Floats) -> Floats:
    """Return a closed table of radii at directions in table steps, linearly interpolated."""
    k = np.floor(theta).astype(np.int64)
    t = theta - k
    k %= ANGLES
    return table[k] * (1 - t) + table[(k + 1) % ANGLES] * t


def _wobble(seed: int, draw: int, amplitude: float, orders: tuple[int, ...]) -> Floats:
    """Return 1 + a sum of a few harmonics of the direction."""
    n = np.array(orders)[:, None]
    key = keys(seed, draw, n)
    waves = np.cos(n * THETA + 2 * np.pi * uniform(key, 0)) * normal(key, 1) / np.sqrt(n)
    return np.asarray(1 + amplitude * waves.sum(0))


def _rounding() -> Floats:
    """Return the (ANGLES, ANGLES) matrix that smooths a closed table over about 40 degrees."""
    step = np.eye(ANGLES) / 2 + (np.roll(np.eye(ANGLES), 1, 0) + np.roll(np.eye(ANGLES), -1, 0)) / 4
    return np.asarray(np.linalg.matrix_power(step, 10))


_ROUNDING = _rounding()


def _rounded(radii: Floats) -> Floats:
    """Return a closed table of radii with its corners smoothed and its tips cut."""
    radii = _ROUNDING @ radii
    return np.minimum(radii, radii.mean() * 1.25)


def _secreting(structure: Structure) -> Structure:
    """Return a gland, every third one with its lumen full of a secretion that has shrunk a little."""
    key = keys(structure.seed, 40)
    shrunk = 1.5 + 5 * float(uniform(key, 1)[0])
    return replace(structure, secretion=shrunk) if float(uniform(key, 0)[0]) < 0.34 else structure


class Structures:
    """All structures of a slide, made when asked for."""

    def __init__(self, seed: int, case: Case, zones: Zones) -> None:
        self.case = case
        self.zones = zones
        self._seed = int(generator(seed, "structures").integers(2**62))
        self._pitch: dict[Kind, float] = {
            "tumour": {1: 125.0, 2: 150.0, 3: 195.0}[case.tubules],
            "gland": 92.0,
            "vessel": 170.0,
            "adipocyte": 62.0,
        }
        self._plot = lru_cache(maxsize=2048)(self._grown)

    def near(
        self, y0: float, x0: float, y1: float, x1: float, kinds: tuple[Kind, ...] = KINDS
    ) -> list[Structure]:
        """Return every structure (of some kinds) near enough to touch a box (µm) or bend its fibres."""
        found = []
        for kind in kinds:
            side = _PLOT * self._pitch[kind]
            reach = _RADIUS[kind] + _WARP + HALO
            for i in range(int((y0 - reach) // side), int((y1 + reach) // side) + 1):
                for j in range(int((x0 - reach) // side), int((x1 + reach) // side) + 1):
                    found += [
                        s
                        for s in self._plot(kind, i, j)
                        if y0 - reach < s.y < y1 + reach and x0 - reach < s.x < x1 + reach
                    ]
        return found

    def _grown(self, kind: Kind, i: int, j: int) -> tuple[Structure, ...]:
        """Return the structures of one square plot of lattice sites."""
        top, left = i * _PLOT - 2, j * _PLOT - 2  # two more sites on every side are neighbours
        rows, columns = np.mgrid[top : top + _PLOT + 4, left : left + _PLOT + 4]
        key = keys(self._seed, KINDS.index(kind), rows, columns)
        pitch = self._pitch[kind]
        jitter = 0.72 if kind in ("tumour", "gland") else 0.62
        y = (rows + 0.5 + jitter * (uniform(key, 0) - 0.5)) * pitch
        x = (columns + 0.5 + jitter * (uniform(key, 1) - 0.5)) * pitch
        spread = {"tumour": 1.2, "gland": 0.7, "vessel": 0.0, "adipocyte": 0.35}[kind]
        weight = 1 + spread * (uniform(key, 2) - 0.5)
        stands = self._stands(
            kind, y[2:-2, 2:-2].ravel(), x[2:-2, 2:-2].ravel(), uniform(key, 3)[2:-2, 2:-2].ravel()
        )
        grown = []
        for n in np.flatnonzero(stands):
            a, b = 2 + int(n) // _PLOT, 2 + int(n) % _PLOT
            around = slice(a - 2, a + 3), slice(b - 2, b + 3)
            shape = self._structure(
                kind, y[around].ravel(), x[around].ravel(), weight[around].ravel(), int(key[a, b])
            )
            if shape is not None:
                grown.append(shape)
        return tuple(grown)

    def _stands(self, kind: Kind, y: Floats, x: Floats, chance: Floats) -> npt.NDArray[np.bool_]:
        """Say at which sites a structure stands."""
        zones = self.zones
        if kind == "adipocyte":
            return zones.fat(y, x) > 0.02
        if kind == "tumour":  # nests scatter at the invading edge
            invaded = (chance > 0.06) & (zones.tumour(y, x) > 0.3 * (chance - 0.4))
            return np.asarray(invaded & (zones.lymphoid(y, x) < 0.15))
        if kind == "gland":
            lobule = (zones.tumour(y, x) < -0.2) & (zones.lobule(y, x) > 0.5 * chance)
            return np.asarray(lobule & (zones.fat(y, x) < -0.08) & (zones.lymphoid(y, x) < 0.05))
        return np.asarray((chance < 0.5) & (zones.fat(y, x) < 0.05))

    def _structure(self, kind: Kind, ys: Floats, xs: Floats, weight: Floats, seed: int) -> Structure | None:
        """Return the structure on the middle one of 5 x 5 sites."""
        centre = len(ys) // 2
        y, x = float(ys[centre]), float(xs[centre])
        if kind == "vessel":
            return self._vessel(y, x, seed)
        others = np.arange(len(ys)) != centre
        dy, dx = ys[others] - y, xs[others] - x
        distance = np.hypot(dy, dx)
        share = weight[centre] / (weight[centre] + weight[others])
        facing = np.cos(THETA[:, None] - np.arctan2(dy, dx)[None, :])
        # Half-planes up to the weighted bisectors, met by a soft minimum: a rounded Voronoi cell
        border = distance * share / np.maximum(facing, 0.05)
        sharp = {"tumour": 6.0, "gland": 5.0, "adipocyte": 16.0}[kind]
        radii = (border**-sharp).sum(1) ** (-1 / sharp)
        if kind == "adipocyte":
            return self._filled("adipocyte", "lumen", y, x, radii - 1.2, radii - 2.4, 1.2, seed)
        if kind == "gland":
            return self._gland(y, x, radii, seed)
        return self._nest(y, x, radii, seed)

    def _filled(
        self,
        kind: Kind,
        content: Content,
        y: float,
        x: float,
        radii: Floats,
        inner: Floats,
        wall: float,
        seed: int,
    ) -> Structure:
        radii = np.minimum(radii, _RADIUS[kind])
        inner = np.maximum(inner, -50.0) if content != "none" else np.full(ANGLES, -50.0)
        return Structure(kind, content, y, x, radii, inner, np.zeros((0, 3)), wall, seed)

    def _vessel(self, y: float, x: float, seed: int) -> Structure | None:
        key = keys(seed, 11)
        size, squeeze, turn, filled = (float(uniform(key, k)[0]) for k in range(4))
        a = 9 + 30 * size**2.5
        b = a * (0.45 + 0.5 * squeeze)
        radii = a * b / np.hypot(b * np.cos(THETA - np.pi * turn), a * np.sin(THETA - np.pi * turn))
        wall = 2.5 + 0.28 * a * float(uniform(key, 4)[0])
        content: Content = "blood" if filled < 0.7 else "lumen"
        inner = radii * _wobble(seed, 1, 0.08, (2, 3))
        vessel = self._filled("vessel", content, y, x, radii + wall, inner, wall, seed)
        return None if self._crowded(vessel) else vessel

    def _crowded(self, vessel: Structure) -> bool:
        """Say whether a vessel would run into a nest or gland."""
        y = vessel.y + (vessel.radii[::4] + 3) * np.sin(THETA[::4])
        x = vessel.x + (vessel.radii[::4] + 3) * np.cos(THETA[::4])
        y, x = np.append(y, vessel.y), np.append(x, vessel.x)
        others = self.near(y.min(), x.min(), y.max(), x.max(), ("tumour", "gland"))
        return any(float(s.depth(y, x)[0].max()) > -1 for s in others)

    def _gland(self, y: float, x: float, radii: Floats, seed: int) -> Structure | None:
        key = keys(seed, 12)
        radii = (radii - 4 - 7 * float(uniform(key, 0)[0])) * _wobble(seed, 2, 0.035, (2, 3, 4))
        radii = np.minimum(radii, 36 + 20 * float(uniform(key, 1)[0]))
        if radii.mean() < 20:
            return None
        height = min(15 + 6 * float(uniform(key, 2)[0]), 0.62 * float(radii.mean()))
        inner = _rounded(radii - height) * _wobble(seed, 3, 0.06, (2, 3, 5))
        return _secreting(self._filled("gland", "lumen", y, x, radii, inner, height, seed))

    def _nest(self, y: float, x: float, radii: Floats, seed: int) -> Structure | None:
        key = keys(seed, 13)
        loose = float(np.clip(0.6 - self.zones.tumour(np.array([y]), np.array([x]))[0], 0, 1))  # at the edge
        septum = 3 + 9 * float(uniform(key, 0)[0]) ** 2 + 22 * loose * float(uniform(key, 1)[0])
        radii = (radii - septum) * _wobble(seed, 4, 0.05, (2, 3, 4, 5))
        mean = float(radii.mean())
        if mean < 18:
            return None
        height = float(np.clip(17.5 + 3.5 * normal(key, 2)[0], 13, 27))
        drawn = float(uniform(key, 3)[0])
        if drawn < self.case.gland_share and mean > height + 8:
            inner = _rounded(radii - height) * _wobble(seed, 5, 0.09, (2, 3, 4, 6))
            return _secreting(self._filled("tumour", "lumen", y, x, radii, inner, height, seed))
        if float(uniform(key, 4)[0]) < self.case.necrotic_share * 1.6 and mean > 52:
            inner = (radii - np.maximum(38, 0.42 * mean)) * _wobble(seed, 6, 0.12, (2, 3, 5))
            return self._filled("tumour", "necrosis", y, x, radii, inner, 38, seed)
        solid = self._filled("tumour", "none", y, x, radii, radii, 0, seed)
        if self.case.tubules < 3 and float(uniform(key, 5)[0]) < 0.35 and mean > 40:
            return self._cribriform(solid, mean)
        return solid

    def _cribriform(self, solid: Structure, mean: float) -> Structure:
        """Return a nest with a few round spaces punched out, none near its border or another."""
        kept: list[tuple[float, float, float]] = []
        for n in range(14):
            key = keys(solid.seed, 20, n)
            r, turn, size = (float(uniform(key, k)[0]) for k in range(3))
            rho, theta = 0.72 * mean * r**0.5, 2 * np.pi * turn
            hole = (solid.y + rho * np.sin(theta), solid.x + rho * np.cos(theta), 4 + 9 * size**1.5)
            room = float(along(solid.radii, np.array([turn * ANGLES]))[0]) - rho
            apart = all(np.hypot(hole[0] - k[0], hole[1] - k[1]) > hole[2] + k[2] + 16 for k in kept)
            if room > hole[2] + 14 and apart:
                kept.append(hole)
        holes = np.array(kept).reshape(-1, 3)
        return Structure(
            solid.kind,
            "lumen" if kept else "none",
            solid.y,
            solid.x,
            solid.radii,
            solid.inner,
            holes,
            12,
            solid.seed,
        )
