"""Painting tissue: how much haematoxylin, eosin and blood each pixel holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .layout import Ground, Layout
from .noise import Field, Images, resampled, uniform, upsampling
from .nuclei import Nuclei
from .nucleus import Footprint
from .textures import Textures, ramp, window

_COARSE_UM = 2.0  # step at which the layout is evaluated
_CELL_UM = 1.0  # step at which territories of cells are found
_CELL_REACH = 12.0  # µm


@dataclass
class Dyes:
    """Amounts of haematoxylin, eosin and erythrocyte pigment, each (h, w)."""

    haematoxylin: Images
    eosin: Images
    blood: Images

    def mix(
        self, share: Images, haematoxylin: Images | float, eosin: Images | float, blood: Images | float = 0.0
    ) -> None:
        """Replace a share (0–1) of what is there."""
        self.haematoxylin += share * (haematoxylin - self.haematoxylin)
        self.eosin += share * (eosin - self.eosin)
        self.blood += share * (blood - self.blood)

    def thin(self, factor: Images) -> None:
        """Multiply all dyes."""
        self.haematoxylin *= factor
        self.eosin *= factor
        self.blood *= factor


@dataclass(frozen=True)
class Territories:
    """Cells round nuclei: ``away`` µm from the nucleus, ``gap`` µm to the next cell, ``tint`` of the cell."""

    away: Images
    gap: Images
    tint: Images


def ground_of(
    layout: Layout, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], mpp: float
) -> Ground:
    """Return the ground at every pixel, interpolated from a lattice fixed on the slide."""
    places, matrices = [], []
    for pixels in (rows, columns):
        fine = (pixels + 0.5) * mpp
        first, last = np.floor(fine[0] / _COARSE_UM) - 2, np.ceil(fine[-1] / _COARSE_UM) + 3
        coarse = np.arange(first, last) * _COARSE_UM
        places.append(coarse)
        matrices.append(upsampling(coarse, fine))
    return layout.at(places[0][:, None], places[1][None, :]).mapped(*matrices)


def territories(
    table: Nuclei, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], mpp: float
) -> Territories:
    """Share the ground among the cells (additively weighted Voronoi regions of the nuclei)."""
    matrices, firsts, counts = [], [], []
    for pixels in (rows, columns):
        fine = (pixels + 0.5) * mpp
        first = int(np.floor(fine[0] / _CELL_UM)) - 2
        count = int(np.ceil(fine[-1] / _CELL_UM)) + 3 - first
        matrices.append(upsampling((first + np.arange(count)) * _CELL_UM, fine))
        firsts.append(first)
        counts.append(count)
    half = int(_CELL_REACH / _CELL_UM)
    span = np.arange(-half, half + 1)
    i = np.round(table.y / _CELL_UM).astype(np.int64)[:, None, None] + span[None, :, None]
    j = np.round(table.x / _CELL_UM).astype(np.int64)[:, None, None] + span[None, None, :]
    dy, dx = (i * _CELL_UM - table.y[:, None, None]), (j * _CELL_UM - table.x[:, None, None])
    cos, sin = np.cos(table.angle)[:, None, None], np.sin(table.angle)[:, None, None]
    # Halfway between a circle and the nucleus' own ellipse
    stretch = np.sqrt(np.sqrt(table.short / table.long))[:, None, None]
    u, v = (dx * cos + dy * sin) * stretch, (dy * cos - dx * sin) / stretch
    away = (np.sqrt(u * u + v * v) - np.sqrt(table.long * table.short)[:, None, None]).astype(np.float32)
    i, j = i - firsts[0], j - firsts[1]
    near = (i >= 0) & (i < counts[0]) & (j >= 0) & (j < counts[1]) & (away < _CELL_REACH)
    cell = (i * counts[1] + j)[near]
    away = away[near]
    first_d = np.full(counts[0] * counts[1], _CELL_REACH, np.float32)
    np.minimum.at(first_d, cell, away)
    second = np.full(first_d.size, _CELL_REACH + 3, np.float32)
    won = first_d[cell] == away
    np.minimum.at(second, cell[~won], away[~won])
    tint = np.zeros(first_d.size, np.float32)
    own = np.broadcast_to((2 * uniform(table.key, 90) - 1).astype(np.float32)[:, None, None], near.shape)[
        near
    ]
    tint[cell[won]] = own[won]
    shape = counts[0], counts[1]
    away_map, gap, tint_map = (
        resampled(a.reshape(shape), matrices[0], matrices[1]) for a in (first_d, second - first_d, tint)
    )
    return Territories(away_map, gap, tint_map)


class Painter:
    """Paints windows of one slide."""

    def __init__(self, seed: int, mpp: float, textures: Textures) -> None:
        self.mpp = mpp
        self.textures = textures
        self._thick = Field(seed, "thickness", 420), Field(seed, "thickness fine", 60)
        self._secretion = Field(seed, "secretion", 14)
        self._tone = Field(seed, "tone", 120)

    def paint(
        self,
        g: Ground,
        cells: Territories,
        nuclei: Footprint,
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
    ) -> Dyes:
        """Return the dyes of a window from its ground, its cells and its nuclei."""
        y, x = (rows[:, None] + 0.5) * self.mpp, (columns[None, :] + 0.5) * self.mpp
        t = self.textures
        grain, froth = window(t.grain, rows, columns), window(t.froth, rows, columns)
        rough = np.float32(0.45) * froth + np.float32(0.25) * grain
        tone = self._tone(y, x).astype(np.float32)
        dyes, fibre = self._stroma(g, grain, tone)
        self._lymphoid(dyes, g, cells, grain, froth)
        self._fat(dyes, g, rough)
        self._clefts(dyes, g, rough)
        self._epithelium(dyes, g, cells, grain, froth, tone, rough)
        self._necrosis(dyes, g, grain, froth, rough)
        self._lumina(dyes, g, 1.1 * cells.tint, self._secretion(y, x).astype(np.float32), grain, rough)
        discs = window(t.erythrocytes, rows, columns), window(t.erythrocyte, rows, columns)
        self._blood(dyes, g, *discs, grain, rough)
        dyes.mix(nuclei.cover, nuclei.dye, 0.55 * dyes.eosin + 0.08)
        thick = 1 + 0.05 * self._thick[0](y, x) + 0.035 * self._thick[1](y, x)
        edge = g.edge + 1.2 * rough + 1.6 * fibre
        rim = np.exp(-(((edge - 5) / 5) ** 2))  # dye gathers along the border of a section
        dyes.thin((thick * (1 + 0.25 * rim)).astype(np.float32) * ramp(edge - 1.0, 2.6))
        return dyes

    def _stroma(self, g: Ground, grain: Images, tone: Images) -> tuple[Dyes, Images]:
        t = self.textures
        bundles = t.fibre(t.bundles, g.across, g.length)
        fibrils = t.fibre(t.fibrils, g.across, g.length, 1.4)
        fibre = (0.74 * bundles + (0.26 + 0.2 * g.loose) * fibrils) * np.clip(0.85 + 0.35 * tone, 0.3, 1.3)
        dense = 1 - g.loose
        body = ramp(1.0 * fibre + 2.0 * dense - 0.35, 1.8)
        eosin = (
            body * (0.48 + 0.30 * dense + 0.20 * fibre + 0.10 * tone)
            + 0.11
            + 0.07 * g.loose
            + 0.04 * grain * body
        )
        haematoxylin = 0.05 + 0.07 * g.loose + 0.03 * grain
        dyes = Dyes(np.maximum(haematoxylin, 0), np.maximum(eosin, 0.02), np.zeros_like(grain))
        return dyes, fibre

    def _lymphoid(self, dyes: Dyes, g: Ground, cells: Territories, grain: Images, froth: Images) -> None:
        share = ramp(g.lymphoid + 0.02, 0.16)
        body = ramp(1.7 + 0.5 * cells.tint - cells.away, 1.6) * ramp(cells.gap - 0.3, 1.2)
        net = np.maximum(0.31 + 0.15 * froth + 0.04 * grain, 0.03)
        dyes.mix(share, 0.3 * net + 0.30 * body, net * (1 - body) + body * (0.42 + 0.05 * grain))

    def _fat(self, dyes: Dyes, g: Ground, rough: Images) -> None:
        inside = ramp(g.adipocyte_inside + 0.3 * rough, 1.0) * ramp(g.adipocyte, 1.5)
        dyes.mix(ramp(g.adipocyte + 2.4, 2.0), 0.05, 0.45 + 0.1 * rough)
        dyes.mix(inside, 0.0, 0.012)
        # fat cells at the border of the section keep a membrane
        rim = ramp(3.4 - g.edge, 1.4) * ramp(g.adipocyte, 1.5) * ramp(g.fat, 0.02)
        dyes.mix(rim, 0.03, 0.40 + 0.1 * rough)

    def _clefts(self, dyes: Dyes, g: Ground, rough: Images) -> None:
        """Open the gap that shrinking leaves round nests."""
        share = ramp(np.minimum(g.nest + g.cleft, -g.nest) + 0.35 * rough - 0.5, 1.4) * ramp(
            g.cleft - 1.6, 1.5
        )
        dyes.mix(share * ramp(-g.vessel - 1, 1), 0.01, 0.04)

    def _epithelium(
        self,
        dyes: Dyes,
        g: Ground,
        cells: Territories,
        grain: Images,
        froth: Images,
        tone: Images,
        rough: Images,
    ) -> None:
        membrane = (
            np.exp(-((cells.gap / 1.1) ** 2)) * ramp(cells.away - 0.4, 1.5) * ramp(10.5 - cells.away, 3.0)
        )
        for depth, haematoxylin, eosin in ((g.nest, 0.14, 0.42), (g.gland, 0.12, 0.52)):
            share = ramp(depth + 0.6 * rough, 1.2)
            # the basement membrane: a thin line of eosin just outside
            line = np.exp(-(((depth + 1.2) / 1.1) ** 2)) * ramp(1.6 - g.cleft, 1.5)
            dyes.eosin += line * (0.28 - 0.1 * rough)
            apical = ramp(g.lumen + 2.4, 2.0) * (0.16 if eosin > 0.4 else 0.12)
            h = (
                haematoxylin * (1 + 0.30 * cells.tint + 0.2 * tone + 0.28 * froth + 0.06 * grain)
                + 0.04 * membrane
            )
            e = (
                eosin * (1 + 0.26 * cells.tint + 0.12 * tone + 0.20 * froth + 0.05 * grain)
                + 0.30 * membrane
                + apical
            )
            # cytoplasm is paler away from the nucleus and bubbly in some cells
            pale = 1 - 0.25 * ramp(cells.away - 3.5, 5.0) - 0.45 * ramp(-froth - 1.6 + 0.9 * cells.tint, 1.6)
            dyes.mix(share, np.maximum(h * pale, 0.01), np.maximum(e * pale, 0.03))

    def _necrosis(self, dyes: Dyes, g: Ground, grain: Images, froth: Images, rough: Images) -> None:
        share = ramp(g.necrosis + 2.5 * rough, 7.0)
        dust = np.clip(grain - 1.9, 0, 2)
        dyes.mix(share, 0.12 + 0.06 * froth + 0.5 * dust, 0.60 + 0.17 * froth + 0.03 * grain)
        dyes.haematoxylin[:] = np.maximum(dyes.haematoxylin, 0)

    def _lumina(
        self, dyes: Dyes, g: Ground, bulge: Images, secretion: Images, grain: Images, rough: Images
    ) -> None:
        share = ramp(g.lumen + 0.9 * rough + bulge, 1.0)
        filled = ramp(g.secretion + 2.2 * secretion + 0.8 * rough, 1.6)
        filled = filled * (1 - 0.9 * ramp(secretion - 1.9, 0.3))
        wisps = np.clip(rough - 0.55, 0, 1) * ramp(6 - g.lumen, 6) * 0.3
        dyes.mix(share, 0.03 * filled, 0.005 + filled * (0.36 + 0.03 * grain + 0.04 * secretion) + wisps)

    def _blood(
        self, dyes: Dyes, g: Ground, distance: Images, draw: Images, grain: Images, rough: Images
    ) -> None:
        wall = ramp(g.vessel + 0.3 * rough, 1.2)
        dyes.mix(wall * 0.8, 0.08 + 0.03 * grain, 0.66 + 0.08 * grain)
        dyes.mix(ramp(np.maximum(g.vessel_lumen, g.blood) + 0.4 * rough, 1.0), 0.0, 0.05)
        cell = ramp(3.1 + 0.5 * draw - distance, 0.9) * (0.74 + 0.26 * ramp(distance - 1.2, 1.8))
        free = ramp(g.bleeding - 0.9 * draw + 0.1, 0.06) * ramp(-np.maximum(g.nest, g.gland) - 2, 2)
        free = np.where(np.maximum(g.lumen, g.vessel) > 0, 0, free)
        share = np.maximum(ramp(g.blood - 0.8 + 0.5 * rough, 1.2), free) * cell
        dyes.mix(share, 0.02, 0.12, 0.95 + 0.2 * (draw - 0.5) + 0.06 * grain)
