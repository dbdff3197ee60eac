"""The answerer that measures: every number is computed from the result, no model takes part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..evidence import ChangeKind, Evidence
from ..hierarchy import Hierarchy
from ..progress import Progress, tell
from .answer import Answer, Asked, Grounded
from .facts import measure
from .questions import Ask, Reading, follow_up, read_question
from .statements import state

NAME = "measured"
WHAT = (
    "Computed from nuclei and patches; no model. For answers in words run a vision model, with Ollama say, "
    "and choose the model server."
)


@dataclass(frozen=True)
class MeasuredAnswerer:
    """Answers from measurements, in plain sentences, and says what it cannot measure.

    There is nothing to measure without the image, and shuffling it changes no count: of the changes of the
    image only another place, and a unit left out, mean something.
    """

    name: str = NAME
    sees: Literal["result"] = "result"
    changes: frozenset[ChangeKind] = frozenset(("elsewhere", "without"))

    def answer(self, asked: Asked, *, progress: Progress | None = None) -> Iterator[str | Evidence | Answer]:
        """Yield sentences, each followed by the places it rests on, then the Answer."""
        reading = _understood(asked.result, asked.question, asked.history)
        change = asked.change
        if change.kind == "elsewhere":
            facts = measure(change.result or asked.result, change.box)
        else:
            left_out = change.box if change.kind == "without" else None
            facts = measure(asked.result, None if reading.whole_slide else asked.box, left_out)
        sentences: list[str] = []
        rows: list[list[int]] = []
        evidence: list[Evidence] = []
        at = 0  # the sentence that evidence belongs to
        for done, ask in enumerate(reading.asks):
            tell(progress, done, len(reading.asks), "statements")
            for statement in state(facts, ask):
                if isinstance(statement, Evidence):
                    known = statement in evidence
                    evidence += [] if known else [statement]
                    rows[at].append(evidence.index(statement))
                    if not known:
                        yield statement
                    continue
                if statement not in sentences:
                    yield f" {statement}" if sentences else statement
                    sentences.append(statement)
                    rows.append([])
                at = sentences.index(statement)
        tell(progress, len(reading.asks), len(reading.asks), "statements")
        yield Answer(
            question=asked.question,
            text=" ".join(sentences),
            evidence=tuple(evidence),
            answerer=self.name,
            box=facts.box,
            statements=_statements(sentences, rows),
            notes=(*_left_out(reading), *facts.notes),
        )


def _statements(sentences: list[str], rows: list[list[int]]) -> tuple[Grounded, ...]:
    spaced = (f" {said}" if i else said for i, said in enumerate(sentences))
    return tuple((said, tuple(dict.fromkeys(found))) for said, found in zip(spaced, rows, strict=True))


def _left_out(reading: Reading) -> tuple[str, ...]:
    unused = ", ".join(f"“{word}”" for word in reading.unused)
    return (f"Words that played no part in this answer: {unused}.",) if unused else ()


def _understood(result: Hierarchy, question: str, history: Sequence[Answer]) -> Reading:
    """Read the question in the light of those before; what cannot be measured is one ask, not several."""
    types = result.type_names if len(result.type_names) > 1 else ()
    reading: Reading | None = None
    for asked in (*(turn.question for turn in history), question):
        reading = follow_up(read_question(asked, types, result.phrases), reading)
    assert reading is not None
    asks: list[Ask] = []
    for ask in reading.asks:
        if ask.topic in ("refused", "limited"):
            words = ", ".join(other.detail for other in reading.asks if other.topic == ask.topic)
            ask = Ask(ask.topic, words)
        asks += [ask] if ask not in asks else []
    return replace(reading, asks=tuple(asks) or (Ask("unclear"),))
