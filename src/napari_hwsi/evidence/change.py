"""What is done to the image before the same question is asked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..errors import InputError
from ..units import Box, as_box

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

ChangeKind: TypeAlias = Literal["unchanged", "nothing", "elsewhere", "shuffled", "without"]

CHANGES: tuple[ChangeKind, ...] = get_args(ChangeKind)


@dataclass(frozen=True)
class Change:
    """One change of what an answerer sees; question, conversation and measured facts stay as they were.

    kind: 'unchanged', to see how steady the answers are; 'nothing', the image is withheld; 'elsewhere', that
    of another place stands for it; 'shuffled', its pieces are; 'without', one unit of it is left out.
    box: the other place, or the unit, (y0, x0, y1, x1) in level-0 px; None with 'elsewhere' is a whole slide.
    result: another slide's, for 'elsewhere'; None is the same. seed: of the shuffling.
    Raises InputError for an unknown kind, or a unit that is not given.
    """

    kind: ChangeKind = "unchanged"
    box: Box | None = None
    result: Hierarchy | None = field(default=None, repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in CHANGES:
            raise InputError(f"A change of the image is one of {', '.join(CHANGES)}, not {self.kind!r}.")
        if self.box is not None:
            object.__setattr__(self, "box", as_box(self.box))
        elif self.kind == "without":
            raise InputError("Say which unit is left out: Change('without', box).")

    def __str__(self) -> str:
        if self.kind == "elsewhere":
            slide = "" if self.result is None else "another slide"
            return f"with {slide or 'another place'}{_at(self.box)}"
        if self.kind == "without":
            return f"without the place{_at(self.box)}"
        return {
            "unchanged": "asked again",
            "nothing": "without the image",
            "shuffled": "with its pieces shuffled",
        }[self.kind]


UNCHANGED = Change()


def _at(box: Box | None) -> str:
    return "" if box is None else f" at y {box[0]}–{box[2]}, x {box[1]}–{box[3]} px"
