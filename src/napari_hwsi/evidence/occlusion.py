"""What an answer rests on, found by leaving out one unit of the image at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..progress import Progress, tell
from .change import Change
from .evidence import Evidence

UnitScale: TypeAlias = Literal["patch", "region"]
Measure: TypeAlias = Literal["log-probability", "difference"]

Scoring: TypeAlias = Callable[[Sequence[Change]], Sequence[float]]
"""Scores a batch of changes: how much the answer changes under each."""

_WORDS: dict[Measure, str] = {
    "log-probability": "without it the answer is less likely by {:.3g} (log-probability)",
    "difference": "without it the answer differs by {:.3g} of 1",
}


@dataclass(frozen=True)
class Occlusion:
    """How much an answer changes without each unit.

    text: the answer with all of them; boxes: int64 (N, 4), level-0 px; scores: float32 (N,), higher where the
    unit matters more. measure: 'log-probability', the fall in natural log-probability of the answer, negative
    where it becomes likelier; 'difference', 0 to 1, of the answer's text
    (:func:`~napari_hwsi.evidence.difference`).
    """

    question: str
    text: str
    scale: UnitScale
    boxes: NDArray[np.int64]
    scores: NDArray[np.float32]
    measure: Measure

    def evidence(self, most: int = 8) -> tuple[Evidence, ...]:
        """Return the units that matter most, highest first; those without which nothing changes are none."""
        order = np.argsort(-self.scores, kind="stable")[:most]
        return tuple(
            Evidence(self.scale, self.boxes[i].tolist(), score, "occlusion", self._note(score))
            for i in order
            if (score := float(self.scores[i])) > 0
        )

    def __str__(self) -> str:
        units = "patches" if self.scale == "patch" else "regions"
        what = "make the answer less likely" if self.measure == "log-probability" else "change the answer"
        return f"Left out one at a time, {int((self.scores > 0).sum())} of {len(self.boxes)} {units} {what}."

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold."""
        return {**vars(self), "boxes": self.boxes.tolist(), "scores": self.scores.tolist()}

    def _note(self, score: float) -> str:
        return _WORDS[self.measure].format(score)


def occlusion(
    boxes: NDArray[np.int64], scoring: Scoring, *, batch: int = 8, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Return the score of leaving out each of ``boxes`` (N, 4), level-0 px, float32 (N,).

    The units are left out one at a time (Zeiler and Fergus, ECCV 2014, section 4.2), ``batch`` of them in one
    call of ``scoring``. Raises InputError for a batch below one, and what ``scoring`` and ``progress`` raise.
    """
    if batch < 1:
        raise InputError("A batch holds at least one unit.")
    changes = [Change("without", (y0, x0, y1, x1)) for y0, x0, y1, x1 in boxes.tolist()]
    scores: list[float] = []
    while len(scores) < len(changes):
        tell(progress, len(scores), len(changes), "occlusion")
        scores += scoring(changes[len(scores) : len(scores) + batch])
    tell(progress, len(scores), len(changes), "occlusion")
    return np.array(scores, np.float32)
