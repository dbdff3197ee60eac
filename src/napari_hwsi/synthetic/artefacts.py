"""What goes wrong between the microtome and the scanner, laid on a slide with its truth.

Pens and the edge of the coverslip absorb or bend light above the section; a fold doubles its
thickness; an air bubble keeps the mounting medium away; a field out of focus is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..units import Box
from .noise import Field, Floats, Images, generator
from .spec import ARTEFACTS, SlideSpec, Vector
from .textures import ramp

BLURS: tuple[float, ...] = (2.0, 5.0, 12.0)
"""Sigmas, µm, of the blurred pictures between which a field out of focus is mixed."""

INKS: dict[str, Vector] = {
    "blue": (1.9, 1.15, 0.25),
    "black": (2.1, 2.15, 2.1),
    "green": (1.8, 0.55, 1.15),
    "red": (0.1, 1.6, 1.35),
}
"""Optical density per channel (natural log) of a full stroke of each pen."""

_BLURRED = 1.5  # µm; a field at least so far out of focus counts as such
_REACH = 60.0  # µm; no artefact is seen farther from its outline


@dataclass(frozen=True)
class Damage:
    """What artefacts do to a window: arrays of its shape (h, w).

    ``dye`` multiplies the dyes; ``density`` (3, h, w) is absorbed on top, natural log; ``blur`` is the
    sigma (µm) of the picture of the section below; ``kinds`` uint8: 0, or 1 + position in ARTEFACTS.
    """

    dye: Images
    density: Images
    blur: Images
    kinds: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Curve:
    """A line through points (n, 2), µm (y, x), ``half`` µm to either side, the narrower towards its ends."""

    kind: str
    points: Floats
    half: float
    strength: float
    ink: Vector = (0.0, 0.0, 0.0)
    taper: bool = False

    def box(self) -> tuple[float, float, float, float]:
        if self.kind == "coverslip edge":  # one side of it is darker, however far away
            return -np.inf, -np.inf, np.inf, np.inf
        low, high = self.points.min(0) - self.half - _REACH, self.points.max(0) + self.half + _REACH
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def depth(self, y: Floats, x: Floats) -> Floats:
        """Return how deep (µm) places lie inside the stroke."""
        best = np.full(np.broadcast_shapes(y.shape, x.shape), -np.inf)
        steps = len(self.points) - 1
        for k in range(steps):
            (ay, ax), (by, bx) = self.points[k], self.points[k + 1]
            dy, dx = by - ay, bx - ax
            along = np.clip(((y - ay) * dy + (x - ax) * dx) / (dy * dy + dx * dx), 0, 1)
            half: Floats | float = self.half
            if self.taper:
                half = self.half * np.sqrt(np.clip(np.sin(np.pi * (k + along) / steps), 0, 1))
            best = np.maximum(best, half - np.hypot(y - ay - along * dy, x - ax - along * dx))
        return best


@dataclass(frozen=True)
class _Disc:
    kind: str
    y: float
    x: float
    radius: float
    strength: float

    def box(self) -> tuple[float, float, float, float]:
        reach = 1.5 * self.radius + _REACH
        return self.y - reach, self.x - reach, self.y + reach, self.x + reach

    def depth(self, y: Floats, x: Floats) -> Floats:
        return self.radius - np.hypot(y - self.y, x - self.x)


class Artefacts:
    """The artefacts of one slide, placed by its seed."""

    def __init__(self, spec: SlideSpec) -> None:
        self.spec = spec
        size = spec.shape[0] * spec.mpp, spec.shape[1] * spec.mpp
        self._shapes: list[_Curve | _Disc] = []
        for kind, place in _PLACES.items():
            if kind in spec.artefacts:
                self._shapes += place(generator(spec.seed, kind), size)
        self._streak = Field(spec.seed, "streak", 45), Field(spec.seed, "streak fine", 11)
        self._uneven = Field(spec.seed, "uneven", 60)

    def reach(self, box: Box) -> float:
        """Return how far (µm) beyond a box of pixels light that is blurred into it may come from."""
        blurred = [s for s in self._near(box) if s.kind == "out of focus"]
        return 3.0 * max(BLURS) + 2.0 if blurred else 0.0

    def over(
        self,
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        edge: Images,
    ) -> Damage | None:
        """Return what is done to the pixels of rows and columns, None where nothing is.

        ``edge`` (h, w): µm inside the tissue. Only tissue can be folded or seen to be blurred.
        """
        shapes = self._near((int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1))
        if not shapes:
            return None
        mpp = self.spec.mpp
        y, x = (rows[:, None] + 0.5) * mpp, (columns[None, :] + 0.5) * mpp
        shape = (len(rows), len(columns))
        damage = Damage(
            np.ones(shape, np.float32),
            np.zeros((3, *shape), np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.uint8),
        )
        for thing in shapes:
            _EFFECTS[thing.kind](self, damage, thing, y, x, edge)
        return damage

    def _near(self, box: Box) -> list[_Curve | _Disc]:
        y0, x0, y1, x1 = (v * self.spec.mpp for v in box)
        return [
            shape
            for shape in self._shapes
            if (b := shape.box())[0] < y1 and b[2] > y0 and b[1] < x1 and b[3] > x0
        ]

    def _pen(self, to: Damage, s: _Curve | _Disc, y: Floats, x: Floats, edge: Images) -> None:
        assert isinstance(s, _Curve)
        depth = s.depth(y, x) + 4 * self._uneven(y, x)
        # Ink gathers at the border of a stroke, and creeps a little beyond it.
        rim = 1 + 0.35 * np.exp(-(((depth - 16) / 14) ** 2))
        body = ramp(depth, 10.0) * rim * (1 + 0.10 * self._streak[0](y, x) + 0.04 * self._streak[1](y, x))
        amount = s.strength * np.maximum(body, 0.18 * ramp(depth + 14, 12.0))
        to.density[:] += amount.astype(np.float32) * np.array(s.ink, np.float32)[:, None, None]
        _mark(to, "pen", depth > -14)

    def _blurred(self, to: Damage, s: _Curve | _Disc, y: Floats, x: Floats, edge: Images) -> None:
        assert isinstance(s, _Disc)
        depth = s.depth(y, x) + 0.12 * s.radius * self._uneven(y / 4, x / 4)
        sigma = s.strength * ramp(depth - 0.15 * s.radius, 0.3 * s.radius)
        np.maximum(to.blur, sigma, out=to.blur)
        _mark(to, "out of focus", (sigma >= _BLURRED) & (edge > 0))

    def _fold(self, to: Damage, s: _Curve | _Disc, y: Floats, x: Floats, edge: Images) -> None:
        depth = s.depth(y, x) + 2.5 * self._uneven(y, x)
        crease = 1 + 0.25 * np.exp(-(((depth - 3) / 4) ** 2))
        to.dye[:] *= 1 + np.float32(s.strength) * ramp(depth, 5.0) * crease.astype(np.float32)
        _mark(to, "fold", (depth > 0) & (edge > 0))

    def _bubble(self, to: Damage, s: _Curve | _Disc, y: Floats, x: Floats, edge: Images) -> None:
        depth = s.depth(y, x) + 1.5 * self._uneven(y, x)
        ring = np.exp(-(((depth - 9) / 6) ** 2)) - 0.12 * np.exp(-(((depth - 26) / 7) ** 2))
        inside = ramp(depth - 5, 10.0)
        to.density[:] += (s.strength * ring + 0.05 * inside).astype(np.float32)
        to.dye[:] *= 1 - np.float32(0.2) * inside
        np.maximum(to.blur, np.float32(2.0) * inside, out=to.blur)
        _mark(to, "air bubble", depth > 0)

    def _edge(self, to: Damage, s: _Curve | _Disc, y: Floats, x: Floats, edge: Images) -> None:
        assert isinstance(s, _Curve)
        (ay, ax), (by, bx) = s.points[0], s.points[-1]
        off = ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / np.hypot(by - ay, bx - ax)
        line = s.strength * np.exp(-((off / 9) ** 2)) - 0.1 * np.exp(-(((off + 18) / 7) ** 2))
        shadow = 0.3 * np.exp(-np.maximum(off, 0) / 22) * ramp(off, 12.0) + 0.04 * ramp(off, 12.0)
        to.density[:] += (line + shadow).astype(np.float32)
        _mark(to, "coverslip edge", (off > -s.half) & (off < 2 * s.half))


def _mark(to: Damage, kind: str, where: npt.NDArray[np.bool_]) -> None:
    """Name a place: what hides the section most comes first in ARTEFACTS, and keeps its place."""
    number = ARTEFACTS.index(kind) + 1
    to.kinds[where & ((to.kinds == 0) | (to.kinds > number))] = number


def _bend(start: Floats, middle: Floats, stop: Floats, n: int = 14) -> Floats:
    """Return points of the quadratic Bézier curve of three points."""
    t = np.linspace(0, 1, n)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * stop)


def _pens(rng: np.random.Generator, size: tuple[float, float]) -> list[_Curve | _Disc]:
    """One stroke of each ink: from the glass into the tissue, and a ring round a place of it."""
    h, w = size
    small = min(size)
    strokes: list[_Curve | _Disc] = []
    turn = rng.uniform(0, 2 * np.pi)
    for k, name in enumerate(rng.permutation(sorted(INKS))):
        half = float(np.clip(rng.uniform(0.012, 0.022) * small, 25, 350))
        strength = float(rng.uniform(0.45, 1.0))
        angle = turn + (k + rng.uniform(-0.2, 0.2)) * np.pi / 2
        out = np.array([0.5 + 0.46 * np.sin(angle), 0.5 + 0.46 * np.cos(angle)])
        if k % 2:
            centre, radius = 0.5 + 0.5 * (out - 0.5), 0.08
            t = np.linspace(0, 2 * np.pi * rng.uniform(0.8, 1.0), 20)[:, None]
            points: Floats = centre + radius * np.hstack([np.sin(t), rng.uniform(0.7, 1.3) * np.cos(t)])
        else:
            side = np.array([np.cos(angle), -np.sin(angle)]) * rng.uniform(-0.25, 0.25)
            points = _bend(out + side, out, 0.5 + 0.4 * (out - 0.5) - side)
        strokes.append(_Curve("pen", points * (h, w), half, strength, INKS[str(name)]))
    return strokes


def _fields(rng: np.random.Generator, size: tuple[float, float]) -> list[_Curve | _Disc]:
    small = min(size)
    turn = rng.uniform(0, 2 * np.pi)
    return [
        _Disc(
            "out of focus",
            size[0] * (0.5 + 0.22 * np.sin(turn + 2.1 * k)),
            size[1] * (0.5 + 0.22 * np.cos(turn + 2.1 * k)),
            float(rng.uniform(0.07, 0.11) * small),
            sigma,
        )
        for k, sigma in enumerate((4.0, 7.0, 12.0))
    ]


def _folds(rng: np.random.Generator, size: tuple[float, float]) -> list[_Curve | _Disc]:
    folds: list[_Curve | _Disc] = []
    for _ in range(3):
        middle = 0.5 + rng.uniform(-0.22, 0.22, 2)
        angle = rng.uniform(0, np.pi)
        along = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform(0.1, 0.17)
        bow = np.array([along[1], -along[0]]) * rng.uniform(-0.5, 0.5)
        points = _bend(middle - along, middle + bow, middle + along) * size
        half = float(np.clip(0.008 * min(size), 20, 60) * rng.uniform(0.8, 1.3))
        folds.append(_Curve("fold", points, half, float(rng.uniform(0.9, 1.3)), taper=True))
    return folds


def _bubbles(rng: np.random.Generator, size: tuple[float, float]) -> list[_Curve | _Disc]:
    small = min(size)
    bubbles: list[_Curve | _Disc] = []
    turn = rng.uniform(0, 2 * np.pi)
    for k, out in enumerate((0.47, 0.22, 0.3, 0.42)):  # on the glass, and on the tissue
        angle = turn + (k + rng.uniform(-0.3, 0.3)) * np.pi / 2
        y, x = 0.5 + out * np.sin(angle), 0.5 + out * np.cos(angle)
        radius = float(np.clip(rng.uniform(0.02, 0.06) * small, 45, 900))
        bubbles.append(_Disc("air bubble", y * size[0], x * size[1], radius, float(rng.uniform(0.7, 1.6))))
    return bubbles


def _edges(rng: np.random.Generator, size: tuple[float, float]) -> list[_Curve | _Disc]:
    """One edge of the coverslip along a side of the slide, its outside there."""
    h, w = size
    inset, slope = rng.uniform(0.05, 0.12), rng.uniform(-0.03, 0.03)
    line = {
        0: [(inset + slope, 1.0), (inset - slope, 0.0)],
        1: [(1 - inset + slope, 0.0), (1 - inset - slope, 1.0)],
        2: [(0.0, inset + slope), (1.0, inset - slope)],
        3: [(1.0, 1 - inset + slope), (0.0, 1 - inset - slope)],
    }[int(rng.integers(4))]
    return [_Curve("coverslip edge", np.array(line) * (h, w), 14.0, float(rng.uniform(0.8, 1.6)))]


_PLACES = {
    "pen": _pens,
    "out of focus": _fields,
    "fold": _folds,
    "air bubble": _bubbles,
    "coverslip edge": _edges,
}
_EFFECTS = {
    "pen": Artefacts._pen,
    "out of focus": Artefacts._blurred,
    "fold": Artefacts._fold,
    "air bubble": Artefacts._bubble,
    "coverslip edge": Artefacts._edge,
}
