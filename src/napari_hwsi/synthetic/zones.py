"""The large map of a slide: where tissue ends, and where tumour, fat and lymphoid tissue lie.

All values are smooth functions of the place in µm; positive means inside.
"""

from __future__ import annotations

import numpy as np

from .case import Case
from .noise import Field, Floats, generator
from .spec import SlideSpec

ABSENT = -1e3


class Zones:
    """Large-scale fields of one slide."""

    def __init__(self, spec: SlideSpec, case: Case) -> None:
        seed = spec.seed
        self.case = case
        self.size = (spec.shape[0] * spec.mpp, spec.shape[1] * spec.mpp)
        small = min(self.size)
        rng = generator(seed, "zones")
        self._exponent = float(rng.uniform(2.0, 3.2))
        self._share = rng.uniform(0.36, 0.41, 2)
        angle = rng.uniform(0, 2 * np.pi)
        self._tumour_axis = (np.sin(angle), np.cos(angle))
        turn = angle + rng.choice([-1, 1]) * rng.uniform(0.5, 0.8) * np.pi
        self._fat_axis = (np.sin(turn), np.cos(turn))
        self._fat_level = float(rng.uniform(0.62, 0.85))
        self._tumour_level = float(rng.uniform(-0.05, 0.25))
        broad = float(np.clip(0.2 * small, 150, 3000))
        self._outline = [
            (Field(seed, "outline broad", 1.1 * broad), 0.055 * small),
            (Field(seed, "outline lobes", 0.35 * broad), 0.02 * small),
            (Field(seed, "outline", 90), 14.0),
            (Field(seed, "outline fine", 22), 4.5),
            (Field(seed, "outline frayed", 7), 1.7),
        ]
        self._tear = Field(seed, "tear", 300), Field(seed, "tear place", 450), Field(seed, "tear edge", 14)
        self._tumour = Field(seed, "tumour", broad), Field(seed, "tumour edge", 190)
        self._fat = Field(seed, "fat", 0.8 * broad), Field(seed, "fat edge", 160)
        self._lymphoid = Field(seed, "lymphoid", 330), Field(seed, "lymphoid edge", 80)
        self._bleeding = Field(seed, "bleeding", 260), Field(seed, "bleeding edge", 45)
        self._infiltrate = Field(seed, "infiltrate", 150)
        self._cellularity = Field(seed, "cellularity", 45)
        self._lobule = Field(seed, "lobule", 260)
        self._warp = [
            (Field(seed, "warp y", 75), Field(seed, "warp x", 75), 17.0),
            (Field(seed, "warp fine y", 19), Field(seed, "warp fine x", 19), 2.4),
        ]

    def _along(self, axis: tuple[float, float], y: Floats, x: Floats) -> Floats:
        h, w = self.size
        return axis[0] * (2 * y / h - 1) + axis[1] * (2 * x / w - 1)

    def edge(self, y: Floats, x: Floats) -> Floats:
        """Return roughly the distance (µm) to the border of the tissue, negative on the glass."""
        h, w = self.size
        dy, dx = np.abs(2 * y / h - 1) / (2 * self._share[0]), np.abs(2 * x / w - 1) / (2 * self._share[1])
        n = self._exponent
        inside = (1 - (dy**n + dx**n) ** (1 / n)) * 0.5 * min(h, w)
        for field, amplitude in self._outline:
            inside = inside + amplitude * field(y, x)
        ridge, place, frayed = self._tear
        open_here = place(y, x) - 1.35
        tear = np.abs(ridge(y, x)) * 300 - np.where(open_here > 0, 16, 150) * open_here + 1.5 * frayed(y, x)
        # A tear is a thin gap along a line where one field vanishes; the glass border keeps its own fringe.
        border = np.minimum(np.minimum(y, h - y), np.minimum(x, w - x)) - 8
        return np.minimum(np.minimum(inside, tear), border)

    def tumour(self, y: Floats, x: Floats) -> Floats:
        """Return how far inside the tumour a place is (about -2 to 2)."""
        broad, edge = self._tumour
        return (
            1.1 * self._along(self._tumour_axis, y, x)
            + 0.55 * broad(y, x)
            + 0.16 * edge(y, x)
            + self._tumour_level
        )

    def fat(self, y: Floats, x: Floats) -> Floats:
        """Return how far inside fat a place is; ABSENT everywhere in a case without fat."""
        if not self.case.fat:
            return np.full(np.broadcast_shapes(y.shape, x.shape), ABSENT)
        broad, edge = self._fat
        level = self._along(self._fat_axis, y, x) + 0.28 * broad(y, x) + 0.10 * edge(y, x) - self._fat_level
        return np.minimum(level, -0.25 - self.tumour(y, x))

    def lymphoid(self, y: Floats, x: Floats) -> Floats:
        """Return how far inside a lymphoid aggregate a place is; denser round the tumour's edge."""
        if not self.case.aggregates:
            return np.full(np.broadcast_shapes(y.shape, x.shape), ABSENT)
        broad, edge = self._lymphoid
        front = np.exp(-(((self.tumour(y, x) + 0.15) / 0.45) ** 2))
        return broad(y, x) + 0.22 * edge(y, x) + 0.9 * front - 1.75

    def bleeding(self, y: Floats, x: Floats) -> Floats:
        """Return how far inside a haemorrhage a place is."""
        if not self.case.haemorrhage:
            return np.full(np.broadcast_shapes(y.shape, x.shape), ABSENT)
        broad, edge = self._bleeding
        return broad(y, x) + 0.3 * edge(y, x) - 2.0 - np.clip(2 + 3 * self.lymphoid(y, x), 0, 3)

    def infiltrate(self, y: Floats, x: Floats) -> Floats:
        """Return the share (0 to 1) of the cells of the stroma that are lymphocytes."""
        front = np.exp(-(((self.tumour(y, x) - 0.1) / 0.6) ** 2))
        return np.clip(
            self.case.infiltrate * (0.35 + 0.9 * front) * (1 + 0.7 * self._infiltrate(y, x)), 0.02, 0.9
        )

    def cellularity(self, y: Floats, x: Floats) -> Floats:
        """Return how many fibroblasts the stroma has, 1 being ordinary."""
        return np.exp(0.55 * self._cellularity(y, x))

    def lobule(self, y: Floats, x: Floats) -> Floats:
        """Return how far inside a lobule of normal glands a place is."""
        return self._lobule(y, x) + 0.15

    def warped(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return the places where the undistorted structures lie that are seen at (y, x)."""
        dy, dx = np.zeros(1), np.zeros(1)
        for field_y, field_x, amplitude in self._warp:
            dy = dy + amplitude * field_y(y, x)
            dx = dx + amplitude * field_x(y, x)
        return y + dy, x + dx

    def unwarped(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return the places that `warped` maps to (y, x), by fixed-point iteration."""
        v, u = y, x
        for _ in range(6):
            wy, wx = self.warped(v, u)
            v, u = v + 0.8 * (y - wy), u + 0.8 * (x - wx)
        return v, u
