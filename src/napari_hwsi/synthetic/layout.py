"""The architecture of the tissue at any place: how deep inside what it lies."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .case import Case
from .noise import Field, Floats, Weights, resampled
from .spec import SlideSpec
from .structures import HALO, Structures
from .zones import Zones

REGIONS: tuple[str, ...] = (
    "glass", "tumour", "stroma", "gland", "lumen", "lymphoid", "necrosis", "fat", "blood",
)  # fmt: skip
"""Names of the region classes; a class map holds their positions in this tuple."""

_FAR = 60.0  # depths are cut at ±60 µm


@dataclass(frozen=True)
class Ground:
    """What lies at some places; depths in µm, positive inside, all of one shape.

    ``edge`` tissue; ``nest`` tumour; ``gland`` normal gland; ``lumen`` their hollow inside and the
    ``secretion`` in it; ``necrosis``; ``vessel`` with its ``blood`` or its empty ``vessel_lumen``;
    ``adipocyte`` and its inside; levels (not µm) of ``fat``, ``lymphoid`` and ``bleeding``; ``across``
    and ``length``: coordinates (µm) of the stroma's fibres; ``loose`` 0–1: how loose they lie;
    ``cleft``: width (µm) of the gap round nests.
    """

    edge: Floats
    nest: Floats
    gland: Floats
    lumen: Floats
    secretion: Floats
    necrosis: Floats
    vessel: Floats
    blood: Floats
    vessel_lumen: Floats
    adipocyte: Floats
    adipocyte_inside: Floats
    fat: Floats
    lymphoid: Floats
    bleeding: Floats
    across: Floats
    length: Floats
    loose: Floats
    cleft: Floats

    def regions(self) -> npt.NDArray[np.uint8]:
        """Return the region class (position in REGIONS) of every place."""
        order = (
            (self.edge < 0, "glass"),
            (self.blood > 0, "blood"),
            (self.vessel_lumen > 0, "lumen"),
            (self.vessel > 0, "stroma"),
            (self.lumen > 0, "lumen"),
            (self.necrosis > 0, "necrosis"),
            (self.nest > 0, "tumour"),
            (self.gland > 0, "gland"),
            ((self.fat > 0) & (self.adipocyte > -6), "fat"),
            (self.lymphoid > 0, "lymphoid"),
            (self.bleeding > 0, "blood"),
        )
        out = np.full(self.edge.shape, REGIONS.index("stroma"), np.uint8)
        for inside, name in reversed(order):
            out[inside] = REGIONS.index(name)
        return out

    def mapped(self, rows: Weights, columns: Weights) -> Ground:
        """Return this (coarse, two-dimensional) ground resampled by two interpolation matrices."""
        return Ground(
            **{
                f.name: resampled(getattr(self, f.name).astype(np.float32), rows, columns)
                for f in fields(self)
            }
        )


class Layout:
    """The architecture of one slide."""

    def __init__(self, spec: SlideSpec) -> None:
        self.case = Case.of(spec)
        self.zones = Zones(spec, self.case)
        self.structures = Structures(spec.seed, self.case, self.zones)
        seed = spec.seed
        self._bend = [(Field(seed, "fibre bend", 260), 150.0), (Field(seed, "fibre bow", 85), 26.0)]
        self._wave = Field(seed, "fibre wave", 17)
        self._crimp = Field(seed, "fibre crimp", 150)
        self._loose = Field(seed, "loose", 140), Field(seed, "loose fine", 40)
        self._cleft = Field(seed, "cleft", 45), Field(seed, "cleft place", 170)

    def at(self, y: Floats, x: Floats) -> Ground:
        """Return the ground at places in µm: an open grid ((n, 1) and (1, m)) or two equal flat lists."""
        zones = self.zones
        shape = np.broadcast_shapes(y.shape, x.shape)
        names = (
            "nest", "gland", "lumen", "secretion", "necrosis",
            "vessel", "blood", "vessel_lumen", "adipocyte", "adipocyte_inside",
        )  # fmt: skip
        deep = {name: np.full(shape, -_FAR) for name in names}
        crowd = np.full(shape, np.exp(-5.0))
        fat = zones.fat(y, x)
        if y.size and x.size:
            wy, wx = zones.warped(y, x)
            box = float(y.min()), float(x.min()), float(y.max()), float(x.max())
            for s in self.structures.near(*box):
                where = _round(y, x, s.y, s.x, float(s.radii.max()) + 85)
                if where is None:
                    continue
                outer, inner = s.depth(wy[where], wx[where])
                name = "nest" if s.kind == "tumour" else s.kind
                _raise(deep[name], where, outer)
                if s.kind in ("tumour", "gland"):
                    crowd[where] += np.maximum(np.exp(np.minimum(outer, 12) / 8) - np.exp(-HALO / 8), 0)
                if s.content != "none":
                    inside = {
                        ("vessel", "blood"): "blood",
                        ("vessel", "lumen"): "vessel_lumen",
                        ("adipocyte", "lumen"): "adipocyte_inside",
                        ("tumour", "necrosis"): "necrosis",
                    }.get((s.kind, s.content), "lumen")
                    _raise(deep[inside], where, inner)
                    if s.secretion >= 0:
                        _raise(deep["secretion"], where, inner - s.secretion)
        across, length = self._fibres(y, x, 8 * np.log(crowd))
        place, fine = self._cleft[1](y, x), self._cleft[0](y, x)
        return Ground(
            edge=np.broadcast_to(zones.edge(y, x), shape),
            fat=np.broadcast_to(fat, shape),
            lymphoid=np.broadcast_to(zones.lymphoid(y, x), shape),
            bleeding=np.broadcast_to(zones.bleeding(y, x), shape),
            across=across,
            length=length,
            loose=np.clip(0.45 + 0.3 * self._loose[0](y, x) + 0.12 * self._loose[1](y, x), 0, 1),
            cleft=np.clip(0.3 + 2.2 * place + 1.1 * fine, 0, 6),
            **deep,
        )

    def _fibres(self, y: Floats, x: Floats, near: Floats) -> tuple[Floats, Floats]:
        """Return coordinates (µm) across and along the fibres of the stroma.

        Fibres are the level lines of ``across``; they follow the borders of nests, whose (smoothly joined)
        depth is ``near``.
        """
        across = 0.8 * y + 0.6 * x + 1.3 * near
        for field, amplitude in self._bend:
            across = across + amplitude * field(y, x)
        length = 0.8 * x - 0.6 * y + 60 * self._crimp(y, x)
        return across + 4.5 * self._wave(y, x), length

    def fibre_angle(self, y: Floats, x: Floats) -> Floats:
        """Return the direction (radians, from the x axis towards y) of the fibres at flat places."""
        if not y.size:
            return np.zeros(0)
        step = 3.0
        places_y = np.concatenate([y + step, y - step, y, y])
        places_x = np.concatenate([x, x, x + step, x - step])
        ground = self.at(places_y, places_x)
        up, down, right, left = np.split(ground.across, 4)
        return np.arctan2(up - down, right - left) + np.pi / 2


def _raise(table: Floats, where: tuple[slice, slice] | npt.NDArray[np.int64], depth: Floats) -> None:
    table[where] = np.maximum(table[where], np.clip(depth, -_FAR, _FAR))


def _round(
    y: Floats, x: Floats, centre_y: float, centre_x: float, radius: float
) -> tuple[slice, slice] | npt.NDArray[np.int64] | None:
    """Return the index of the places within a square round a centre, or None where there are none."""
    if y.ndim == 2:
        rows = np.searchsorted(y[:, 0], [centre_y - radius, centre_y + radius])
        columns = np.searchsorted(x[0], [centre_x - radius, centre_x + radius])
        if rows[0] == rows[1] or columns[0] == columns[1]:
            return None
        return slice(rows[0], rows[1]), slice(columns[0], columns[1])
    near = np.flatnonzero((np.abs(y - centre_y) < radius) & (np.abs(x - centre_x) < radius))
    return near if near.size else None
