"""The nuclei of a slide: where they lie, what they are and what shape they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .layout import Ground, Layout
from .noise import BlueNoise, Floats, Keys, keys, normal, uniform
from .structures import ANGLES, THETA, Structure, along

TYPES: tuple[str, ...] = ("background", "neoplastic", "inflammatory", "connective", "dead", "epithelial")
"""Nucleus types in the numbering of PanNuke (Gamper et al., 2020)."""
NEOPLASTIC, INFLAMMATORY, CONNECTIVE, DEAD, EPITHELIAL = range(1, 6)

TILE_UM = 256.0  # nuclei are made and kept by squares of the ground of this side
_STRAY = 10.0  # µm; how far a sparse cell may lie from its place in the even scatter
_MARGIN = 16.0  # µm; no two nuclei farther apart than this can touch


@dataclass(frozen=True)
class Nuclei:
    """A table of nuclei, one array per column, row order fixed by place.

    ``y``, ``x`` centre in µm; ``long``, ``short`` semi-axes in µm; ``angle`` of the long axis in
    radians from x towards y; ``type`` position in TYPES; ``tone`` darkness (1 = ordinary of its
    type); ``mitosis`` in division; ``key`` unique on the slide.
    """

    y: Floats
    x: Floats
    long: Floats
    short: Floats
    angle: Floats
    type: npt.NDArray[np.uint8]
    tone: Floats
    mitosis: npt.NDArray[np.bool_]
    key: Keys

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Nuclei:
        return Nuclei(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Nuclei]) -> Nuclei:
        """Return several tables as one, ordered by y, then x."""
        table = cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return table[np.lexsort((table.key, table.x, table.y))]


def _nuclei(y: Floats, x: Floats, kind: int, angle: Floats, key: Keys, pleomorphism: float = 0.0) -> Nuclei:
    """Return nuclei of one type at given places, with the sizes and shapes of that type."""
    n = len(y)
    mean, spread, slim = {
        NEOPLASTIC: (4.5, 0.10 + 0.5 * pleomorphism, 0.76),
        INFLAMMATORY: (3.3, 0.11, 0.88),
        CONNECTIVE: (6.4, 0.30, 0.25),
        DEAD: (2.5, 0.22, 0.85),
        EPITHELIAL: (3.9, 0.08, 0.72),
    }[kind]
    size = mean * np.exp(spread * normal(key, 0)) * (1 + 0.35 * pleomorphism)
    ratio = np.clip(slim * (1 + (0.12 + 0.2 * pleomorphism) * normal(key, 1)), 0.22, 0.98)
    if kind in (NEOPLASTIC, EPITHELIAL):  # elongation keeps the area
        size = size / np.sqrt(ratio / slim)
    size = np.clip(size, 1.6, 11.0)
    tone = np.exp((0.14 + 0.25 * pleomorphism) * normal(key, 2))
    turned = angle + {NEOPLASTIC: 0.35, EPITHELIAL: 0.2, CONNECTIVE: 0.25}.get(kind, 3.0) * normal(key, 3)
    return Nuclei(
        y,
        x,
        size,
        np.maximum(size * ratio, 1.0),
        turned,
        np.full(n, kind, np.uint8),
        tone,
        np.zeros(n, bool),
        key,
    )


class Population:
    """All nuclei of a slide, made square by square of the ground."""

    def __init__(self, seed: int, layout: Layout) -> None:
        self._layout = layout
        self._case = layout.case
        self._scatter = BlueNoise(seed, "cells", 6.4)
        self._fill = BlueNoise(seed, "nest cells", 1.0)
        self._of_structure = lru_cache(maxsize=2048)(self._lining)
        self._square = lru_cache(maxsize=64)(self._settled)

    def inside(self, y0: float, x0: float, y1: float, x1: float) -> Nuclei:
        """Return the nuclei whose centre lies in a half-open box (µm), ordered by y, then x."""
        parts = [
            self._square(i, j)
            for i in range(int(y0 // TILE_UM), int(np.ceil(y1 / TILE_UM)))
            for j in range(int(x0 // TILE_UM), int(np.ceil(x1 / TILE_UM)))
        ]
        table = Nuclei.joined(parts)
        return table[(table.y >= y0) & (table.y < y1) & (table.x >= x0) & (table.x < x1)]

    def _settled(self, i: int, j: int) -> Nuclei:
        """Return the nuclei of one square, those that would lie on each other thinned out."""
        y0, x0 = i * TILE_UM, j * TILE_UM
        box = y0 - _MARGIN, x0 - _MARGIN, y0 + TILE_UM + _MARGIN, x0 + TILE_UM + _MARGIN
        everybody = self._candidates(box)
        if len(everybody):
            pairs = cKDTree(np.column_stack([everybody.y, everybody.x])).query_pairs(
                _MARGIN, output_type="ndarray"
            )
            a, b = pairs[:, 0], pairs[:, 1]
            room = _radius_towards(everybody, a, b) + _radius_towards(everybody, b, a)
            gap = np.hypot(everybody.y[a] - everybody.y[b], everybody.x[a] - everybody.x[b])
            close = gap < 0.72 * room
            # The one with the smaller key goes, whoever else goes: no chain of decisions, so no order.
            a, b = a[close], b[close]
            loser = np.where(everybody.key[a] < everybody.key[b], a, b)
            kept = np.ones(len(everybody), bool)
            kept[loser] = False
            everybody = everybody[kept]
        inside = (everybody.y >= y0) & (everybody.y < y0 + TILE_UM) & (everybody.x >= x0)
        return everybody[inside & (everybody.x < x0 + TILE_UM)]

    def _candidates(self, box: tuple[float, float, float, float]) -> Nuclei:
        parts = [self._scattered(box)]
        parts += [self._of_structure(s) for s in self._layout.structures.near(*box)]
        table = Nuclei.joined(parts)
        y0, x0, y1, x1 = box
        table = table[(table.y >= y0) & (table.y < y1) & (table.x >= x0) & (table.x < x1)]
        ground = self._layout.at(table.y, table.x)
        return table[self._allowed(table, ground)]

    def _allowed(self, table: Nuclei, ground: Ground) -> npt.NDArray[np.bool_]:
        """Say which nuclei lie wholly in tissue of their own kind, outside every space."""
        half = np.sqrt(table.long * table.short)
        lining = np.isin(table.type, (NEOPLASTIC, EPITHELIAL))
        ok = ground.edge > 7 + table.long
        ok &= (
            np.maximum(np.maximum(ground.blood, ground.vessel_lumen), ground.adipocyte_inside)
            < -0.8 * table.short
        )
        ok &= ground.lumen < -0.9 * half
        ok &= ~lining | (np.maximum(ground.nest, ground.gland) > 0.6 * half)
        outside = np.maximum(ground.nest, ground.gland) < -(0.8 * table.short + np.minimum(ground.cleft, 4))
        infiltrating = (table.type == INFLAMMATORY) | (table.type == DEAD)
        return np.asarray(ok & (lining | outside | infiltrating))

    def _scattered(self, box: tuple[float, float, float, float]) -> Nuclei:
        """Return the cells of the stroma, of lymphoid tissue and of necrosis in a box."""
        y0, x0, y1, x1 = box
        y, x, rank, key = self._scatter.inside(y0 - _STRAY, x0 - _STRAY, y1 + _STRAY, x1 + _STRAY)
        # Crowded cells keep their places, sparse ones stray from the even scatter
        stray = np.where(rank > 0.15, 1.9, 2 * _STRAY)
        y, x = y + stray * (uniform(key, 20) - 0.5), x + stray * (uniform(key, 21) - 0.5)
        keep = (rank < 0.9) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        y, x, rank, key = y[keep], x[keep], rank[keep], key[keep]
        g = self._layout.at(y, x)
        zones = self._layout.zones
        lymphoid = np.clip((g.lymphoid + 0.12) / 0.16, 0, 1)
        infiltrate = zones.infiltrate(y, x)
        full = self._scatter.density
        stroma = (1500 - 700 * g.loose) * zones.cellularity(y, x) + 2600 * infiltrate**1.5
        density = stroma * (1 - lymphoid) + 0.86 * full * lymphoid
        density = np.where(g.fat > 0, 260, density)
        density = np.where(g.bleeding > 0, 350, density)
        epithelium = np.maximum(g.nest, g.gland) > 0
        density = np.where(epithelium, 500 * infiltrate, density)  # lymphocytes between the tumour cells
        density = np.where(g.necrosis > 0, np.where(g.necrosis < 9, 2600, 900), density)
        density = np.where((g.lumen > 0) | (g.vessel > -2) & ~epithelium, 0, density)
        present = rank * full < density
        draw = uniform(key, 22)
        fibrous = draw > np.maximum(infiltrate, np.where(lymphoid > 0.3, 0.985 * lymphoid, 0))
        kind = np.where(fibrous, CONNECTIVE, INFLAMMATORY)
        kind[epithelium] = INFLAMMATORY
        kind[g.necrosis > 0] = np.where(draw[g.necrosis > 0] < 0.12, INFLAMMATORY, DEAD)
        parts = []
        for one in (INFLAMMATORY, CONNECTIVE, DEAD):
            rows = present & (kind == one)
            angle = (
                self._layout.fibre_angle(y[rows], x[rows]) if one == CONNECTIVE else 3 * normal(key[rows], 23)
            )
            parts.append(_nuclei(y[rows], x[rows], one, angle, key[rows]))
        return Nuclei.joined(parts)

    def _lining(self, s: Structure) -> Nuclei:
        """Return the nuclei that belong to one structure: its rows of cells and its filling."""
        if s.kind == "adipocyte":
            return self._row(s, 1, CONNECTIVE, 1.0, 95.0, 0.4, radial=False)
        if s.kind == "vessel":
            rows = [self._row(s, 1, CONNECTIVE, max(s.wall - 1.6, 1.0), 13.0, 0.5, radial=False)]
            if s.wall > 7:
                rows.append(self._row(s, 2, CONNECTIVE, 0.4 * s.wall, 16.0, 1.0, radial=False))
            return Nuclei.joined(rows)
        if s.kind == "gland":
            return _spread_out(self._row(s, 1, EPITHELIAL, 0.36 * s.wall, 7.3, 0.9, radial=True), 2.5)
        pleomorphism = self._case.pleomorphism
        crowding = float(uniform(keys(s.seed, 4), 0)[0])
        step = (8.0 + 3.6 * crowding**1.5) * (1 + 0.5 * pleomorphism)
        rows = [self._row(s, 1, NEOPLASTIC, 6.4 + 0.5 * pleomorphism, step, 1.3, radial=True)]
        if s.content == "lumen" and not len(s.holes):
            if s.wall > 22:
                rows.append(self._row(s, 2, NEOPLASTIC, s.wall - 8.0, step * 1.35, 2.0, radial=True))
            return _spread_out(Nuclei.joined(rows), 0.4 * step)
        rows.append(self._filling(s, step))
        return _spread_out(Nuclei.joined(rows), 0.5 * step)

    def _row(
        self, s: Structure, number: int, kind: int, depth: float, step: float, jitter: float, radial: bool
    ) -> Nuclei:
        """Return one row of nuclei, ``depth`` inside the outline, ``step`` apart (µm)."""
        radii = np.maximum(s.radii - depth, 1.0)
        y, x = s.y + radii * np.sin(THETA), s.x + radii * np.cos(THETA)
        pieces = np.hypot(np.diff(y, append=y[:1]), np.diff(x, append=x[:1]))
        way = np.concatenate([[0.0], np.cumsum(pieces)])
        first = keys(s.seed, number)
        count = int(way[-1] / step + float(uniform(first, 1)[0]))
        if count < 1:
            return _nuclei(np.zeros(0), np.zeros(0), kind, np.zeros(0), keys(s.seed, np.zeros(0, np.int64)))
        key = keys(s.seed, number, np.arange(count))
        turn = (np.arange(count) + float(uniform(first, 2)[0]) + 0.28 * normal(key, 30)) / count
        theta = np.interp(turn % 1.0 * way[-1], way, np.arange(ANGLES + 1.0)) % ANGLES
        rho = along(radii, theta) + jitter * normal(key, 31)
        direction = theta * (2 * np.pi / ANGLES)
        uy, ux = s.y + rho * np.sin(direction), s.x + rho * np.cos(direction)
        here, there = along(s.radii, theta - 0.7), along(s.radii, theta + 0.7)
        slope = np.arctan2(there - here, 1.4 * (2 * np.pi / ANGLES) * along(s.radii, theta))
        angle = direction - slope + (0 if radial else np.pi / 2)
        y, x = self._layout.zones.unwarped(uy, ux)
        if kind == NEOPLASTIC:
            return self._tumour_cells(y, x, angle, key)
        return _nuclei(y, x, kind, angle, key)

    def _filling(self, s: Structure, step: float) -> Nuclei:
        """Return the cells inside a nest, behind its first row and round its content."""
        pitch = step * 0.93
        reach = (float(s.radii.max()) + 45) * 1.42 / pitch
        turn = float(uniform(keys(s.seed, 3), 0)[0]) * 2 * np.pi
        v, u, rank, key = self._fill.inside(-reach, -reach, reach, reach)
        v, u = v[rank < 0.74] * pitch, u[rank < 0.74] * pitch
        key = keys(s.seed, 3, key[rank < 0.74].view(np.int64))
        y, x = s.y + v * np.cos(turn) - u * np.sin(turn), s.x + v * np.sin(turn) + u * np.cos(turn)
        outer, inner = s.depth(*self._layout.zones.warped(y, x))
        if s.content == "none":
            inner = np.full(len(y), -50.0)
        keep = (outer > 6.4 + 0.8 * step) & (inner < -4.5)
        return self._tumour_cells(y[keep], x[keep], 3 * normal(key[keep], 32), key[keep])

    def _tumour_cells(self, y: Floats, x: Floats, angle: Floats, key: Keys) -> Nuclei:
        """Return tumour nuclei at places in the tissue, a few of them dividing or dying."""
        pleomorphism = self._case.pleomorphism
        table = _nuclei(y, x, NEOPLASTIC, angle, key, pleomorphism)
        table.mitosis[:] = uniform(key, 40) < self._case.mitotic_share
        died = ~table.mitosis & (uniform(key, 41) < 0.004 + 0.012 * pleomorphism)
        table.type[died] = DEAD
        table.long[died] *= 0.55
        table.short[died] = 0.85 * table.long[died]
        return table


def _spread_out(table: Nuclei, limit: float) -> Nuclei:
    """Return the nuclei of one structure pushed apart where they crowd, each by at most ``limit`` µm."""
    y, x = table.y.copy(), table.x.copy()
    for _ in range(6):
        pairs = cKDTree(np.column_stack([y, x])).query_pairs(_MARGIN, output_type="ndarray")
        a, b = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T
        now = replace(table, y=y, x=x)
        gap = np.maximum(np.hypot(y[a] - y[b], x[a] - x[b]), 0.1)
        push = (
            0.35 * np.clip(1.04 * (_radius_towards(now, a, b) + _radius_towards(now, b, a)) - gap, 0, 3) / gap
        )
        step_y, step_x = push * (y[a] - y[b]), push * (x[a] - x[b])
        dy = np.bincount(a, step_y, len(y)) - np.bincount(b, step_y, len(y))
        dx = np.bincount(a, step_x, len(x)) - np.bincount(b, step_x, len(x))
        y = np.clip(y + dy, table.y - limit, table.y + limit)
        x = np.clip(x + dx, table.x - limit, table.x + limit)
    return replace(table, y=y, x=x)


def _radius_towards(table: Nuclei, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Floats:
    """Return the radius (µm) of ellipses ``a`` in the direction of the centres of ``b``."""
    direction = np.arctan2(table.y[b] - table.y[a], table.x[b] - table.x[a]) - table.angle[a]
    long, short = table.long[a], table.short[a]
    return np.asarray(long * short / np.hypot(short * np.cos(direction), long * np.sin(direction)))
