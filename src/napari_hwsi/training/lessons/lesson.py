"""One lesson: a question about a place of a slide, and its answer."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ...disk import written_whole
from ...model.pocket import told
from ...units import Box


@dataclass(frozen=True)
class Lesson:
    """kind: what is asked for, see :mod:`from_truth` and :mod:`from_result`; box: (y0, x0, y1, x1) that the
    question is about, half open, level-0 px.
    """

    kind: str
    box: Box
    question: str
    answer: str

    def told(self, synthetic: bool) -> Lesson:
        """Return it with the question as the pocket model reads it."""
        return replace(self, question=told(self.question, synthetic))


def write_lessons(path: Path, rows: Iterable[tuple[str, str, Lesson]]) -> int:
    """Write lessons, each with its slide and patient, as :func:`~..examples.read_examples` reads them.

    The id of each begins with its kind and a colon. Returns how many there are.
    """
    n = 0
    with written_whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("id", "slide", "patient", "box", "question", "answer"))
        for slide, patient, lesson in rows:
            box = " ".join(map(str, lesson.box))
            out.writerow([f"{lesson.kind}: {n}", slide, patient, box, lesson.question, lesson.answer])
            n += 1
    return n


def write_reports(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write whole slides' reports: slide, patient, text."""
    with written_whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("slide", "patient", "report"))
        out.writerows(rows)
