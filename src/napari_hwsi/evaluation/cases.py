"""Questions with known answers, and how strictly a reply is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from string import ascii_uppercase
from typing import Literal, TypeAlias

from ..errors import InputError
from ..rows import LeftOut
from ..units import Box, as_box

Kind: TypeAlias = Literal["choice", "yes_no", "number", "text", "place"]

LETTERS = tuple(ascii_uppercase) + tuple(map("".join, product(ascii_uppercase, repeat=2)))

_FORMAT: dict[Kind, str] = {
    "choice": "Answer with the letter of one option alone.",
    "yes_no": "Answer with Yes or No alone.",
    "number": "Answer with a number alone.",
}
_LETTER = re.compile(r"\(?([A-Z]{1,2})\)?[.:)]?")
_LETTER_AND_TEXT = re.compile(r"\(?([A-Z]{1,2})[.:)]\s*(\S.*)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


@dataclass(frozen=True)
class Case:
    """One question about one slide, and its answer.

    id: its own within the benchmark; slide: the slide's name, or a patient's barcode where the file names
    no slide; patient: None where unknown; task: the part of the benchmark it belongs to; options: texts of
    a choice, lettered from A; answer: the letter of a choice, 'yes' or 'no', a number, or a text, '' for a
    place; box: the part of the slide asked about (y0, x0, y1, x1), level-0 px, None for all of it; places:
    the true boxes of a 'place'. Raises InputError where these do not fit.
    """

    id: str
    slide: str
    question: str
    answer: str
    task: str
    kind: Kind
    options: tuple[str, ...] = ()
    patient: str | None = None
    box: Box | None = None
    places: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise InputError("the question is empty")
        if self.kind == "place":
            if not self.places:
                raise InputError("a question for a place needs true places")
            object.__setattr__(self, "places", tuple(map(as_box, self.places)))
        elif not self.answer.strip():
            raise InputError("the answer is empty")
        elif read_reply(self, self.answer) is None:
            raise InputError(f"the answer {self.answer[:40]!r} {_UNFIT[self.kind](self)}")
        if len(set(self.options)) < len(self.options):
            raise InputError("two options are the same")

    @property
    def group(self) -> str:
        """The patient, or the slide where the patient is unknown: what is drawn, and kept together."""
        return self.patient or self.slide

    @property
    def full_question(self) -> str:
        """The question with its lettered options."""
        return "\n".join(
            [
                self.question,
                *(f"{letter}) {text}" for letter, text in zip(LETTERS, self.options, strict=False)),
            ]
        )

    @property
    def prompt(self) -> str:
        """The question, its options, and the form the answer must have."""
        return "\n".join(filter(None, [self.full_question, _FORMAT.get(self.kind, "")]))


_UNFIT: dict[Kind, Callable[[Case], str]] = {
    "choice": lambda case: f"is none of the letters {LETTERS[0]} to {LETTERS[max(0, len(case.options) - 1)]}",
    "yes_no": lambda _: "is neither yes nor no",
    "number": lambda _: "is no number",
    "text": lambda _: "is empty",
}


@dataclass(frozen=True)
class Said:
    """What was answered: text, and the places pointed at, the first one meant, level-0 px."""

    text: str
    places: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Cases read from files, with what was left out and why.

    form: name of the format; verified: whether its reader was run on a published file of it.
    """

    form: str
    files: tuple[str, ...]
    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...] = ()
    verified: bool = False
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        text = "\n".join(repr(case) for case in self.cases)
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest()[:16])

    @property
    def groups(self) -> tuple[str, ...]:
        """The patient (or slide) of each case."""
        return tuple(case.group for case in self.cases)

    @property
    def patients_known(self) -> bool:
        """Whether every case states its patient."""
        return all(case.patient is not None for case in self.cases)


def read_reply(case: Case, reply: str) -> str | None:
    """Return what a reply says in the form of ``case.answer``, or None where it is in a wrong format.

    Nothing is searched for within a sentence. A choice: its letter, as 'B', '(B)', 'B)' or 'B.', the
    letter with exactly its option, or exactly one option. Yes or no: that word. A number: digits, with
    commas at thousands, perhaps a per cent sign. A text: anything that is not empty.
    """
    text = " ".join(reply.split())
    if case.kind == "choice":
        return _choice(text, case.options)
    plain = text.rstrip(".").casefold()
    if case.kind == "yes_no":
        return plain if plain in ("yes", "no") else None
    if case.kind == "number":
        number = plain.removesuffix("%").strip()
        return number.replace(",", "") if _NUMBER.fullmatch(number) else None
    return text or None


def _choice(text: str, options: Sequence[str]) -> str | None:
    letters = LETTERS[: len(options)]
    if (alone := _LETTER.fullmatch(text)) and alone.group(1) in letters:
        return alone.group(1)
    texts = [_bare(option) for option in options]
    if (both := _LETTER_AND_TEXT.fullmatch(text)) and both.group(1) in letters:
        return both.group(1) if texts[letters.index(both.group(1))] == _bare(both.group(2)) else None
    return letters[texts.index(_bare(text))] if texts.count(_bare(text)) == 1 else None


def _bare(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()
