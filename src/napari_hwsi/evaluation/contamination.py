"""Whether a test was seen in training: its questions, its slides, its patients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..rows import patient_of, read_csv, read_json, slide_name
from .cases import Case
from .readers import split_options

_LONGEST_NAME = 200
_SHOWN = 5


@dataclass(frozen=True)
class Contamination:
    """How many of the test's cases are known from a training file, and a few of them.

    same_question: its slide was trained on with the same question; slide, patient: its slide, or another of
    its patient, is in the file; wording: its question, options and all, is there for some slide, which for
    phrased-alike questions is no harm.
    """

    file: str
    records: int
    cases: int
    same_question: int
    slide: int
    patient: int
    wording: int
    examples: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether no case, slide or patient of the test is in the file."""
        return not (self.same_question or self.slide or self.patient)


def contamination(cases: Sequence[Case], path: str | Path) -> Contamination:
    """Look for the cases in a training file: JSON, a JSON a line, or a table, of any fields.

    Names are compared whole (a slide within the name of another is not found), without folders and endings;
    questions without their spacing. Raises InputError for a file that cannot be read or holds no records.
    """
    slides: set[str] = set()
    patients: set[str] = set()
    wordings: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    count = 0
    for record in _records(Path(path)):
        count += 1
        names: set[str] = set()
        texts: set[str] = set()
        for text in _strings(record):
            if len(text) <= _LONGEST_NAME and " " not in text.strip():
                names.add(slide_name(text).casefold())
            texts.add(_plain(text))
        slides |= names
        patients |= {patient for name in names if (patient := patient_of(name))}
        wordings |= texts
        pairs |= {(name, text) for name in names for text in texts}
    if not count:
        raise InputError(f"{path} holds no records to compare with.")
    found = []
    for case in cases:
        name, wording = case.slide.casefold(), _wording(case)
        found.append(
            (
                (name, wording) in pairs,
                name in slides,
                (case.patient or "").upper() in patients or (case.patient or "").casefold() in slides,
                wording in wordings,
            )
        )
    same, slide, patient, wording = (sum(column) for column in zip(*found, strict=True))
    examples = [case.id for case, known in zip(cases, found, strict=True) if any(known[:3])]
    return Contamination(
        str(path), count, len(cases), same, slide, patient, wording, tuple(examples[:_SHOWN])
    )


def _wording(case: Case) -> str:
    """Return question and options as one text, however they were written."""
    return _plain(f"{case.question} {' '.join(case.options)}")


def _plain(text: str) -> str:
    question, options = split_options(text.replace("<image>", " "))
    return " ".join(f"{question} {' '.join(options)}".casefold().split())


def _records(path: Path) -> Iterator[Any]:
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from (row.values for row in read_csv(path))
    elif path.suffix.lower() == ".jsonl":
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}, is not JSON.") from error
    else:
        whole = read_json(path)
        yield from whole if isinstance(whole, list) else _members(whole)


def _members(whole: Any) -> Iterator[Any]:
    """Yield the records of an object of splits, or the object itself."""
    lists = [value for value in whole.values() if isinstance(value, list)] if isinstance(whole, dict) else []
    for records in lists or [[whole]]:
        yield from records


def _strings(record: Any) -> Iterator[str]:
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict):
        # A table that keeps options in columns of their own has the wording spread over them.
        spread = {str(key).lower(): value for key, value in record.items()}
        question = spread.get("question")
        if isinstance(question, str):
            options = spread.get("choice") or spread.get("options")
            letters = [spread.get(letter) for letter in "abcdefgh"]
            parts = options if isinstance(options, list) else [part for part in letters if part]
            yield " ".join([question, *(str(part) for part in parts)])
        for value in record.values():
            yield from _strings(value)
    elif isinstance(record, list):
        for value in record:
            yield from _strings(value)
