"""One place that an answer rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ..errors import InputError
from ..units import Box, as_box

ScaleName: TypeAlias = Literal["cell", "patch", "region", "slide"]
EvidenceSource: TypeAlias = Literal["attention", "filter", "occlusion", "crop", "measurement"]

SCALES: tuple[ScaleName, ...] = get_args(ScaleName)
SOURCES: tuple[EvidenceSource, ...] = get_args(EvidenceSource)


@dataclass(frozen=True)
class Evidence:
    """A place on the slide that a statement rests on.

    scale: what kind of unit the place is; box: (y0, x0, y1, x1), half open, level-0 px;
    score: how much it weighs, in the unit that ``note`` names, None where nothing was scored;
    source: how it was found; note: what is there, in a few words.
    Raises InputError for an unknown scale or source, an empty box or a score that is not finite.
    """

    scale: ScaleName
    box: Box
    score: float | None
    source: EvidenceSource
    note: str

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"The scale of evidence is one of {', '.join(SCALES)}, not {self.scale!r}.")
        if self.source not in SOURCES:
            raise InputError(f"The source of evidence is one of {', '.join(SOURCES)}, not {self.source!r}.")
        if self.score is not None and not math.isfinite(self.score):
            raise InputError(f"A score of evidence is a finite number or None, not {self.score!r}.")
        object.__setattr__(self, "box", as_box(self.box))
        if self.score is not None:
            object.__setattr__(self, "score", float(self.score))

    def __str__(self) -> str:
        y0, x0, y1, x1 = self.box
        return f"{self.scale} at y {y0}–{y1}, x {x0}–{x1} px ({self.source}): {self.note}"
