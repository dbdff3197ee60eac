"""What a synthetic slide is made from: one seed, a size, a stain, a scanner."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..errors import InputError
from .noise import generator

Vector = tuple[float, float, float]

ARTEFACTS: tuple[str, ...] = ("pen", "out of focus", "fold", "air bubble", "coverslip edge")
"""Kinds of artefact a slide can be made with; a map of them holds 1 + the position in this tuple."""


@dataclass(frozen=True)
class Stain:
    """An H&E stain: optical density per channel (natural log) of one unit of each dye.

    The defaults lie where the method of Macenko et al. (ISBI 2009) finds the dyes of ordinary
    H&E slides. ``erythrocytes`` is the more orange eosin of red blood cells.
    """

    haematoxylin: Vector = (0.74, 0.95, 0.41)
    eosin: Vector = (0.17, 0.88, 0.30)
    erythrocytes: Vector = (0.10, 0.80, 0.56)
    strength: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        densities = (*self.haematoxylin, *self.eosin, *self.erythrocytes, *self.strength)
        if not all(math.isfinite(v) and 0 <= v <= 4 for v in densities):
            raise InputError("The optical densities of a stain must lie between 0 and 4.")

    @classmethod
    def of_seed(cls, seed: int) -> Stain:
        """Return the stain of one laboratory and day: hue and strength vary as between real slides."""
        rng = generator(seed, "stain")
        hue = rng.uniform(0, 1)
        base = cls()
        shift = rng.normal(0, 0.02, 6)
        return cls(
            haematoxylin=(
                base.haematoxylin[0] + 0.12 * (hue - 0.5) + shift[0],
                base.haematoxylin[1] - 0.10 * (hue - 0.5) + shift[1],
                base.haematoxylin[2] + shift[2],
            ),
            eosin=(
                base.eosin[0] + shift[3],
                base.eosin[1] + shift[4],
                base.eosin[2] + 0.14 * (rng.uniform() - 0.4) + shift[5],
            ),
            strength=(float(rng.uniform(1.0, 1.22)), float(rng.uniform(0.85, 1.15))),
        )


@dataclass(frozen=True)
class Scanner:
    """The instrument: blur (sigma, µm on the ground), sharpening, grain (grey levels), lamp, JPEG quality."""

    blur_um: float = 0.33
    sharpening: float = 0.6
    grain: float = 0.8
    white: Vector = (242.0, 240.0, 243.0)
    jpeg_quality: int = 70

    def __post_init__(self) -> None:
        if not (0 <= self.blur_um <= 3 and 0 <= self.sharpening <= 2 and 0 <= self.grain <= 20):
            raise InputError(
                "A scanner blurs by 0 to 3 µm, sharpens by 0 to 2 and has 0 to 20 grey levels of grain."
            )
        if not all(150 <= v <= 255 for v in self.white):
            raise InputError("The white of a scanner lies between 150 and 255 in each channel.")
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError("JPEG quality runs from 1 to 100.")


@dataclass(frozen=True)
class SlideSpec:
    """Everything that decides the pixels of a synthetic slide.

    ``shape`` is (Y, X) at level 0, ``mpp`` µm per pixel (the same tissue at any mpp of one size
    on the ground); ``grade`` and ``stain`` are drawn from the seed where they are None.
    ``artefacts`` are the kinds, out of ARTEFACTS, of which some are laid on the slide.
    """

    seed: int = 0
    shape: tuple[int, int] = (6144, 6144)
    mpp: float = 0.5
    grade: int | None = None
    stain: Stain | None = None
    scanner: Scanner = field(default_factory=Scanner)
    artefacts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.artefacts) <= set(ARTEFACTS):
            raise InputError(f"Artefacts are chosen from {', '.join(ARTEFACTS)}; not {self.artefacts!r}.")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"The seed is a whole number from 0 to 2**63 - 1, not {self.seed}.")
        if len(self.shape) != 2 or not all(64 <= n <= 2**20 for n in self.shape):
            raise InputError(f"A synthetic slide is (Y, X) of 64 to 1,048,576 px a side, not {self.shape}.")
        if not 0.1 <= self.mpp <= 1.0:
            raise InputError(
                f"A synthetic slide has 0.1 to 1 µm per pixel, not {self.mpp}; "
                "write_slide adds the coarser levels."
            )
        if self.grade not in (None, 1, 2, 3):
            raise InputError(f"The grade is 1, 2, 3 or None (drawn from the seed), not {self.grade}.")
