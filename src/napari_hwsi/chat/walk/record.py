"""A walk as it was made: kept, read again, replayed. A person's own viewing is kept in the same form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...disk import write_whole
from ...errors import InputError, StoreError
from ...units import Box, Mpp, as_box

FORMAT = "napari-hwsi walk 1"
Walker: TypeAlias = Literal["model", "person"]


@dataclass(frozen=True)
class Step:
    """One step. kind: the action ('look', 'measure', …; 'reply' for one that could not be read); box: where,
    (y0, x0, y1, x1) level-0 px, None where nowhere; mpp: (y, x) µm/px at which it was seen, None where it was
    not; said: what the walker said of it; told: what came back; seconds: since the walk began.
    """

    kind: str
    box: Box | None
    mpp: Mpp | None = None
    said: str = ""
    told: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        where = "" if self.box is None else " y {}–{}, x {}–{} px".format(*_yyxx(self.box))
        seen = "" if self.mpp is None else f" at {self.mpp[0]:.3g} µm/px"
        return f"{self.kind}{where}{seen}{f': {self.said}' if self.said else ''}"


@dataclass(frozen=True)
class Walk:
    """A whole walk. fingerprint: of the slide; question: what was asked, "" for plain viewing; walker: who
    walked; model: which model; steps: in their order; answer: "" while there is none; ended: why it ended.
    """

    fingerprint: str
    question: str
    walker: Walker = "model"
    model: str | None = None
    steps: tuple[Step, ...] = ()
    answer: str = ""
    ended: str = ""
    structured: dict[str, Any] = field(default_factory=dict)

    def with_step(self, step: Step) -> Walk:
        """Return the walk with one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def marks(self) -> tuple[tuple[Box, str], ...]:
        """The places that were marked, with their notes."""
        return tuple((step.box, step.said) for step in self.steps if step.kind == "mark" and step.box)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all. Raises StoreError where the disk refuses."""
        content = {"format": FORMAT} | asdict(self)
        try:
            write_whole(Path(path), (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise StoreError(f"The walk cannot be saved to {path}: {error.strerror or error}.") from error

    @classmethod
    def load(cls, path: str | Path) -> Walk:
        """Read what :meth:`save` wrote. Raises InputError for another file."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            content["steps"] = tuple(_step(step) for step in content["steps"])
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a walk that napari-hwsi saved: {error}.") from error


def _step(values: Mapping[str, Any]) -> Step:
    given = dict(values)
    given["box"] = None if given["box"] is None else as_box(given["box"])
    given["mpp"] = None if given["mpp"] is None else (float(given["mpp"][0]), float(given["mpp"][1]))
    return Step(**given)


def _yyxx(box: Box) -> tuple[int, int, int, int]:
    return box[0], box[2], box[1], box[3]
