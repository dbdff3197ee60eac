"""The conversations about a slide, kept beside its result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..disk import write_whole
from ..errors import InputError, StoreError
from ..hierarchy import Hierarchy
from ..units import as_box
from .answer import Answer, Asked

FORMAT = 1
_LONGEST_TITLE = 60


@dataclass(frozen=True)
class Conversation:
    """Questions that were asked one after the other, each with its answer, oldest first."""

    answers: tuple[Answer, ...] = ()

    @property
    def title(self) -> str:
        """Its first question, cut to a line."""
        if not self.answers:
            return "New conversation"
        question = " ".join(self.answers[0].question.split())
        cut = len(question) > _LONGEST_TITLE
        return f"{question[: _LONGEST_TITLE - 1]}…" if cut else question


def conversations_file(result: Hierarchy) -> Path:
    """Return where the conversations about a result are kept: beside it, ``<name>.hwsi.chat.json``."""
    return result.path.with_name(f"{result.path.name.removesuffix('.zarr')}.chat.json")


def read_conversations(result: Hierarchy) -> tuple[Conversation, ...]:
    """Return the conversations about a result, oldest first; their answers can be checked and asked again.

    Raises StoreError for a file that cannot be read, is of a later version, or is about another slide.
    """
    file = conversations_file(result)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT or kept["slide"] != result.slide_facts["fingerprint"]:
            raise ValueError("it is of another version, or about another slide")
        return tuple(_conversation(result, turns) for turns in kept["conversations"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise StoreError(
            f"The conversations in {file} cannot be read: {error}. Move that file away to begin anew."
        ) from error


def keep_conversations(result: Hierarchy, conversations: Sequence[Conversation]) -> None:
    """Write the conversations about a result; those without an answer are left out. Raises StoreError."""
    file = conversations_file(result)
    turns = [[_kept(answer) for answer in each.answers] for each in conversations if each.answers]
    facts = {"format": FORMAT, "slide": result.slide_facts["fingerprint"], "conversations": turns}
    try:
        write_whole(file, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise StoreError(f"The conversations cannot be kept in {file}: {error}.") from error


def _kept(answer: Answer) -> dict[str, Any]:
    asked = answer.asked
    return answer.to_dict() | {"asked_box": None if asked is None or asked.box is None else list(asked.box)}


def _conversation(result: Hierarchy, turns: list[dict[str, Any]]) -> Conversation:
    answers: list[Answer] = []
    for turn in turns:
        box = turn.pop("asked_box")
        answer = Answer.from_dict(turn)
        asked = Asked(result, answer.question, None if box is None else as_box(box), tuple(answers))
        answers.append(replace(answer, asked=asked))
    return Conversation(tuple(answers))
