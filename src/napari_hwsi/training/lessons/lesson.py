"""One lesson: a question about a place of a slide, and its answer."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...units import Box

COLUMNS = ("slide", "patient", "split", "kind", "y0", "x0", "y1", "x1", "question", "answer")
"""Columns of a file of lessons, UTF-8 with a header."""


@dataclass(frozen=True)
class Lesson:
    """kind: what is asked for, see :mod:`from_truth` and :mod:`from_result`; box: (y0, x0, y1, x1) that the
    question is about, half open, level-0 px.
    """

    kind: str
    box: Box
    question: str
    answer: str


def write_lessons(path: Path, rows: Iterable[tuple[str, str, str, Lesson]]) -> int:
    """Write lessons, each with its slide, patient and split ('train', 'valid' or 'test'); return how many."""
    n = 0
    part = path.with_name(f"{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for slide, patient, split, lesson in rows:
            out.writerow([slide, patient, split, lesson.kind, *lesson.box, lesson.question, lesson.answer])
            n += 1
    part.rename(path)
    return n
