"""An answer with its footing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import InputError
from ..evidence import UNCHANGED, Change, Dependence, Evidence, Repeats
from ..units import Box, Mpp, as_box

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

RESEARCH_USE = "Research use only."

Where: TypeAlias = Literal["local", "remote"]

Grounded: TypeAlias = tuple[str, tuple[int, ...]]
"""A piece of an answer's text, and the rows of its evidence that this piece rests on."""


@dataclass(frozen=True)
class Asked:
    """All that an answerer is told.

    box: the part of the slide it is about, (y0, x0, y1, x1) in level-0 px, within the slide; None: the whole
    slide; history: earlier answers of the conversation, oldest first; change: how the image is changed
    before it is looked at, for checks; 'unchanged' is the image as it is; choices: the log-probabilities of
    the first tokens are wanted too, where the answerer can tell them.
    """

    result: Hierarchy
    question: str
    box: Box | None = None
    history: tuple[Answer, ...] = ()
    change: Change = UNCHANGED
    choices: bool = False


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom, from what, and on which places it rests.

    box: the part of the slide that was asked about, (y0, x0, y1, x1) in level-0 px;
    answerer: the name that :func:`~napari_hwsi.chat.ask` takes; model: which model wrote the
    text, None where no model did; where: whether the work ran on this machine;
    picture_mpp: (y, x) µm/px of the picture the answerer saw, None where it saw none;
    notes: what a reader must know to weigh the answer; dependence: what :func:`~napari_hwsi.chat.check`
    found, None where it was not run; repeats: what :func:`~napari_hwsi.chat.repeat` found; choices: the
    likeliest first tokens with their natural log-probabilities, the answer's own first, where they were
    asked for and the model tells them; statements: the text piece by piece, without the places it names,
    each with what it rests on; asked: what was asked, to ask it again; None where the answer was
    read from a file.
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
    dependence: Dependence | None = None
    repeats: Repeats | None = None
    choices: tuple[tuple[str, float], ...] = ()
    statements: tuple[Grounded, ...] = ()
    asked: Asked | None = field(default=None, repr=False, compare=False)

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
        elif self.model is not None:
            lines.append("Whether the answer depends on the image was not checked.")
        if self.repeats is not None:
            lines.append(f"Asked again: {self.repeats}")
        if self.choices:
            lines.append(f"It began with the likeliest of: {choices_in_words(self.choices)}.")
        return "\n".join([*lines, RESEARCH_USE])

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold."""
        values = asdict(replace(self, dependence=None, repeats=None, asked=None))
        del values["asked"]
        values["dependence"] = None if self.dependence is None else self.dependence.to_dict()
        values["repeats"] = None if self.repeats is None else self.repeats.to_dict()
        return {**values, "disclaimer": RESEARCH_USE}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """Read what :meth:`to_dict` gave, through JSON or not. Raises InputError for anything else."""
        try:
            kept = {key: value for key, value in values.items() if key != "disclaimer"}
            kept["evidence"] = tuple(Evidence(**place) for place in values["evidence"])
            kept["notes"] = tuple(map(str, values["notes"]))
            if values["picture_mpp"] is not None:
                kept["picture_mpp"] = (float(values["picture_mpp"][0]), float(values["picture_mpp"][1]))
            if values["dependence"] is not None:
                kept["dependence"] = Dependence.from_dict(values["dependence"])
            if values["repeats"] is not None:
                kept["repeats"] = Repeats.from_dict(values["repeats"])
            kept["statements"] = tuple((str(said), tuple(rows)) for said, rows in values["statements"])
            kept["choices"] = tuple((str(token), float(value)) for token, value in values["choices"])
            return cls(**kept)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"What was read is not an answer of this version: {error!r}.") from error


def choices_in_words(choices: Sequence[tuple[str, float]]) -> str:
    """Return what an answer could have begun with, with probabilities."""
    return ", ".join(f"“{token.strip()}” {math.exp(value):.0%}" for token, value in choices[:5])


def mpp_in_words(mpp: Mpp) -> str:
    """Return a (y, x) resolution as text: one number, or both where they differ."""
    y, x = (f"{value:.3g}" for value in mpp)
    return f"{y} µm/px" if y == x else f"{y} × {x} µm/px (y, x)"
