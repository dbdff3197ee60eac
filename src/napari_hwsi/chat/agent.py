"""The answerer that walks: a vision model that looks at many places before it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..evidence import ChangeKind, Evidence
from ..progress import Progress
from .answer import Answer, Asked
from .server import ChatServer, server_and_model
from .walk import Walk, walk

FORM = "agent:<url>#<model>"
WHAT = (
    "A vision model behind an address that walks the slide before it answers: "
    "it is sent whatever place it asks to see."
)


@dataclass(frozen=True)
class AgentAnswerer:
    """A vision model that walks the slide before it answers, named ``agent:<url>#<model>``."""

    server: ChatServer
    model: str
    sees: Literal["picture"] = "picture"
    changes: frozenset[ChangeKind] = frozenset(("unchanged", "elsewhere"))

    @classmethod
    def from_name(cls, name: str) -> AgentAnswerer:
        """Read ``agent:<url>#<model>``. Raises InputError for anything else."""
        return cls(*server_and_model(name, FORM))

    @property
    def name(self) -> str:
        """The name to ask it by."""
        return f"agent:{self.server.url}#{self.model}"

    def answer(self, asked: Asked, *, progress: Progress | None = None) -> Iterator[str | Evidence | Answer]:
        """Yield the answer when the walk is over, its places, then the Answer."""
        result, box = asked.result, asked.box
        if asked.change.kind == "elsewhere":
            result, box = asked.change.result or result, asked.change.box
        question = asked.question
        if asked.history:
            before = "\n".join(f"Q: {turn.question}\nA: {turn.text}" for turn in asked.history)
            question = f"{question}\n(Asked before:\n{before})"
        walked = walk(result, question, f"{self.server.url}#{self.model}", box, progress=progress)
        yield walked.answer
        evidence = places_of(walked)
        yield from evidence
        yield Answer(
            question=asked.question,
            text=walked.answer,
            evidence=evidence,
            answerer=self.name,
            box=result.slide.bounds if box is None else box,
            where=self.server.where,
            model=self.model,
            statements=((walked.answer, tuple(range(len(evidence)))),),
            notes=(
                "Written by a model that walked the slide: its words are not measurements.",
                f"It made {len(walked.steps)} steps; the walk ended because {walked.ended}.",
            ),
        )


def places_of(walked: Walk) -> tuple[Evidence, ...]:
    """Return the places that a walk rests on: those marked, else those looked at closest, the last first."""
    marks = tuple(Evidence("region", box, None, "crop", note or "marked") for box, note in walked.marks)
    if marks:
        return marks
    looks = [step for step in walked.steps if step.kind == "look" and step.box is not None]
    return tuple(
        Evidence("region", step.box, None, "crop", "looked at")
        for step in reversed(looks[-3:])
        if step.box is not None
    )
