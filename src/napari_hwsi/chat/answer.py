"""An answer with its footing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from ..errors import InputError
from ..evidence import Evidence
from ..units import Box, Mpp, as_box

RESEARCH_USE = "Research use only."

Where: TypeAlias = Literal["local", "remote"]


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom, from what, and on which places it rests.

    box: the part of the slide that was asked about, (y0, x0, y1, x1) in level-0 px;
    answerer: the name that :func:`~napari_hwsi.chat.ask` takes; model: which model wrote the
    text, None where no model did; where: whether the work ran on this machine;
    picture_mpp: (y, x) µm/px of the picture the answerer saw, None where it saw none;
    notes: what a reader must know to weigh the answer; dependence: what the check
    without the image found, None where it was not run.
    """

    question: str
    text: str
    evidence: tuple[Evidence, ...]
    answerer: str
    box: Box
    where: Where = "local"
    model: str | None = None
    picture_mpp: Mpp | None = None
    notes: tuple[str, ...] = ()
    dependence: str | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InputError(f"An answer of {self.answerer} has no text.")
        object.__setattr__(self, "box", as_box(self.box))

    def __str__(self) -> str:
        return f"{self.text.strip()}\n\n{self.footing()}"

    def footing(self) -> str:
        """Return what the text rests on: places, who answered from what, and what to keep in mind."""
        lines = []
        if self.evidence:
            lines += ["Rests on:", *(f"  {i}. {place}" for i, place in enumerate(self.evidence, 1)), ""]
        by = self.answerer if self.model is None else f"{self.answerer}, model {self.model}"
        seen = "" if self.picture_mpp is None else f", from a picture at {mpp_in_words(self.picture_mpp)}"
        lines += [f"Answered by {by} ({self.where}){seen}.", *self.notes]
        if self.dependence is not None:
            lines.append(f"Dependence on the image: {self.dependence}")
        return "\n".join([*lines, RESEARCH_USE])

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold."""
        return {**asdict(self), "disclaimer": RESEARCH_USE}


def mpp_in_words(mpp: Mpp) -> str:
    """Return a (y, x) resolution as text: one number, or both where they differ."""
    y, x = (f"{value:.3g}" for value in mpp)
    return f"{y} µm/px" if y == x else f"{y} × {x} µm/px (y, x)"
